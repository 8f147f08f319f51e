"""The verbs of the ledger, on the store over DynamoDB Local and on the fake alike."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tollgate.core.units import Micropoints
from tollgate.errors import (
    AccountInactiveError,
    InsufficientQuotaError,
    LedgerConflictError,
    LedgerUnavailableError,
    RequestInProgressError,
)
from tollgate.ledger.model import Ask, Hold, Reservation, UsageRecord

from tests.contracts.conftest import NOW, Bench


def ask(
    worst: int, *, floor: int | None = None, least: int | None = None, limited: bool = True
) -> Ask:
    return Ask(
        worst=Micropoints(worst),
        floor=Micropoints(worst if floor is None else floor),
        least=Micropoints(worst if least is None else least),
        is_limited=limited,
    )


def reservation(wanted: Ask, request_id: str = "r-1", budget: int | None = None) -> Reservation:
    return Reservation(
        account_id="a",
        key_id="key_1",
        request_id=request_id,
        since=NOW,
        ask=wanted,
        budget=None if budget is None else Micropoints(budget),
    )


def record(hold: Hold, quota: int) -> UsageRecord:
    return UsageRecord(
        account_id=hold.account_id,
        key_id=hold.key_id,
        request_id=hold.request_id,
        since=hold.since,
        finished_at=NOW,
        endpoint="chat.completions",
        model="m",
        channel="c",
        tokens={"prompt": 3, "completion": 5},
        is_exact=True,
        is_stream=True,
        quota=Micropoints(quota),
        outcome="complete",
        hold_number=hold.number,
    )


def test_reserve_sets_the_worst_case_aside(make_bench: Callable[[int], Bench]) -> None:
    """What fits is held whole, and the balance goes down by it."""
    bench = make_bench(1000)

    hold = bench.ledger.reserve(reservation(ask(300)))

    account = bench.check()
    assert (hold.amount, hold.since, hold.key_id) == (300, NOW, "key_1")
    assert (account.balance, account.held) == (700, 300)
    assert account.holds == {"r-1": hold}


def test_reserve_is_idempotent(make_bench: Callable[[int], Bench]) -> None:
    """The same request id again gets the hold that stands, and holds nothing more."""
    bench = make_bench(1000)
    first = bench.ledger.reserve(reservation(ask(300)))

    assert first == bench.ledger.reserve(reservation(ask(500)))
    assert bench.check().held == 300


@pytest.mark.parametrize(
    ("balance", "wanted", "expected"),
    [
        (1000, ask(1000), 1000),
        (1000, ask(250, floor=10, least=5, limited=False), 250),
        (1000, ask(251, floor=10, least=5, limited=False), 250),
        (1000, ask(2000, floor=10, least=5), 250),
        (1000, ask(2000, floor=400, least=5), 400),
        (1000, ask(2000, floor=1500, least=5), 1000),
        (100, ask(2000, floor=1500, least=100), 100),
        (1000, ask(600, floor=500, least=400, limited=False), 500),
        (0, ask(0), 0),
    ],
)
def test_hold_rule(
    make_bench: Callable[[int], Bench], balance: int, wanted: Ask, expected: int
) -> None:
    """Worst case, a quarter, the floor or all there is: the rule of docs/ledger.md."""
    bench = make_bench(balance)

    assert expected == bench.ledger.reserve(reservation(wanted)).amount
    assert bench.check().held == expected


def test_too_little_is_refused(make_bench: Callable[[int], Bench]) -> None:
    """Not even the least fits: nothing is held."""
    bench = make_bench(99)

    with pytest.raises(InsufficientQuotaError):
        bench.ledger.reserve(reservation(ask(1000, floor=500, least=100)))

    assert bench.check().held == 0


def test_suspended_account_reserves_nothing(make_bench: Callable[[int], Bench]) -> None:
    """A suspended account is refused at once, whatever its balance."""
    bench = make_bench(1000)
    bench.suspend()

    with pytest.raises(AccountInactiveError):
        bench.ledger.reserve(reservation(ask(1)))

    assert bench.check().held == 0


def test_unknown_account_is_inactive(make_bench: Callable[[int], Bench]) -> None:
    """A key whose account is gone opens nothing."""
    bench = make_bench(1)

    with pytest.raises(AccountInactiveError):
        bench.ledger.reserve(replace(reservation(ask(1)), account_id="gone"))


def reserved_amount(bench: Bench, asked: Reservation) -> int | None:
    """Return what is held, or None if the ledger gave up: refused each time that it asked."""
    try:
        return bench.ledger.reserve(asked).amount
    except LedgerUnavailableError:
        return None


def test_key_is_served_within_its_budget(make_bench: Callable[[int], Bench]) -> None:
    """Both the first request of a key, which has used nothing, and one after it."""
    bench = make_bench(10_000)

    assert reserved_amount(bench, reservation(ask(300), "r-1", budget=500)) == 300
    assert reserved_amount(bench, reservation(ask(200), "r-2", budget=500)) == 200
    assert bench.check().key_used == {"key_1": 500}


def test_budget_limits_a_key(make_bench: Callable[[int], Bench]) -> None:
    """Held and spent count towards a key's budget; what is given back does not."""
    bench = make_bench(10_000)
    first = bench.ledger.reserve(reservation(ask(300), "r-1", budget=500))
    with pytest.raises(InsufficientQuotaError):
        bench.ledger.reserve(reservation(ask(300), "r-2", budget=500))

    bench.ledger.journal(record(first, 100))
    bench.ledger.settle(first, Micropoints(100))

    assert bench.ledger.reserve(reservation(ask(300), "r-3", budget=500)).amount == 300
    assert bench.check().key_used == {"key_1": 400}


