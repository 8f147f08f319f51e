"""One run: sandboxes that are killed and started anew, a reader, late post; the audit.

    requests, sweeps and operators' rulings, mixed  ▶ sweeps after all Lambdas' death, killed too
      ▶ the last sweep, on a clean wire ▶ the rest of the late post ▶ the last sweep ▶ audit

Every process is forked from this one, which has no threads, so that a new sandbox costs a fork.
"""

import multiprocessing
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any

from tollgate.core.encodings import load_encoding
from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Ask, Reservation
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.store import DynamoLedger
from tollgate.ledger.sweep import sweep
from tollgate.ledger.table import create_table

from tests.torture.audit import audit, audit_answers, read_table
from tests.torture.crew import deliver, read_on, sweep_on
from tests.torture.faults import Parcel
from tests.torture.plan import (
    GRANT,
    TWIN_WITHIN,
    Plan,
    Ruling,
    SweepPlan,
    certain_sweeps,
    draw,
    draw_ruling,
    draw_sweep,
)
from tests.torture.report import Report, add
from tests.torture.worker import LIFE_S, Finished, Over, Request, Sweep, Task, work

# The run crosses the end of a day, a month and a year: a record stays where its request began.
BEGAN = datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC)
AGE_MAX = timedelta(seconds=LIFE_S + 15)
AFTER = BEGAN + timedelta(hours=12)  # before the clock of a sweep that is a day ahead
_FIRST_GRANT = Micropoints(4 * GRANT)
_SWEEP_EVERY_S = 1.0
_SWEEPS_AFTER = 16  # on the faulty wire, when every Lambda is dead; all but four are to be killed
_SWEEPERS = 3
_FORK = multiprocessing.get_context("fork")


@dataclass(slots=True)
class Sandbox:
    """A worker's process and what it works on."""

    process: ForkProcess
    pipe: Connection
    task: Task | None = None
    since_s: float = 0.0


