"""A sandbox of the torture: the real use cases and store, on a wire that fails, until it is killed.

It serves requests, sweeps, and does what an operator does, one task after the other, and reports
through a pipe, so that what was reported is known after a SIGKILL.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from random import Random
from typing import cast

from tollgate.core.units import MICROPOINTS_PER_POINT, Micropoints
from tollgate.errors import LedgerUnavailableError, TollgateError
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Key
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.sweep import Tally, sweep
from tollgate.metering.chat import Metering
from tollgate.metering.image_bodies import read_json_body
from tollgate.metering.image_orders import read_image_order
from tollgate.metering.images import ImageJob
from tollgate.metering.jobs import Job
from tollgate.metering.orders import read_order
from tollgate.upstream.client import Upstream

from tests.torture.faults import Faults, FaultyWire, Parcel
from tests.torture.plan import GRANT, Plan, Ruling, SweepPlan
from tests.torture.upstream import CATALOG, ScriptedUpstream, count_images

LIFE_S = 60.0  # a Lambda's time-out; whoever works longer is killed
BUDGETS = {"k0": None, "k1": Micropoints(200_000), "k2": Micropoints(20_000)}
_TRIES_MAX = 5  # of an operator, before another process does it
_NOW = datetime(2027, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Request:
    """A plan and the time at which its request came."""

    plan: Plan
    since: datetime


@dataclass(frozen=True, slots=True)
class Sweep:
    """A plan and the time at which its sweep is called."""

    plan: SweepPlan
    at: datetime
    age_max: timedelta


type Task = Request | Sweep | Ruling


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is with its caller, whole; `quota`: micropoints that it says it costs."""

    index: int
    quota: int


@dataclass(frozen=True, slots=True)
class Over:
    """The sandbox is ready for the next task. `ending`: how this one ended.

    `has_output`, `called`: of a request, whether it said a word and called its upstream; `tally`:
    the holds that a sweep ended.
    """

    ending: str
    faults: tuple[str, ...]
    has_output: bool = False
    called: bool = False
    tally: Tally | None = None


class Worker:
    """One process: a client with a faulty wire, and one task after the other."""

    def __init__(
        self, url: str, table: str, post_later: Callable[[Parcel], None], *, attempts_max: int = 3
    ) -> None:
        """`post_later`: see `FaultyWire`; `attempts_max`: of each call, by the client."""
        client = connect(
            region="us-east-1", endpoint_url=url, read_timeout_s=20.0, attempts_max=attempts_max
        )
        self._wire = FaultyWire(client, post_later)
        self._ledger = DynamoSweptLedger(client, table)
        self._accounts = DynamoAccounts(client, table)

    async def do(self, task: Task, faults: Faults, finish: Callable[[Finished], None]) -> Over:
        """Do a task with these faults.

        `finish` is told of a request once its answer is whole, before it is settled.
        """
        self._wire.faults = faults
        if isinstance(task, Request):
            return await self._serve(task, faults, finish)
        return self._sweep(task, faults) if isinstance(task, Sweep) else self._rule(task, faults)

    async def _serve(
        self, task: Request, faults: Faults, finish: Callable[[Finished], None]
    ) -> Over:
        plan = task.plan
        upstream = ScriptedUpstream(plan, faults)
        job = self._start(task, upstream)
        ending, sent, last = "finished", 0, b""
        try:
            async for frame in _frames(job, plan):
                sent += 1
                if frame is not _END:
                    last = frame
                    continue
                # Nothing that comes after may change its price.
                finish(Finished(plan.index, _read_quota(last)))
                faults.die("done")
        except TollgateError as error:
            ending = type(error).__name__
        finally:
            await job.close()
        return Over(ending, tuple(faults.seen), has_output=sent > 0, called=upstream.is_called)

    def _start(self, task: Request, upstream: ScriptedUpstream) -> Job:
        plan, ends_at = task.plan, time.monotonic() + LIFE_S / 2
        metering = Metering(
            ledger=self._ledger,
            upstream=cast("Upstream", upstream),
            now=lambda: task.since + plan.clock_off,
        )
        start = _start_images if plan.is_image else _start_chat
        return start(metering, plan, lambda: ends_at - time.monotonic(), task.since)

    def _sweep(self, task: Sweep, faults: Faults) -> Over:
        """Sweep once, as the scheduled function does."""
        ends_at = time.monotonic() + LIFE_S / 2
        tally = sweep(
            self._ledger,
            now=lambda: task.at,
            budget_s=lambda: ends_at - time.monotonic(),
            age_max=task.age_max,
        )
        # Its counts alone: an error in it would not go through a pipe.
        counts = Tally(settled=tally.settled, released=tally.released, failed=tally.failed)
        ending = "finished" if tally.is_complete else "cut short"
        return Over(ending, tuple(faults.seen), tally=counts)

    def _rule(self, task: Ruling, faults: Faults) -> Over:
        """Do what an operator does, and again until the ledger answers."""
        ending = "given up"
        for _ in range(_TRIES_MAX):
            try:
                ending = self._rule_once(task)
            except LedgerUnavailableError:
                continue
            break
        return Over(ending, tuple(faults.seen))

    def _rule_once(self, task: Ruling) -> str:
        if not task.grant:
            self._accounts.set_account_status(task.account, task.status)
            return task.status
        is_new = self._accounts.grant(task.account, task.grant, GRANT, at=_NOW, note="")
        return "granted" if is_new else "granted before"


