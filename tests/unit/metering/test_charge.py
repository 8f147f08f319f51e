"""A hold from reserve to its end, with a ledger that fails."""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tollgate.core.metrics import RequestMetrics
from tollgate.core.units import Micropoints
from tollgate.errors import InsufficientQuotaError, LedgerUnavailableError, RequestInProgressError
from tollgate.ledger.model import Ask, Hold, Reservation, UsageRecord
from tollgate.metering.charge import Charge

from tests.fakes.ledger import FakeLedger
from tests.unit.metering.conftest import NOW


class FailingLedger(FakeLedger):
    """Fails the named verbs so many times, before or after they took effect."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[str, int] = {}
        self.is_effective = False
        self.calls: list[str] = []

    def _run(self, verb: str, call: Callable[[], Any]) -> Any:
        self.calls.append(verb)
        if self.failures.get(verb, 0) > 0:
            self.failures[verb] -= 1
            if self.is_effective:
                call()
            raise LedgerUnavailableError
        return call()

    def reserve(self, reservation: Reservation) -> Hold:
        return self._run("reserve", lambda: FakeLedger.reserve(self, reservation))  # type: ignore[no-any-return]

    def extend(self, hold: Hold, amount: Micropoints) -> Hold:
        return self._run("extend", lambda: FakeLedger.extend(self, hold, amount))  # type: ignore[no-any-return]

    def journal(self, record: UsageRecord) -> UsageRecord:
        return self._run("journal", lambda: FakeLedger.journal(self, record))  # type: ignore[no-any-return]

    def settle(self, hold: Hold, quota: Micropoints) -> Hold | None:
        return self._run("settle", lambda: FakeLedger.settle(self, hold, quota))  # type: ignore[no-any-return]

    def release(self, hold: Hold) -> None:
        self._run("release", lambda: FakeLedger.release(self, hold))


@pytest.fixture
def failing(ledger: FakeLedger) -> FailingLedger:
    failing = FailingLedger()
    failing.accounts = ledger.accounts
    return failing


def make(
    ledger: FakeLedger,
    worst: int = 300,
    budget_s: float = 60.0,
    metrics: RequestMetrics | None = None,
) -> Charge:
    amount = Micropoints(worst)
    reservation = Reservation(
        account_id="a",
        key_id="k",
        request_id="r",
        since=NOW,
        ask=Ask(worst=amount, floor=amount, least=amount, is_limited=True),
    )
    delays_s = (0.0, 0.0, 0.0)
    return Charge(ledger, reservation, lambda: budget_s, delays_s, metrics=metrics)


def record(quota: int) -> UsageRecord:
    return UsageRecord(
        account_id="a",
        key_id="k",
        request_id="r",
        since=NOW,
        finished_at=NOW,
        endpoint="chat.completions",
        model="m",
        channel="c",
        tokens={},
        is_exact=True,
        is_stream=False,
        quota=Micropoints(quota),
        outcome="complete",
    )


def state(ledger: FakeLedger) -> tuple[int, int]:
    """Return what is held and what was spent."""
    account = ledger.accounts["a"]
    assert account.granted == account.balance + account.held + account.spent
    return account.held, account.spent


async def test_journal_then_settle(failing: FailingLedger) -> None:
    """The usual path, each verb once; closing again does nothing."""
    job = make(failing)
    await job.reserve()
    await job.journal(record(120))
    await job.close()
    await job.close()

    assert failing.calls == ["reserve", "journal", "settle"]
    assert state(failing) == (0, 120)


async def test_release_without_a_record(failing: FailingLedger) -> None:
    """A request that ended before its output gets everything back."""
    job = make(failing)
    await job.reserve()
    await job.close()

    assert failing.calls == ["reserve", "release"]
    assert state(failing) == (0, 0)


async def test_refused_reserve_leaves_nothing_to_do(failing: FailingLedger) -> None:
    """Nothing was held, so nothing is released."""
    job = make(failing, worst=10**9)
    with pytest.raises(InsufficientQuotaError):
        await job.reserve()
    await job.close()

    assert failing.calls == ["reserve"]


@pytest.mark.parametrize("is_effective", [False, True])
async def test_reserve_of_unknown_outcome_is_released_once(
    failing: FailingLedger, *, is_effective: bool
) -> None:
    """The database did not say whether it held the money: a release finds out."""
    failing.failures, failing.is_effective = {"reserve": 1}, is_effective
    job = make(failing)
    with pytest.raises(LedgerUnavailableError):
        await job.reserve()
    await job.close()

    assert failing.calls == ["reserve", "release"]
    assert state(failing) == (0, 0)


async def test_dead_database_is_not_asked_for_long(failing: FailingLedger) -> None:
    """After a failed reserve one try must do: the sandbox has others to serve."""
    failing.failures = {"reserve": 1, "release": 99}
    job = make(failing)
    with pytest.raises(LedgerUnavailableError):
        await job.reserve()
    await job.close()

    assert failing.calls == ["reserve", "release"]


async def test_cancelled_reserve_is_still_released(ledger: FakeLedger) -> None:
    """The caller goes while the write is under way: what it holds is given back."""
    entered, go_on = threading.Event(), threading.Event()

    class SlowLedger(FakeLedger):
        def reserve(self, reservation: Reservation) -> Hold:
            entered.set()
            go_on.wait(10)
            return super().reserve(reservation)

    slow = SlowLedger()
    slow.accounts = ledger.accounts
    job = make(slow)
    reserving = asyncio.create_task(job.reserve())
    await asyncio.to_thread(entered.wait, 10)
    reserving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reserving
    go_on.set()
    await job.close()

    assert state(slow) == (0, 0)


@pytest.mark.parametrize("is_effective", [False, True])
@pytest.mark.parametrize("verb", ["journal", "settle"])
async def test_failures_after_the_answer_are_healed(
    failing: FailingLedger, verb: str, *, is_effective: bool
) -> None:
    """A write that fails, having taken effect or not, is tried again until it is done, once."""
    failing.failures, failing.is_effective = {verb: 2}, is_effective
    job = make(failing)
    await job.reserve()
    await job.journal(record(120))
    await job.close()

    assert state(failing) == (0, 120)
    assert failing.records["r"].quota == 120


async def test_release_is_tried_again(failing: FailingLedger) -> None:
    """A hold is not left because of one bad moment."""
    failing.failures = {"release": 2}
    job = make(failing)
    await job.reserve()
    await job.close()

    assert state(failing) == (0, 0)


async def test_what_stays_undone_is_logged_with_its_figures(
    failing: FailingLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """The hold stays, and the log has what a person needs to settle it."""
    failing.failures = {"journal": 99}
    job = make(failing)
    await job.reserve()
    await job.journal(record(120))
    await job.close()

    [error] = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert state(failing) == (300, 0)
    assert "settle" not in failing.calls
    assert error.__dict__["record"]["quota"] == 120


async def test_retries_end_with_the_lambdas_time(failing: FailingLedger) -> None:
    """Without time left nothing is waited for."""
    failing.failures = {"release": 99}
    job = make(failing, budget_s=-1.0)
    await job.reserve()
    await job.close()

    assert failing.calls == ["reserve", "release"]


@pytest.mark.parametrize(
    ("quota", "covered", "held"),
    [(300, 300, 300), (450, 450, 450), (5_000_000, 1_000_000, 1_000_000)],
)
async def test_overrun_is_covered_by_the_balance(
    ledger: FakeLedger, quota: int, covered: int, held: int
) -> None:
    """More than was held is taken from the balance, never from below zero."""
    job = make(ledger)
    await job.reserve()

    assert covered == await job.cover(Micropoints(quota))
    assert held == state(ledger)[0]


async def test_overrun_that_is_not_covered_is_logged(
    ledger: FakeLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator hears what the upstream's honesty cost."""
    job = make(ledger)
    await job.reserve()
    await job.cover(Micropoints(1_000_500))

    assert [entry.__dict__["overrun_micropoints"] for entry in caplog.records] == [500]