def test_budget_lowers_a_hold(make_bench: Callable[[int], Bench]) -> None:
    """A budget is to the hold rule what a balance is."""
    bench = make_bench(10_000)

    hold = bench.ledger.reserve(reservation(ask(3000, floor=10, least=5), budget=400))

    assert hold.amount == 100
    assert bench.check().balance == 9900


def test_budget_of_an_unused_key_that_is_too_small(make_bench: Callable[[int], Bench]) -> None:
    """The first request of a key is compared with its budget too."""
    bench = make_bench(10_000)

    with pytest.raises(InsufficientQuotaError):
        bench.ledger.reserve(reservation(ask(300), budget=299))


def test_settle_spends_and_gives_the_rest_back(make_bench: Callable[[int], Bench]) -> None:
    """After settle nothing is held; repeated, and after a release, nothing changes."""
    bench = make_bench(1000)
    hold = bench.ledger.reserve(reservation(ask(300)))

    ended = []
    for _ in range(2):
        ended.append(bench.ledger.settle(hold, Micropoints(120)))
        bench.ledger.release(hold)

    account = bench.check()
    assert ended == [hold, None]
    assert (account.balance, account.held, account.spent) == (880, 0, 120)
    assert account.key_used == {"key_1": 120}


def test_settle_of_the_whole_hold_and_of_nothing(make_bench: Callable[[int], Bench]) -> None:
    """The two ends: all of it, and none of it."""
    bench = make_bench(1000)
    for request_id, quota in (("r-1", 300), ("r-2", 0)):
        hold = bench.ledger.reserve(reservation(ask(300), request_id))
        bench.ledger.settle(hold, Micropoints(quota))

    assert (bench.check().balance, bench.check().spent) == (700, 300)


def test_settle_beyond_the_hold_is_a_bug(make_bench: Callable[[int], Bench]) -> None:
    """More than is held is never spent."""
    bench = make_bench(1000)
    hold = bench.ledger.reserve(reservation(ask(300)))

    with pytest.raises(ValueError, match="at most its hold"):
        bench.ledger.settle(hold, Micropoints(301))

    assert bench.check().held == 300


def test_release_gives_all_back_once(make_bench: Callable[[int], Bench]) -> None:
    """A release, repeated, and a settle after it, leave the balance as it was."""
    bench = make_bench(1000)
    hold = bench.ledger.reserve(reservation(ask(300)))

    for _ in range(2):
        bench.ledger.release(hold)
        bench.ledger.settle(hold, Micropoints(300))

    assert (bench.check().balance, bench.check().spent) == (1000, 0)


def test_release_knows_the_amount_better_than_its_caller(
    make_bench: Callable[[int], Bench],
) -> None:
    """After a reserve of unknown outcome the caller has no amount; the ledger has."""
    bench = make_bench(1000)
    hold = bench.ledger.reserve(reservation(ask(300)))

    bench.ledger.release(replace(hold, amount=Micropoints(0)))

    assert (bench.check().balance, bench.check().held) == (1000, 0)


def test_release_of_nothing(make_bench: Callable[[int], Bench]) -> None:
    """Releasing what was never held, of an account that is or is not there, does nothing."""
    bench = make_bench(1000)
    hold = Hold(
        account_id="a", key_id="key_1", request_id="never", since=NOW, amount=Micropoints(5)
    )

    bench.ledger.release(hold)
    bench.ledger.release(replace(hold, account_id="gone"))

    assert bench.check().balance == 1000


def test_extend_raises_the_hold(make_bench: Callable[[int], Bench]) -> None:
    """An overrun is covered from the balance; repeated, by its old or its new hold, only once."""
    bench = make_bench(1000)
    hold = bench.ledger.reserve(reservation(ask(300)))

    raised = bench.ledger.extend(hold, Micropoints(450))

    assert raised.amount == 450
    assert raised == bench.ledger.extend(hold, Micropoints(450))
    assert raised == bench.ledger.extend(raised, Micropoints(450))
    assert (bench.check().balance, bench.check().held) == (550, 450)


def test_extend_takes_what_is_left(make_bench: Callable[[int], Bench]) -> None:
    """More than the balance has: all of it is taken, and no more."""
    bench = make_bench(1000)
    hold = bench.ledger.reserve(reservation(ask(900)))

    raised = bench.ledger.extend(hold, Micropoints(5000))

    assert raised.amount == 1000
    assert bench.check().balance == 0


