"""The sweep, on the store over DynamoDB Local and on the fake alike."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tollgate.core.units import Micropoints
from tollgate.errors import LedgerUnavailableError
from tollgate.ledger.model import Account, Hold, UsageRecord
from tollgate.ledger.sweep import HOLD_AGE_MAX, Tally, sweep

from tests.contracts.conftest import NOW, AnyLedger, Bench
from tests.contracts.test_ledger import ask, record, reservation

LATER = NOW + HOLD_AGE_MAX + timedelta(seconds=1)


def run(ledger: AnyLedger, at: datetime = LATER, budget_s: float = 60.0) -> Tally:
    return sweep(ledger, now=lambda: at, budget_s=lambda: budget_s)


def reserve(
    bench: Bench, request_id: str = "r-1", since: datetime = NOW, amount: int = 300
) -> Hold:
    return bench.ledger.reserve(replace(reservation(ask(amount), request_id), since=since))


def test_hold_without_a_record_is_given_back(make_bench: Callable[[int], Bench]) -> None:
    """Its Lambda died before the answer was recorded: nothing is charged."""
    bench = make_bench(1000)
    reserve(bench)

    tally = run(bench.ledger)

    assert (tally.released, tally.settled, tally.failed, tally.returned) == (1, 0, 0, 300)
    assert (bench.check().balance, bench.check().held) == (1000, 0)


def test_hold_with_a_record_is_settled_with_it(make_bench: Callable[[int], Bench]) -> None:
    """Its Lambda died after the answer was recorded: what the record says is charged."""
    bench = make_bench(1000)
    bench.ledger.journal(record(reserve(bench), 120))

    tally = run(bench.ledger)

    assert (tally.released, tally.settled, tally.returned) == (0, 1, 180)
    assert (bench.check().balance, bench.check().spent) == (880, 120)
    assert bench.check().key_used == {"key_1": 120}


def test_hold_that_may_be_alive_is_left_alone(make_bench: Callable[[int], Bench]) -> None:
    """Up to the age at which no Lambda lives, to the second, nothing happens."""
    bench = make_bench(1000)
    hold = reserve(bench)

    tally = run(bench.ledger, at=NOW + HOLD_AGE_MAX)

    assert (tally.accounts, tally.healed) == (0, 0)
    assert bench.check().holds == {"r-1": hold}


def test_sweeping_twice_is_sweeping_once(make_bench: Callable[[int], Bench]) -> None:
    """What is healed is off the list."""
    bench = make_bench(1000)
    bench.ledger.journal(record(reserve(bench), 120))

    run(bench.ledger)
    again = run(bench.ledger)

    assert (again.accounts, again.healed) == (0, 0)
    assert bench.check().spent == 120


def test_sweep_that_died_between_its_two_writes_is_finished(
    make_bench: Callable[[int], Bench],
) -> None:
    """It left a lost record and the hold: the next one gives the hold back."""
    bench = make_bench(1000)
    hold = reserve(bench)
    bench.ledger.void(hold, LATER)

    tally = run(bench.ledger)

    assert (tally.released, tally.settled, tally.returned) == (1, 0, 300)
    assert (bench.check().balance, bench.check().held) == (1000, 0)


def test_lambda_that_wakes_up_after_the_sweep_charges_nothing(
    make_bench: Callable[[int], Bench],
) -> None:
    """Its record comes too late: what stands is the sweep's, and what was released stays so."""
    bench = make_bench(1000)
    hold = reserve(bench)
    run(bench.ledger)

    raised = bench.ledger.extend(hold, Micropoints(500))
    standing = bench.ledger.journal(record(raised, 300))
    bench.ledger.settle(raised, standing.quota)

    assert (standing.outcome, standing.quota, standing.hold_number) == ("lost", 0, hold.number)
    assert (bench.check().balance, bench.check().spent) == (1000, 0)


def test_lambda_that_settles_beside_the_sweep_is_charged_once(
    make_bench: Callable[[int], Bench],
) -> None:
    """Whoever comes first settles; the other finds the hold closed."""
    bench = make_bench(1000)
    hold = reserve(bench)
    bench.ledger.journal(record(hold, 120))
    run(bench.ledger)

    bench.ledger.settle(hold, Micropoints(120))

    assert (bench.check().balance, bench.check().spent) == (880, 120)


def test_hold_that_another_one_has_paid_is_given_back(make_bench: Callable[[int], Bench]) -> None:
    """A copy of the reserve came after the settle: the record is of the first hold."""
    bench = make_bench(1000)
    hold = reserve(bench)
    bench.ledger.journal(record(hold, 120))
    bench.ledger.settle(hold, Micropoints(120))
    reserve(bench)

    tally = run(bench.ledger)

    assert (tally.released, tally.settled) == (1, 0)
    assert (bench.check().balance, bench.check().spent) == (880, 120)


def test_only_the_old_holds_of_an_account_are_ended(make_bench: Callable[[int], Bench]) -> None:
    """The young one stays, and the account stays on the list, by the young one's time."""
    bench = make_bench(1000)
    reserve(bench)
    young = reserve(bench, "r-2", NOW + timedelta(minutes=5))

    run(bench.ledger)

    account = bench.check()
    assert account.holds == {"r-2": young}
    assert account.open_since == young.since
    assert list(bench.ledger.open_accounts(young.since)) == []
    assert list(bench.ledger.open_accounts(young.since + timedelta(seconds=1))) == ["a"]