async def test_overrun_while_the_ledger_is_away_is_capped_at_the_hold(
    failing: FailingLedger,
) -> None:
    """What cannot be held cannot be charged."""
    failing.failures = {"extend": 1}
    job = make(failing)
    await job.reserve()

    assert await job.cover(Micropoints(450)) == 300


async def test_reserve_returns_the_hold(ledger: FakeLedger) -> None:
    """As the ledger has it."""
    job = make(ledger)

    hold = await job.reserve()

    assert ledger.accounts["a"].holds == {"r": replace(hold)}


async def test_answer_waits_for_its_record(failing: FailingLedger) -> None:
    """The record is written before the answer ends, though the first tries failed."""
    failing.failures = {"journal": 3}
    job = make(failing)
    await job.reserve()
    standing = await job.journal(record(120))

    assert standing == failing.records["r"]
    assert failing.records["r"].quota == 120
    assert state(failing) == (300, 0)


async def test_second_run_in_turn_is_not_charged(failing: FailingLedger) -> None:
    """Lambda ran the invocation again after its end: the first run's record stands and pays."""
    for quota in (120, 200):
        job = make(failing)
        await job.reserve()
        await job.journal(record(quota))
        await job.close()

    assert failing.calls == [
        *("reserve", "journal", "settle"),
        *("reserve", "journal", "release"),
    ]
    assert state(failing) == (0, 120)


