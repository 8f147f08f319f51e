"""The sweep, on the store over DynamoDB Local and on the fake alike."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
    """A ledger in which something happens after each look of the sweep at an account."""

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


def test_sweep_whose_clock_is_ahead_hides_no_account(make_bench: Callable[[int], Bench]) -> None:
    """A hold that it met on its way out is found when that one is old, by anybody's clock."""
    bench = make_bench(1000)
    bench.ledger.settle(reserve(bench), Micropoints(120))
    hold = replace(reservation(ask(300), "r-2"), since=LATER)
    racing = Racing(bench, lambda: bench.ledger.reserve(hold))

    run(racing, at=NOW + timedelta(days=365))  # type: ignore[arg-type]
    healed = run(bench.ledger, at=LATER + timedelta(days=1))

    assert (healed.accounts, healed.released) == (1, 1)
    assert (bench.check().held, bench.check().open_since) == (0, None)


def test_account_that_is_busy_on_the_sweeps_way_out_stays_where_it_was(
    make_bench: Callable[[int], Bench],
) -> None:
    """A request at each look, ended at once: the account waits for the next sweep, never hidden."""
    bench = make_bench(1000)
    bench.ledger.settle(reserve(bench), Micropoints(120))
    numbers = itertools.count(2)

    def pass_through() -> None:
        hold = reserve(bench, f"r-{next(numbers)}", LATER)
        bench.ledger.settle(hold, Micropoints(1))

    run(Racing(bench, pass_through))  # type: ignore[arg-type]

    assert bench.check().open_since == NOW
    assert run(bench.ledger).accounts == 1
    assert bench.check().open_since is None


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


def test_account_that_left_the_list_and_came_back_is_not_moved_by_an_old_look(
    make_bench: Callable[[int], Bench],
) -> None:
    """Its younger hold is gone and one that waited is there: moved, that one is found late."""
    bench = make_bench(1000)
    young = reserve(bench, "r-1", NOW + timedelta(minutes=5))
    seen = replace(bench.read(), open_since=NOW)
    bench.ledger.release(young)
    run(bench.ledger, at=LATER + timedelta(minutes=5))
    reserve(bench, "r-2", NOW + timedelta(minutes=1))

    assert not bench.ledger.move_open_since(seen, young.since)
    assert bench.check().open_since == NOW + timedelta(minutes=1)


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


def test_hold_that_its_request_ends_first_is_not_the_sweeps(
    make_bench: Callable[[int], Bench],
) -> None:
    """Settled or given back since the sweep looked: neither healed nor failed, nothing returned."""
    bench = make_bench(1000)
    settled, released = reserve(bench), reserve(bench, "r-2")

    def end() -> None:
        bench.ledger.journal(record(settled, 120))
        bench.ledger.settle(settled, Micropoints(120))
        bench.ledger.release(released)

    tally = run(Racing(bench, end))  # type: ignore[arg-type]

    assert (tally.accounts, tally.healed, tally.failed, tally.returned) == (1, 0, 0, 0)
    assert (bench.check().balance, bench.check().spent) == (880, 120)


def test_hold_that_grew_since_the_sweep_looked_is_counted_as_it_was_ended(
    make_bench: Callable[[int], Bench],
) -> None:
    """What is given back is what the account had."""
    bench = make_bench(1000)
    hold = reserve(bench)
    racing = Racing(bench, lambda: bench.ledger.extend(hold, Micropoints(450)))

    tally = run(racing)  # type: ignore[arg-type]

    assert (tally.released, tally.returned) == (1, 450)
    assert bench.check().balance == 1000


