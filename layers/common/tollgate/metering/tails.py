"""The events of a stream up to its end: what they release, what breaks an answer, what is too late.

All events of one read of the upstream leave in one piece: one wake-up, one write.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

from tollgate.core.json_text import parse_object
from tollgate.errors import UpstreamBrokenError, UpstreamError
from tollgate.metering.relay import Relay
from tollgate.upstream.client import EventStream
from tollgate.upstream.sse import ServerEvent

TAIL_S = 5.0  # how long a finished answer waits for its usage and [DONE]


async def relay_events(events: EventStream, relay: Relay) -> AsyncIterator[bytes]:
    """Yield the frames that the events release, those of one read together, up to the end.

    Raises: UpstreamError, behind the frames of what came before it: the vendor failed, or stopped
        before every choice had finished.
    """
    async for batch in _bounded_tail(events, relay):
        frames: list[bytes] = []
        failure: UpstreamError | None = None
        is_over = False
        try:
            is_over = _relay_batch(batch, events, relay, frames)
        except UpstreamError as error:
            failure = error
        if frames:
            yield b"".join(frames)
        if failure is not None:
            raise failure
        if is_over:
            return
    if not relay.is_complete:
        raise UpstreamBrokenError


async def _bounded_tail(events: EventStream, relay: Relay) -> AsyncIterator[list[ServerEvent]]:
    """Yield the events; once the answer is complete, take what still comes and no harm from it.

    After its finish an upstream that keeps the line open does not keep the caller waiting longer
    than `TAIL_S`, and one that breaks it spoils nothing: only figures were to come.
    """
    ends_at: float | None = None
    while True:
        if ends_at is None and relay.is_complete:
            ends_at = asyncio.get_running_loop().time() + TAIL_S
        try:
            batch = await _take_until(events, ends_at)
        except TimeoutError:
            return
        except UpstreamError:
            if not relay.is_complete:
                raise
            return
        if not batch:
            return
        yield batch


async def _take_until(events: EventStream, ends_at: float | None) -> list[ServerEvent]:
    if ends_at is None:
        return await events.take()  # without a timer, of which each chunk would pay for one
    async with asyncio.timeout_at(ends_at):
        return await events.take()


def _relay_batch(
    batch: Sequence[ServerEvent], events: EventStream, relay: Relay, frames: list[bytes]
) -> bool:
    """Add to `frames` what a batch releases; return whether `[DONE]` is in it.

    Raises: UpstreamError: an event is one, or none that can be read.
    """
    for event in batch:
        frame = relay.splice(event.data) if event.event == "message" else None
        if frame is not None:
            frames.append(frame)
        elif event.data.strip() == "[DONE]":
            return True
        else:
            _relay_parsed(event, events, relay, frames)
    return False


def _relay_parsed(
    event: ServerEvent, events: EventStream, relay: Relay, frames: list[bytes]
) -> None:
    raw = _parse_chunk(event.data, relay)
    failure = events.find_error(event, raw)
    if failure is None:
        frames += relay.take(raw, event.data)
        return
    is_harmless = relay.is_complete  # what came before it is whole
    if not is_harmless:
        frames += relay.release_held()
    relay.take({**raw, "choices": []})  # its usage, if any, is charged
    if not is_harmless:
        raise failure


def _parse_chunk(data: str, relay: Relay) -> Mapping[str, object]:
    """Return a chunk; garbage breaks an answer, but not one that is complete already."""
    try:
        return parse_object(data)
    except ValueError as error:
        if relay.is_complete:
            return {}
        raise UpstreamBrokenError from error