async def test_second_run_at_once_is_refused_and_takes_nothing(failing: FailingLedger) -> None:
    """The first run's hold is its own: the second neither spends it nor gives it back."""
    first, second = make(failing), make(failing)
    await first.reserve()
    with pytest.raises(RequestInProgressError):
        await second.reserve()
    await second.close()

    assert state(failing) == (300, 0)


async def test_run_that_was_taken_for_dead_is_not_charged(failing: FailingLedger) -> None:
    """The sweep came first: its record stands, and what it gave back stays given back."""
    job = make(failing)
    hold = await job.reserve()
    failing.settle(hold, failing.void(hold, NOW).quota)
    await job.journal(record(120))
    await job.close()

    assert failing.records["r"].outcome == "lost"
    assert state(failing) == (0, 0)


async def test_record_of_another_hold_is_told_with_its_figures(
    failing: FailingLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """What this run would have been charged is in no log: the record that stands is."""
    first, second = make(failing), make(failing)
    await first.reserve()
    await first.journal(record(120))
    await first.close()
    await second.reserve()
    standing = await second.journal(record(200))
    await second.close()

    [warning] = [entry for entry in caplog.records if entry.levelno == logging.WARNING]
    assert standing is None
    assert warning.getMessage() == "recorded before: this answer is not charged"
    assert warning.__dict__["quota_micropoints"] == 120


async def test_record_that_came_late_is_told(
    failing: FailingLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """While the answer ran nothing was recorded; what was charged in the end is in the log."""
    failing.failures = {"journal": 4}
    job = make(failing)
    await job.reserve()
    standing = await job.journal(record(120))
    await job.close()

    [late] = [entry for entry in caplog.records if entry.getMessage() == "recorded late"]
    assert standing is None
    assert (late.__dict__["quota_micropoints"], state(failing)) == (120, (0, 120))


async def test_what_the_operator_must_know_is_counted(failing: FailingLedger) -> None:
    """An overrun that nobody pays for, and each step that the ledger leaves undone."""
    metrics = RequestMetrics()
    job = make(failing, metrics=metrics)
    await job.reserve()
    failing.failures = {"extend": 1, "journal": 100}
    await job.cover(Micropoints(301))
    await job.journal(record(300))
    await job.close()

    assert (metrics.overruns, metrics.ledger_errors) == (1, 3)