def test_two_sweeps_at_once_do_it_once(make_bench: Callable[[int], Bench]) -> None:
    """One runs inside of the other, at its most awkward moment; what it ends is its own."""
    bench = make_bench(1000)
    bench.ledger.journal(record(reserve(bench), 120))
    reserve(bench, "r-2")
    inner: list[Tally] = []
    racing = Racing(bench, lambda: inner.append(run(bench.ledger)))

    outer = run(racing)  # type: ignore[arg-type]

    assert [one.healed for one in (outer, *inner)] == [0, 2, 0]
    assert (inner[0].returned, outer.returned, outer.failed) == (480, 0, 0)
    assert (bench.check().balance, bench.check().spent) == (880, 120)
    assert bench.check().open_since is None


def test_sweeps_side_by_side_count_each_hold_once(make_bench: Callable[[int], Bench]) -> None:
    """Whichever of three is first at a hold: together they healed as many as there were."""
    bench = make_bench(1000)
    for number in range(12):
        hold = reserve(bench, f"r-{number}", amount=10)
        if number % 2:
            bench.ledger.journal(record(hold, 4))

    with ThreadPoolExecutor(3) as pool:
        tallies = list(pool.map(run, [bench.ledger] * 3))

    assert sum(one.settled for one in tallies) == sum(one.released for one in tallies) == 6
    assert sum(one.returned for one in tallies) == 120 - 6 * 4
    assert sum(one.failed for one in tallies) == 0
    assert (bench.check().held, bench.check().spent) == (0, 24)


def test_sweep_stops_in_time_and_goes_on_where_it_stopped(
    make_bench: Callable[[int], Bench],
) -> None:
    """Without time left it says so; the oldest come first, whatever their names, so it goes on.

    The oldest is neither the first nor the last by its name or by when it was written.
    """
    bench = make_bench(1000)
    for name, seconds in (("r-1", 1), ("r-5", 4), ("r-3", 0), ("r-2", 2), ("r-4", 3)):
        reserve(bench, name, NOW + timedelta(seconds=seconds), amount=100)
    at = LATER + timedelta(minutes=1)
    order: list[set[str]] = []

    for left in (4, 3, 2, 1):
        tally = sweep(
            bench.ledger,
            now=lambda: at,
            budget_s=lambda left=left: float(len(bench.read().holds) > left),
        )
        assert (tally.is_complete, tally.healed) == (False, 1)
        order.append(set(bench.check().holds))

    assert order == [
        {"r-1", "r-2", "r-4", "r-5"},
        {"r-2", "r-4", "r-5"},
        {"r-4", "r-5"},
        {"r-5"},
    ]
    assert run(bench.ledger, at).healed == 1
    assert not run(bench.ledger, at, budget_s=0.0).accounts


def test_oldest_account_is_first_and_the_next_sweep_goes_on_after_it(
    make_bench: Callable[[int], Bench],
) -> None:
    """By the time of their holds, not by name: when the time is up, the younger ones wait."""
    bench = make_bench(1000)
    for seconds, account_id in enumerate(("z-oldest", "a", "m-youngest")):
        if account_id != "a":
            bench.open_account(account_id, 1000)
        asked = replace(reservation(ask(300)), account_id=account_id)
        bench.ledger.reserve(replace(asked, since=NOW + timedelta(seconds=seconds)))
    at = LATER + timedelta(minutes=1)

    def has_oldest() -> float:
        return float(bench.ledger.find_account("z-oldest").open_since is not None)

    first = sweep(bench.ledger, now=lambda: at, budget_s=has_oldest)
    left = list(bench.ledger.open_accounts(at))
    second = run(bench.ledger, at)

    assert (first.accounts, first.healed, first.is_complete) == (1, 1, False)
    assert left == ["a", "m-youngest"]
    assert (second.accounts, second.healed, second.is_complete) == (2, 2, True)


