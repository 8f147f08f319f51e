"""A sandbox of the torture: the real use case and store, on a wire that fails, until it is killed.

It reports through a pipe, so that what was reported is known after a SIGKILL.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from random import Random
from typing import Any, cast

from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.units import MICROPOINTS_PER_POINT, Micropoints
from tollgate.errors import TollgateError, UpstreamUnavailableError
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Key
from tollgate.ledger.store import DynamoLedger
from tollgate.metering.chat import ChatJob, Metering
from tollgate.metering.orders import read_order
from tollgate.upstream.client import ChatCall, Completion, Upstream
from tollgate.upstream.sse import ServerEvent

from tests.torture.faults import Faults, FaultyWire
from tests.torture.plan import Plan

LIFE_S = 60.0  # a Lambda's time-out; whoever works longer is killed
BUDGETS = {"k0": None, "k1": Micropoints(200_000), "k2": Micropoints(20_000)}
CATALOG = parse_catalog("""
    [channels.fake]
    base_url = "http://fake"
    [models.m]
    context_tokens_max = 2000
    output_tokens_max = 400
    price = { input = 1, output = 4 }
    channels = ["fake"]
""")
_NOW = datetime(2027, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Task:
    """A plan and the time at which its request came."""

    plan: Plan
    since: datetime


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is with its caller, whole; `quota`: micropoints that it says it costs."""

    index: int
    quota: int


@dataclass(frozen=True, slots=True)
class Over:
    """The sandbox is ready for the next event. `ending`: how the request ended."""

    index: int
    ending: str
    has_output: bool
    called: bool
    faults: tuple[str, ...]


class ScriptedUpstream:
    """Answers as the plan says; implements what the job uses of `Upstream`."""

    channel = "fake"

    def __init__(self, plan: Plan, faults: Faults) -> None:
        self._plan = plan
        self._faults = faults
        self.is_called = False

    async def complete(self, call: ChatCall) -> Completion:
        self._call()
        message = {"role": "assistant", "content": "word " * self._words(call)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return Completion(channel="fake", body={"choices": [choice], **self._usage(call)})

    async def open_stream(self, call: ChatCall) -> Any:
        self._call()
        return _Events(self._chunks(call))

    def _call(self) -> None:
        self.is_called = True
        self._faults.die("called")
        if self._plan.outcome == "refused":
            raise UpstreamUnavailableError

    def _words(self, call: ChatCall) -> int:
        return min(self._plan.words, call.output_limit or self._plan.words)

    def _usage(self, call: ChatCall) -> dict[str, object]:
        completion = self._words(call)
        if self._plan.outcome == "no usage":
            return {}
        if self._plan.outcome == "overrun":
            completion += 500
        return {"usage": {"prompt_tokens": 8, "completion_tokens": completion}}

    async def _chunks(self, call: ChatCall) -> AsyncIterator[ServerEvent]:
        for number in range(self._words(call)):
            yield _event({"choices": [{"index": 0, "delta": {"content": "word "}}]})
            await asyncio.sleep(0)
            if number == 0:
                self._faults.die("streaming")
        if self._plan.outcome == "broken":
            return
        yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        yield _event({"choices": [], **self._usage(call)})
        yield ServerEvent(data="[DONE]")


class _Events:
    """An open stream."""

    channel = "fake"

    def __init__(self, events: AsyncIterator[ServerEvent]) -> None:
        self._events = events

    def __aiter__(self) -> AsyncIterator[ServerEvent]:
        return self._events

    async def aclose(self) -> None:
        """Nothing to close."""


def _event(chunk: dict[str, object]) -> ServerEvent:
    return ServerEvent(data=json.dumps(chunk))


class Worker:
    """One process: a client with a faulty wire, and one request after the other."""

    def __init__(self, url: str, table: str, pipe: Connection) -> None:
        self._pipe = pipe
        client = connect(region="us-east-1", endpoint_url=url, read_timeout_s=20.0)
        self._wire = FaultyWire(client, pipe.send)
        self._ledger = DynamoLedger(client, table)

    async def serve(self, task: Task) -> None:
        plan = task.plan
        faults = Faults(dice=Random(plan.seed), rate=plan.rate, kill=plan.kill)
        self._wire.faults = faults
        upstream = ScriptedUpstream(plan, faults)
        job = self._start(task, upstream)
        ending, sent = "finished", 0
        try:
            async for frame in _frames(job, is_stream=plan.is_stream):
                sent += 1
                self._note(plan, frame)
                if frame is _END:
                    faults.die("done")
        except TollgateError as error:
            ending = type(error).__name__
        finally:
            await job.close()
        self._pipe.send(Over(plan.index, ending, sent > 0, upstream.is_called, tuple(faults.seen)))

    def _start(self, task: Task, upstream: ScriptedUpstream) -> ChatJob:
        plan, ends_at = task.plan, time.monotonic() + LIFE_S / 2
        metering = Metering(
            ledger=self._ledger,
            upstream=cast("Upstream", upstream),
            now=lambda: task.since + plan.clock_off,
        )
        body: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        body |= {"stream": plan.is_stream} | ({"max_tokens": plan.limit} if plan.limit else {})
        key = Key(
            account_id=plan.account,
            key_id=plan.key,
            label="",
            status="active",
            created_at=_NOW,
            budget=BUDGETS[plan.key],
        )
        order = read_order(body, key=key, request_id=plan.request_id, catalog=CATALOG)
        return metering.start(order, lambda: ends_at - time.monotonic(), task.since)

    def _note(self, plan: Plan, frame: bytes) -> None:
        """Report the answer once it is whole: nothing that comes after may change its price."""
        if frame is not _END:
            self._quota = _read_quota(frame)
            return
        self._pipe.send(Finished(plan.index, self._quota))


_END = b"data: [DONE]\n\n"


async def _frames(job: ChatJob, *, is_stream: bool) -> AsyncIterator[bytes]:
    """Yield the answer's pieces as its caller gets them; the last is `_END`."""
    if not is_stream:
        yield await job.completion()
        yield _END
        return
    async for frame in job.frames():
        yield _END if frame == _END else frame


def _read_quota(frame: bytes) -> int:
    quota = json.loads(frame.removeprefix(b"data: "))["quota"]
    return round(quota * MICROPOINTS_PER_POINT)


def work(url: str, table: str, pipe: Connection) -> None:
    """Serve tasks until the pipe brings None."""
    worker = Worker(url, table, pipe)
    with asyncio.Runner() as runner:
        receive: Callable[[], Task | None] = pipe.recv
        while (task := receive()) is not None:
            runner.run(worker.serve(task))