class Run:
    """One run on one table."""

    def __init__(self, url: str, seed: int, requests: int, workers: int, accounts: int) -> None:
        self._url = url
        self._seed = seed
        self._table = f"torture-{seed}-{time.monotonic_ns()}"
        self._workers = workers
        self._accounts = [f"t-{number}" for number in range(accounts)]
        self._granted = Counter(dict.fromkeys(self._accounts, int(_FIRST_GRANT)))
        self._client = connect(region="us-east-1", endpoint_url=url, read_timeout_s=60.0)
        self._plans: dict[int, Plan] = {}
        self._since: dict[str, datetime] = {}
        self._rulings: deque[Ruling] = deque()
        self._sweeps = 0
        self._started_s = self._swept_s = time.monotonic()
        self.report = Report(seed, requests)

    def go(self) -> Report:
        load_encoding("o200k_base")
        create_table(self._client, self._table)
        admin = DynamoAccounts(self._client, self._table)
        for account in self._accounts:
            admin.create_account(account, BEGAN)
            admin.grant(account, "first", _FIRST_GRANT, at=BEGAN, note="")
        self._started_s = self._swept_s = time.monotonic()
        reader = self._crew(read_on, self._url, self._table, self._accounts)
        postman = self._crew(deliver)
        self._serve(self._mix(), self._workers, postman[1])
        while self._rulings:
            self._serve(self._drain_rulings(), 1, postman[1])
        self._leave_a_hold(admin)
        self._serve(self._certain_sweeps(), 1, postman[1])
        self._serve(self._sweeps_after(), _SWEEPERS, postman[1])
        self._last_sweep()
        self.report.late = _dismiss(postman)  # the rest of the post comes after a sweep
        self._last_sweep()
        self.report.reads, self.report.lowest, wrong = _dismiss(reader)
        self.report.wrong += wrong
        self._audit()
        self.report.seconds = time.monotonic() - self._started_s
        self._client.delete_table(TableName=self._table)
        return self.report

    def _clock(self) -> datetime:
        return BEGAN + timedelta(seconds=time.monotonic() - self._started_s)

    def _crew(self, target: Callable[..., None], *arguments: object) -> tuple[Any, Connection]:
        ours, theirs = _FORK.Pipe()
        process = _FORK.Process(target=target, args=(*arguments, theirs), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def _hire(self) -> Sandbox:
        process, pipe = self._crew(work, self._url, self._table)
        return Sandbox(process, pipe)

    def _mix(self) -> Iterator[Task]:
        """Yield the requests, a sweep each second, and what an operator does."""
        for index in range(self.report.requests):
            yield from self._drain_rulings()
            if time.monotonic() - self._swept_s > _SWEEP_EVERY_S:
                self._swept_s = time.monotonic()
                self._sweeps += 1
                yield self._sweep_beside(draw_sweep(self._seed, self._sweeps))
            plan = self._plans[index] = draw(self._seed, index, len(self._accounts))
            since = self._clock() + plan.since_off
            yield Request(plan, self._since.setdefault(plan.request_id, since))
            ruling = draw_ruling(self._seed, index, len(self._accounts))
            if ruling is not None:
                self._granted[ruling.account] += GRANT if ruling.grant else 0
                self._rulings.append(ruling)

    def _sweep_beside(self, plan: SweepPlan) -> Sweep:
        """Return a sweep beside requests; its time is known again by the lost records it makes."""
        at = self._clock() + plan.ahead
        if plan.ahead:
            self.report.early.add(at)
        return Sweep(plan, at, AGE_MAX)

    def _leave_a_hold(self, admin: DynamoAccounts) -> None:
        """Leave a hold of nothing on an account of its own: there is one, whatever the dice did."""
        admin.create_account("left", BEGAN)
        self._granted["left"] = 0
        nothing = Micropoints(0)
        asked = Reservation(
            account_id="left",
            key_id="k0",
            request_id="left",
            since=self._clock(),
            ask=Ask(worst=nothing, floor=nothing, least=nothing, is_limited=True),
        )
        DynamoLedger(self._client, self._table).reserve(asked)

    def _certain_sweeps(self) -> Iterator[Task]:
        for plan in certain_sweeps(self._seed):
            yield Sweep(plan, AFTER, timedelta(seconds=1))

    def _sweeps_after(self) -> Iterator[Task]:
        """Yield sweeps by a clock at which all holds are old."""
        for number in range(_SWEEPS_AFTER):
            self._sweeps += 1
            plan = draw_sweep(self._seed, self._sweeps, is_killed=number < _SWEEPS_AFTER - 4)
            yield Sweep(plan, AFTER, timedelta(seconds=1))

    def _drain_rulings(self) -> Iterator[Task]:
        while self._rulings:
            yield self._rulings.popleft()

    def _serve(self, tasks: Iterator[Task], count: int, post: Connection) -> None:
        """Hand out the tasks to `count` sandboxes; one that dies is replaced by a new one."""
        sandboxes = [self._hire() for _ in range(count)]
        for sandbox in sandboxes:
            self._hand_out(sandbox, tasks)
        while sandboxes:
            ready = wait([sandbox.pipe for sandbox in sandboxes], timeout=1.0)
            for sandbox in [one for one in sandboxes if one.pipe in ready]:
                if not self._listen(sandbox, post, tasks):
                    sandboxes.remove(sandbox)
                    sandbox.process.join()
                    if sandbox.task is not None:
                        sandboxes.append(new := self._hire())
                        self._hand_out(new, tasks)
            self._kill_the_slow(sandboxes)

    def _hand_out(self, sandbox: Sandbox, tasks: Iterator[Task]) -> None:
        sandbox.task, sandbox.since_s = next(tasks, None), time.monotonic()
        sandbox.pipe.send(sandbox.task)

    def _listen(self, sandbox: Sandbox, post: Connection, tasks: Iterator[Task]) -> bool:
        """Take one message; return False if the sandbox is gone."""
        try:
            message = sandbox.pipe.recv()
        except (EOFError, ConnectionResetError):
            if sandbox.task is not None:
                self._note_death(sandbox.task)
            return False
        if isinstance(message, Parcel):
            post.send(message)
        elif isinstance(message, Finished):
            self.report.finished[message.index] = message.quota
        elif sandbox.task is not None:
            self._note_end(sandbox.task, message)
            self._hand_out(sandbox, tasks)
        return True

    def _note_death(self, task: Task) -> None:
        plan = task if isinstance(task, Ruling) else task.plan
        self.report.kills[_role(task)][plan.kill or "time-out"] += 1
        self._do_again(task)

    def _note_end(self, task: Task, over: Over) -> None:
        self.report.endings[_role(task)][over.ending] += 1
        self.report.faults[_role(task)].update(over.faults)
        if isinstance(task, Request):
            self._note_request(task.plan.index, over)
        elif over.ending == "given up":
            self._do_again(task)
        elif over.tally is not None:
            add(self.report.beside, over.tally)

    def _note_request(self, index: int, over: Over) -> None:
        if not over.has_output:
            self.report.silent.add(index)
        if over.ending == "InsufficientQuotaError" and over.called:
            self.report.wrong.append(f"request {index} was refused after its upstream call")

    def _do_again(self, task: Task) -> None:
        """Let another process do what an operator wants, by the same id."""
        if isinstance(task, Ruling):
            self._rulings.append(replace(task, kill="", seed=f"{task.seed}/again"))

    def _kill_the_slow(self, sandboxes: list[Sandbox]) -> None:
        for sandbox in sandboxes:
            if sandbox.task is not None and time.monotonic() - sandbox.since_s > LIFE_S:
                sandbox.process.kill()

    def _last_sweep(self) -> None:
        """Sweep as long as the index lags, two at once, after every Lambda must be dead."""
        ledger = DynamoSweptLedger(self._client, self._table)
        other = self._crew(sweep_on, self._url, self._table, AFTER, timedelta(seconds=1))
        for _ in range(3):
            tally = sweep(ledger, now=lambda: AFTER, budget_s=lambda: 600.0)
            add(self.report.last, tally)
            if tally.failed or not tally.is_complete:
                self.report.wrong.append(f"the last sweep left something: {tally}")
        _dismiss(other)

    def _audit(self) -> None:
        rows = read_table(self._client, self._table)
        self.report.wrong += audit(rows, self._granted)
        audit_answers(rows, self._plans, self.report)


def _role(task: Task) -> str:
    if isinstance(task, Request):
        return "requests"
    return "sweeps" if isinstance(task, Sweep) else "rulings"


def _dismiss(member: tuple[Any, Connection]) -> Any:
    """Tell one of the crew to stop and return what it reports."""
    process, pipe = member
    pipe.send(None)
    report = pipe.recv()
    process.join()
    return report


def torture(url: str, *, seed: int, requests: int, workers: int = 12, accounts: int = 6) -> Report:
    """Run `requests` requests with the faults that `seed` draws; return the figures."""
    if requests <= TWIN_WITHIN:
        raise ValueError("too few requests for a second run of one")
    return Run(url, seed, requests, workers, accounts).go()