def test_account_without_holds_leaves_the_list_and_comes_back(
    make_bench: Callable[[int], Bench],
) -> None:
    """A settled request leaves its account on the list until the sweep has looked."""
    bench = make_bench(1000)
    hold = reserve(bench)
    bench.ledger.settle(hold, Micropoints(120))

    assert run(bench.ledger).accounts == 1
    assert bench.check().open_since is None
    reserve(bench, "r-2", LATER)
    assert bench.check().open_since == LATER


class Racing:
    """A ledger in which a request comes between the sweep's look and its leaving."""

    def __init__(self, bench: Bench, moment: Callable[[], object]) -> None:
        self._ledger = bench.ledger
        self._moment = moment

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    def find_account(self, account_id: str) -> Account:
        account = self._ledger.find_account(account_id)
        self._moment()
        return account


def test_reserve_beside_the_sweep_is_not_forgotten(make_bench: Callable[[int], Bench]) -> None:
    """A hold that is made while the sweep takes its account off the list is healed in its time."""
    bench = make_bench(1000)
    bench.ledger.settle(reserve(bench), Micropoints(120))
    racing = Racing(bench, lambda: reserve(bench, "r-2", LATER))

    run(racing)  # type: ignore[arg-type]
    healed = run(bench.ledger, at=LATER + HOLD_AGE_MAX + timedelta(seconds=1))

    assert healed.released == 1
    assert (bench.check().held, bench.check().open_since) == (0, None)


def test_sweep_that_dawdles_moves_no_account_that_came_back(
    make_bench: Callable[[int], Bench],
) -> None:
    """Another sweep took the account off, a request put it on again: its time stays the hold's."""
    bench = make_bench(1000)
    bench.ledger.settle(reserve(bench), Micropoints(120))

    def come_back() -> None:
        run(bench.ledger)
        reserve(bench, "r-2", LATER - timedelta(seconds=5))

    run(Racing(bench, come_back))  # type: ignore[arg-type]

    assert bench.check().open_since == LATER - timedelta(seconds=5)


def test_extend_beside_the_sweep_is_left_to_the_next_one(
    make_bench: Callable[[int], Bench],
) -> None:
    """The record says more than the sweep saw held; the next one sees both."""
    bench = make_bench(1000)
    hold = reserve(bench)
    racing = Racing(
        bench,
        lambda: bench.ledger.journal(record(bench.ledger.extend(hold, Micropoints(450)), 450)),
    )

    first = run(racing)  # type: ignore[arg-type]
    second = run(bench.ledger)

    assert (first.failed, first.healed, second.settled) == (1, 0, 1)
    assert (bench.check().balance, bench.check().spent) == (550, 450)


def test_two_sweeps_at_once_do_it_once(make_bench: Callable[[int], Bench]) -> None:
    """One runs inside of the other, at its most awkward moment."""
    bench = make_bench(1000)
    bench.ledger.journal(record(reserve(bench), 120))
    reserve(bench, "r-2")
    racing = Racing(bench, lambda: run(bench.ledger))

    run(racing)  # type: ignore[arg-type]

    assert (bench.check().balance, bench.check().spent) == (880, 120)
    assert bench.check().open_since is None


def test_sweep_stops_in_time_and_goes_on_where_it_stopped(
    make_bench: Callable[[int], Bench],
) -> None:
    """Without time left it says so; the oldest come first, so the next one goes on."""
    bench = make_bench(1000)
    reserve(bench, "r-2", NOW + timedelta(seconds=1))
    reserve(bench, "r-1", NOW)
    reserve(bench, "r-3", NOW + timedelta(seconds=2))
    left = iter([1.0, 1.0, 1.0, 0.0])
    at = LATER + timedelta(minutes=1)

    first = sweep(bench.ledger, now=lambda: at, budget_s=lambda: next(left))

    assert (first.is_complete, first.healed) == (False, 2)
    assert set(bench.check().holds) == {"r-3"}
    assert run(bench.ledger, at).healed == 1
    assert not run(bench.ledger, at, budget_s=0.0).accounts


class Failing(Racing):
    """A ledger in which some request's record cannot be written."""

    def void(self, hold: Hold, at: datetime) -> UsageRecord:
        if hold.request_id == "r-1":
            raise LedgerUnavailableError
        return self._ledger.void(hold, at)

    def open_accounts(self, before: datetime) -> Iterator[str]:
        yield "gone"
        yield from self._ledger.open_accounts(before)


def test_failures_are_counted_and_left_for_the_next_sweep(
    make_bench: Callable[[int], Bench],
) -> None:
    """An account that is gone, and one that fails, stop neither the others nor the next sweep."""
    bench = make_bench(1000)
    reserve(bench)
    failing = Failing(bench, lambda: None)

    first = run(failing)  # type: ignore[arg-type]

    assert (first.failed, first.healed) == (2, 0)
    assert run(bench.ledger).released == 1


def test_account_that_nobody_can_read_stops_no_other(
    make_bench: Callable[[int], Bench], caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted, and logged by its error's class and place: the item's text is not shown."""
    bench = make_bench(1000)
    bench.spoil()
    reserve(bench)

    tally = run(bench.ledger)

    [warning] = [entry for entry in caplog.records if entry.levelname == "WARNING"]
    assert (tally.failed, tally.released) == (1, 1)
    assert warning.__dict__["account"] == "b"
    assert warning.__dict__["error"] in {"AttributeError", "KeyError"}
    assert ".py:" in warning.__dict__["place"]
    assert "r-secret" not in str(warning.__dict__)
