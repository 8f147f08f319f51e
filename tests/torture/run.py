"""One run: sandboxes that are killed and started anew, a reader, a sweep, late post; the audit.

Every process is forked from this one, which has no threads, so that a new sandbox costs a fork.
"""

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any

from tollgate.core.encodings import load_encoding
from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.sweep import Tally, sweep
from tollgate.ledger.table import create_table

from tests.torture.audit import audit, read_table
from tests.torture.crew import deliver, read_on, sweep_on
from tests.torture.faults import Parcel
from tests.torture.plan import TWIN_WITHIN, Plan, draw
from tests.torture.worker import LIFE_S, Finished, Over, Task, work

# The run crosses the end of a day, a month and a year: a record stays where its request began.
BEGAN = datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC)
AGE_MAX = timedelta(seconds=LIFE_S + 15)
AFTER = BEGAN + timedelta(days=2)
GRANT = Micropoints(12_000)
_FORK = multiprocessing.get_context("fork")


@dataclass(slots=True)
class Sandbox:
    """A worker's process and what it works on."""

    process: ForkProcess
    pipe: Connection
    task: Task | None = None
    since_s: float = 0.0


@dataclass(slots=True)
class Report:
    """The figures of a run."""

    seed: int
    requests: int
    endings: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    finished: dict[int, int] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    late: int = 0
    reads: int = 0
    lowest: int = 0
    healed_beside: int = 0
    last: Tally = field(default_factory=Tally)
    wrong: list[str] = field(default_factory=list)
    charged_unfinished: int = 0
    answered_twice: int = 0
    seconds: float = 0.0

    def lines(self) -> Iterator[str]:
        """Yield what is to be read by people."""
        yield f"seed {self.seed}: {self.requests} requests in {self.seconds:.0f} s"
        for title, counts in (
            ("endings", self.endings),
            ("killed at", self.kills),
            ("faults", self.faults),
        ):
            yield f"{title}: {counts.total()}"
            yield from (f"  {name:28} {count}" for name, count in sorted(counts.items()))
        yield f"late and copied calls delivered: {self.late}"
        yield f"looks at an account meanwhile: {self.reads}; lowest balance: {self.lowest}"
        yield f"healed by the sweep beside the requests: {self.healed_beside}"
        settled, released = self.last.settled, self.last.released
        yield f"healed by the last sweep: {settled} settled, {released} released"
        yield f"whole answers: {len(self.finished)}, each request charged once"
        yield f"  requests that were answered by both their runs: {self.answered_twice}"
        yield f"charged, and killed before [DONE] was out: {self.charged_unfinished}"
        yield f"disagreements: {len(self.wrong)}"
        yield from (f"  {line}" for line in self.wrong[:20])