def _start_chat(
    metering: Metering, plan: Plan, budget_s: Callable[[], float], since: datetime
) -> Job:
    body: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    body |= {"stream": plan.is_stream} | ({"max_tokens": plan.limit} if plan.limit else {})
    order = read_order(body, key=_key(plan), request_id=plan.request_id, catalog=CATALOG)
    return metering.start(order, budget_s, since)


def _start_images(
    metering: Metering, plan: Plan, budget_s: Callable[[], float], since: datetime
) -> Job:
    body = {"model": "image", "prompt": "hi", "n": count_images(plan), "stream": plan.is_stream}
    body |= {"size": "1x1", "quality": "low"}
    order = read_image_order(
        read_json_body(body | ({"partial_images": 1} if plan.is_stream else {})),
        task="generations",
        key=_key(plan),
        request_id=plan.request_id,
        catalog=CATALOG,
    )
    return ImageJob(metering, order, budget_s, since)


def _key(plan: Plan) -> Key:
    return Key(
        account_id=plan.account,
        key_id=plan.key,
        label="",
        status="active",
        created_at=_NOW,
        budget=BUDGETS[plan.key],
    )


_DONE = b"data: [DONE]\n\n"
_END = b"the answer is whole"


async def _frames(job: Job, plan: Plan) -> AsyncIterator[bytes]:
    """Yield the answer's pieces as its caller gets them; `_END` once it is whole."""
    if not plan.is_stream:
        yield await job.completion()
        yield _END
        return
    async for frame in job.frames():
        yield _END if frame == _DONE else frame
    if plan.is_image:
        yield _END  # its last image is the end


def _read_quota(frame: bytes) -> int:
    quota: float = json.loads(frame[frame.index(b"{") :])["quota"]
    return round(quota * MICROPOINTS_PER_POINT)


def work(url: str, table: str, pipe: Connection) -> None:
    """Do tasks until the pipe brings None."""
    worker = Worker(url, table, pipe.send)
    with asyncio.Runner() as runner:
        receive: Callable[[], Task | None] = pipe.recv
        while (task := receive()) is not None:
            plan = task if isinstance(task, Ruling) else task.plan
            faults = Faults(dice=Random(plan.seed), rate=plan.rate, kill=plan.kill)
            pipe.send(runner.run(worker.do(task, faults, pipe.send)))
