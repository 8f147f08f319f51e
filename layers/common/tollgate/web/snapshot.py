"""SnapStart: what is done before a function's memory is frozen, and when a copy of it wakes.

    start ▶ parts made, closed, let go ▶ snapshot ▶ … ▶ each copy: new chance, parts made anew

A copy may wake days later on another machine, and many do: a connection would be dead, a cache of
keys or prices old, a monotonic clock another's, and each one's `random` the same. So nothing that a
part holds goes into the snapshot. What does is what making a part costs: modules, botocore's among
them since SnapStart's keys are asked of an address, the TLS context, the tokenizer's ranks; none of
that changes with time.

Ids and keys are drawn from the system's randomness, which differs in each copy. Without SnapStart
no hook is called. Source: AWS, "Implement code before or after Lambda function snapshots" and
"Handling uniqueness with Lambda SnapStart".
"""

import asyncio
import gc
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from snapshot_restore_py import register_after_restore, register_before_snapshot


class Part(Protocol):
    """What a process makes once, with connections of its own."""

    async def aclose(self) -> None:
        """Close all connections."""


class CachedPart(Protocol):
    """A function under `functools.cache` that makes a part."""

    def __call__(self) -> Part:
        """Return the process's part, made at the first call."""

    def cache_clear(self) -> None:
        """Let go of it."""


def survive_snapshots(
    *parts: CachedPart, preparations: Sequence[Callable[[], object]] = ()
) -> None:
    """Register the hooks; `preparations`: what else the first request would wait for."""
    register_before_snapshot(freeze, parts, preparations)
    register_after_restore(thaw, parts)


def freeze(parts: Sequence[CachedPart], preparations: Sequence[Callable[[], object]]) -> None:
    """Do once what each copy would do, and keep neither a connection nor a state of it.

    Called by the runtime before it serves, when its event loop does not run.
    """
    for prepare in preparations:
        prepare()
    loop = asyncio.get_event_loop()
    for part in parts:
        loop.run_until_complete(part().aclose())
    for part in parts:
        part.cache_clear()
    gc.collect()  # parts and clients refer to each other, and a client's credentials to a socket


def thaw(parts: Sequence[CachedPart]) -> None:
    """Give this copy a chance of its own, and parts that connect when they are first used."""
    random.seed()
    for part in parts:
        part()