@pytest.mark.parametrize(("amount", "expected"), [(400, 450), (600, 600), (5000, 1000)])
def test_extend_goes_on_after_one_whose_answer_was_lost(
    make_bench: Callable[[int], Bench], amount: int, expected: int
) -> None:
    """The caller still has the old hold: it is raised from where it stands, by what is missing."""
    bench = make_bench(1000)
    hold = bench.ledger.reserve(reservation(ask(300)))
    bench.ledger.extend(hold, Micropoints(450))

    raised = bench.ledger.extend(hold, Micropoints(amount))

    assert raised == replace(hold, amount=Micropoints(expected))
    assert (bench.check().balance, bench.check().held) == (1000 - expected, expected)


def test_extend_of_a_closed_hold_changes_nothing(make_bench: Callable[[int], Bench]) -> None:
    """After settle there is nothing to extend."""
    bench = make_bench(1000)
    hold = bench.ledger.reserve(reservation(ask(300)))
    bench.ledger.settle(hold, Micropoints(300))

    assert hold == bench.ledger.extend(hold, Micropoints(400))
    assert bench.check().balance == 700


def test_settle_after_an_extend_whose_answer_was_lost(make_bench: Callable[[int], Bench]) -> None:
    """The caller still has the old hold; the ledger settles by its own amount."""
    bench = make_bench(1000)
    hold = bench.ledger.reserve(reservation(ask(300)))
    bench.ledger.extend(hold, Micropoints(450))

    bench.ledger.settle(hold, Micropoints(300))

    assert (
        bench.check().balance,
        bench.check().held,
        bench.check().spent,
    ) == (700, 0, 300)


def test_another_run_of_the_request_is_refused(make_bench: Callable[[int], Bench]) -> None:
    """Who did not make the hold may not use it: one run would give back what the other spends."""
    bench = make_bench(1000)
    first = replace(reservation(ask(300)), attempt="one")
    bench.ledger.reserve(first)

    with pytest.raises(RequestInProgressError):
        bench.ledger.reserve(replace(first, attempt="two"))

    assert bench.check().held == 300


def test_release_is_of_the_own_attempt(make_bench: Callable[[int], Bench]) -> None:
    """A late release of one run does not take the hold from under the next."""
    bench = make_bench(1000)
    first = bench.ledger.reserve(replace(reservation(ask(300)), attempt="one"))
    bench.ledger.release(first)
    bench.ledger.reserve(replace(reservation(ask(300)), attempt="two"))

    bench.ledger.release(first)

    assert bench.check().held == 300


def test_late_copies_of_extend_and_settle_find_another_hold(
    make_bench: Callable[[int], Bench],
) -> None:
    """A reserve that is repeated after the end makes a new hold, which the old one's end spares."""
    bench = make_bench(1000)
    first = bench.ledger.reserve(reservation(ask(300)))
    bench.ledger.settle(first, Micropoints(120))
    second = bench.ledger.reserve(reservation(ask(300)))

    bench.ledger.settle(first, Micropoints(120))
    assert bench.ledger.extend(first, Micropoints(400)) == first

    assert second.number != first.number
    assert (bench.check().spent, bench.check().held) == (120, 300)


def test_journal_returns_the_record_that_stands(make_bench: Callable[[int], Bench]) -> None:
    """The first record; who wrote it is told by its hold's number."""
    bench = make_bench(1000)
    hold = bench.ledger.reserve(reservation(ask(300)))

    first = bench.ledger.journal(record(hold, 120))
    second = bench.ledger.journal(replace(record(hold, 200), hold_number=99))

    assert first == second == record(hold, 120)


def test_journal_is_written_once(make_bench: Callable[[int], Bench]) -> None:
    """A repeated journal, even with another quota, keeps the first record."""
    bench = make_bench(1000)
    hold = bench.ledger.reserve(reservation(ask(300)))

    bench.ledger.journal(record(hold, 120))
    bench.ledger.journal(record(hold, 200))
    bench.ledger.settle(hold, Micropoints(120))

    assert bench.check().spent == 120


def test_grant_is_once_per_id(make_bench: Callable[[int], Bench]) -> None:
    """A repeated top-up says so and adds nothing."""
    bench = make_bench(0)

    assert [bench.grant("g", 500, "a") for _ in range(2)] == [True, False]
    assert (bench.check().balance, bench.check().granted) == (500, 500)


def test_grant_to_nobody_is_refused(make_bench: Callable[[int], Bench]) -> None:
    """No account comes into being by a top-up."""
    bench = make_bench(0)

    with pytest.raises(LedgerConflictError):
        bench.grant("g", 500, "nobody")


def test_budget_holds_a_request_without_a_limit_to_a_quarter(
    make_bench: Callable[[int], Bench],
) -> None:
    """As of a balance: an answer without a limit takes no more than that of what is left."""
    bench = make_bench(10_000)
    wanted = ask(300, floor=10, least=5, limited=False)

    assert bench.ledger.reserve(reservation(wanted, budget=400)).amount == 100