class Run:
    """One run on one table."""

    def __init__(self, url: str, seed: int, requests: int, workers: int, accounts: int) -> None:
        self._url = url
        self._table = f"torture-{seed}-{time.monotonic_ns()}"
        self._workers = workers
        self._accounts = [f"t-{number}" for number in range(accounts)]
        self._client = connect(region="us-east-1", endpoint_url=url, read_timeout_s=60.0)
        self._dice = random.Random(f"{seed}/crew")
        self._plans: dict[int, Plan] = {}
        self._since: dict[str, datetime] = {}
        self._started_s = time.monotonic()
        self.report = Report(seed, requests)

    def go(self) -> Report:
        load_encoding("o200k_base")
        create_table(self._client, self._table)
        admin = DynamoAccounts(self._client, self._table)
        for account in self._accounts:
            admin.create_account(account, BEGAN)
            admin.grant(account, "first", Micropoints(4 * GRANT), at=BEGAN, note="")
        self._started_s = time.monotonic()
        reader = self._crew(read_on, self._url, self._table, self._accounts)
        sweeper = self._crew(sweep_on, self._url, self._table, self._clock, AGE_MAX)
        postman = self._crew(deliver)
        self._serve(admin, postman[1])
        self.report.healed_beside = _dismiss(sweeper)
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

    def _serve(self, admin: DynamoAccounts, post: Connection) -> None:
        """Hand out the requests; a sandbox that dies is replaced by a new one."""
        left = iter(range(self.report.requests))
        sandboxes = [self._hire() for _ in range(self._workers)]
        for sandbox in sandboxes:
            self._hand_out(sandbox, left)
        while sandboxes:
            ready = wait([sandbox.pipe for sandbox in sandboxes], timeout=1.0)
            for sandbox in [one for one in sandboxes if one.pipe in ready]:
                if not self._listen(sandbox, post, admin, left):
                    sandboxes.remove(sandbox)
                    sandbox.process.join()
                    if sandbox.task is not None:
                        sandboxes.append(new := self._hire())
                        self._hand_out(new, left)
            self._kill_the_slow(sandboxes)

    def _hand_out(self, sandbox: Sandbox, left: Iterator[int]) -> None:
        index = next(left, None)
        if index is None:
            sandbox.task = None
            sandbox.pipe.send(None)
            return
        plan = draw(self.report.seed, index, len(self._accounts))
        self._plans[index] = plan
        since = self._since.setdefault(plan.request_id, self._clock())
        sandbox.task, sandbox.since_s = Task(plan, since), time.monotonic()
        sandbox.pipe.send(sandbox.task)

    def _listen(
        self, sandbox: Sandbox, post: Connection, admin: DynamoAccounts, left: Iterator[int]
    ) -> bool:
        """Take one message; return False if the sandbox is gone."""
        try:
            message = sandbox.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._note_death(sandbox)
            return False
        if isinstance(message, Parcel):
            post.send(message)
        elif isinstance(message, Finished):
            self.report.finished[message.index] = message.quota
        elif isinstance(message, Over):
            self._note_end(message)
            self._rule(admin)
            self._hand_out(sandbox, left)
        return True

    def _note_death(self, sandbox: Sandbox) -> None:
        if sandbox.task is not None:
            self.report.kills[sandbox.task.plan.kill or "time-out"] += 1

    def _note_end(self, over: Over) -> None:
        self.report.endings[over.ending] += 1
        self.report.faults.update(over.faults)
        if not over.has_output:
            self.report.silent.add(over.index)
        if over.ending == "InsufficientQuotaError" and over.called:
            self.report.wrong.append(f"request {over.index} was refused after its upstream call")

    def _rule(self, admin: DynamoAccounts) -> None:
        """Now and then top up, suspend or resume an account, in the midst of its requests."""
        account, chance = self._dice.choice(self._accounts), self._dice.random()
        if chance < 0.1:
            name = f"g-{self._dice.randrange(10**6)}"
            admin.grant(account, name, GRANT, at=self._clock(), note="")
        elif chance < 0.12:
            admin.set_account_status(account, "suspended")
        elif chance < 0.3:
            admin.set_account_status(account, "active")

    def _kill_the_slow(self, sandboxes: list[Sandbox]) -> None:
        for sandbox in sandboxes:
            if sandbox.task is not None and time.monotonic() - sandbox.since_s > LIFE_S:
                sandbox.process.kill()

    def _last_sweep(self) -> None:
        """Sweep as long as the index lags, two at once, after every Lambda must be dead."""
        ledger = DynamoSweptLedger(self._client, self._table)
        other = self._crew(sweep_on, self._url, self._table, lambda: AFTER, timedelta(seconds=1))
        for _ in range(3):
            tally = sweep(ledger, now=lambda: AFTER, budget_s=lambda: 600.0)
            self.report.last.settled += tally.settled
            self.report.last.released += tally.released
        _dismiss(other)

    def _audit(self) -> None:
        rows = read_table(self._client, self._table)
        report = self.report
        report.wrong += audit(rows)
        records = {row["request_id"]: row for row in rows if row["pk"].startswith("USAGE#")}
        answers: dict[str, list[int]] = {}
        for index, quota in report.finished.items():
            answers.setdefault(self._plans[index].request_id, []).append(quota)
        for request_id, quotas in answers.items():
            record = records.get(request_id)
            # Of two runs the first to be recorded pays, be it one that broke off.
            paid = (
                {*quotas, record["quota"]} if record and record["outcome"] == "broken" else quotas
            )
            if record is None or record["outcome"] == "lost" or record["quota"] not in paid:
                report.wrong.append(f"{request_id}: answers of {quotas}, record {record}")
        for name in self._unanswered() & set(records) - set(answers):
            if records[name]["quota"] != 0:
                report.wrong.append(f"{name}: no output, and charged: {records[name]}")
        charged = {name for name, row in records.items() if row["outcome"] == "complete"}
        report.charged_unfinished = len(charged - set(answers))
        report.answered_twice = sum(len(quotas) > 1 for quotas in answers.values())

    def _unanswered(self) -> set[str]:
        """Return requests none of whose runs has said a word, nor was killed while it could."""
        runs: dict[str, set[int]] = {}
        for index, plan in self._plans.items():
            runs.setdefault(plan.request_id, set()).add(index)
        return {name for name, indices in runs.items() if indices <= self.report.silent}


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