class Slow(Racing):
    """A ledger of which each call takes its worst time, nine seconds of a clock of its own."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench, lambda: None)
        self.clock_s = 0
        self.began_s: list[int] = []

    def _pass(self) -> None:
        self.began_s.append(self.clock_s)
        self.clock_s += 9

    def open_accounts(self, before: datetime) -> Iterator[str]:
        self._pass()
        yield from self._ledger.open_accounts(before)

    def find_account(self, account_id: str) -> Account:
        self._pass()
        return super().find_account(account_id)

    def void(self, hold: Hold, at: datetime) -> UsageRecord:
        self._pass()
        return self._ledger.void(hold, at)

    def settle(self, hold: Hold, quota: Micropoints) -> Hold | None:
        self._pass()
        return self._ledger.settle(hold, quota)

    def move_open_since(self, account: Account, to: datetime | None) -> bool:
        self._pass()
        return False  # as if a request had come between: two calls more follow


def test_no_call_begins_when_the_time_is_up(make_bench: Callable[[int], Bench]) -> None:
    """Wherever in a visit that is: list, look, record, settle, twice look again and leave."""
    bench = make_bench(1000)
    counts = []

    for budget_s in range(-4, 69, 9):
        reserve(bench, f"r-{budget_s}")
        slow = Slow(bench)
        tally = sweep(
            slow,  # type: ignore[arg-type]
            now=lambda: LATER,
            budget_s=lambda slow=slow, until_s=budget_s: until_s - slow.clock_s,
        )
        assert not tally.is_complete
        assert all(began_s < budget_s for began_s in slow.began_s)
        counts.append(len(slow.began_s))
        run(bench.ledger)

    assert counts == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert (bench.check().held, bench.check().open_since) == (0, None)


class BreakingOff(Racing):
    """A ledger whose list is throttled after its first page."""

    def open_accounts(self, before: datetime) -> Iterator[str]:
        yield next(self._ledger.open_accounts(before))
        raise LedgerUnavailableError


def test_list_that_breaks_off_keeps_what_was_done(make_bench: Callable[[int], Bench]) -> None:
    """The tally says what was healed before, that this was not all, and why."""
    bench = make_bench(1000)
    bench.open_account("b", 1000)
    reserve(bench)
    later = replace(reservation(ask(300)), account_id="b", since=NOW + timedelta(seconds=1))
    bench.ledger.reserve(later)
    at = LATER + timedelta(minutes=1)

    first = run(BreakingOff(bench, lambda: None), at)  # type: ignore[arg-type]
    second = run(bench.ledger, at)

    assert (first.healed, first.returned, first.is_complete) == (1, 300, False)
    assert isinstance(first.list_failure, LedgerUnavailableError)
    assert (second.healed, second.is_complete, second.list_failure) == (1, True, None)


class Failing(Racing):
    """A ledger in which two requests' records cannot be had: throttled, and not to be read."""

    def void(self, hold: Hold, at: datetime) -> UsageRecord:
        if hold.request_id == "r-1":
            raise LedgerUnavailableError
        if hold.request_id == "r-2":
            raise KeyError("quota")
        return self._ledger.void(hold, at)

    def open_accounts(self, before: datetime) -> Iterator[str]:
        yield "gone"
        yield from self._ledger.open_accounts(before)


def test_failures_are_counted_and_left_for_the_next_sweep(
    make_bench: Callable[[int], Bench],
) -> None:
    """An account that is gone and holds that fail stop neither the others nor the next sweep."""
    bench = make_bench(1000)
    bench.open_account("b", 1000)
    for seconds, name in enumerate(("r-1", "r-2", "r-3")):
        reserve(bench, name, NOW + timedelta(seconds=seconds))
    other = replace(reservation(ask(300), "r-4"), account_id="b")
    bench.ledger.reserve(replace(other, since=NOW + timedelta(seconds=3)))
    failing = Failing(bench, lambda: None)
    at = LATER + timedelta(minutes=1)

    first = run(failing, at)  # type: ignore[arg-type]
    left = set(bench.check().holds)
    second = run(bench.ledger, at)

    assert (first.failed, first.released, first.accounts, first.is_complete) == (3, 2, 2, True)
    assert left == {"r-1", "r-2"}
    assert (second.failed, second.released) == (0, 2)
    assert bench.check().open_since is None


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
