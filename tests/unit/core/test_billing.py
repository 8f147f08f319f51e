"""The billing shapes: units, whole numbers where clients read them, sums that agree."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tollgate.core.billing import (
    DayCost,
    Exchange,
    Funds,
    Grant,
    describe_grants,
    describe_subscription,
    describe_usage,
)
from tollgate.core.units import Micropoints

CENTS = Exchange(100)  # a point is a cent


def funds(granted: int, balance: int) -> Funds:
    return Funds(granted=Micropoints(granted), balance=Micropoints(balance))


def cost(day: str, model: str, quota: int) -> DayCost:
    return DayCost(day=day, model=model, quota=Micropoints(quota))


def grant(grant_id: str, amount: int, day: int) -> Grant:
    at = datetime(2026, 11, day, tzinfo=UTC)
    return Grant(grant_id=grant_id, amount=Micropoints(amount), at=at)


def test_subscription_has_whole_points_and_dollars() -> None:
    """Limits without a unit are whole points, rounded down; `*_usd` is exact."""
    found = describe_subscription(funds(1_000_999_999, 12_345_678), CENTS, access_until=7)

    assert found == {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit": 12,
        "hard_limit": 1000,
        "system_hard_limit": 1000,
        "soft_limit_usd": 0.12345678,
        "hard_limit_usd": 10.00999999,
        "system_hard_limit_usd": 10.00999999,
        "access_until": 7,
        "plan": {"title": "Prepaid", "id": "prepaid"},
    }
    assert isinstance(found["hard_limit"], int)


def test_whole_dollars_stay_numbers_with_a_fraction() -> None:
    """A field is one JSON type whatever its value."""
    found = describe_subscription(funds(1_000_000_000, 0), CENTS, access_until=0)

    assert json.dumps(found["hard_limit_usd"]) == "10.0"
    assert json.dumps(found["soft_limit_usd"]) == "0.0"


def test_usage_is_cents_by_day_and_model() -> None:
    """An entry a day with usage, at its UTC midnight; the total is the sum without float errors."""
    costs = [
        cost("2026-11-23", "a", 100_000),
        cost("2026-11-23", "b", 200_000),
        cost("2026-11-25", "a", 1),
    ]

    assert describe_usage(costs, CENTS) == {
        "object": "list",
        "total_usage": 0.300001,
        "daily_costs": [
            {
                "timestamp": 1795392000,
                "line_items": [{"name": "a", "cost": 0.1}, {"name": "b", "cost": 0.2}],
            },
            {"timestamp": 1795564800, "line_items": [{"name": "a", "cost": 0.000001}]},
        ],
    }


def test_usage_of_nothing() -> None:
    """No usage is an empty list and a total of 0."""
    assert describe_usage([], CENTS) == {"object": "list", "total_usage": 0.0, "daily_costs": []}


def test_free_usage_is_listed() -> None:
    """A free model's line costs 0."""
    found = describe_usage([cost("2026-11-23", "free", 0)], CENTS)

    assert found["daily_costs"] == [
        {"timestamp": 1795392000, "line_items": [{"name": "free", "cost": 0.0}]}
    ]


@pytest.mark.parametrize(
    ("balance", "expected"),
    [(600, [0, 0, 0]), (500, [100, 0, 0]), (350, [100, 150, 0]), (0, [100, 200, 300])],
)
def test_oldest_grant_is_used_first(balance: int, expected: list[int]) -> None:
    """What is used, holds among it, is taken from the grants in the order of their times."""
    grants = [grant("b", 200_000_000, 2), grant("c", 300_000_000, 3), grant("a", 100_000_000, 1)]

    found = describe_grants(funds(600_000_000, balance * 1_000_000), grants, CENTS)

    data = found["grants"]["data"]  # type: ignore[index]
    assert [one["id"] for one in data] == ["a", "b", "c"]
    assert [one["used_amount"] for one in data] == [used / 100 for used in expected]
    assert [one["grant_amount"] for one in data] == [1.0, 2.0, 3.0]
    assert found["total_used"] == sum(expected) / 100
    assert found["total_available"] == balance / 100


def test_old_grants_of_a_long_list_are_one() -> None:
    """The newest thousand stand for themselves; what came before is one, and the sums are whole."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    grants = [
        Grant(grant_id=f"g-{at:04}", amount=Micropoints(10), at=start + timedelta(days=at))
        for at in range(1003)
    ]

    found: Any = describe_grants(funds(10_030, 9_975), grants, CENTS)

    data = found["grants"]["data"]
    assert len(data) == 1001
    assert (data[0]["id"], data[0]["grant_amount"], data[0]["used_amount"]) == (
        "earlier",
        0.0000003,
        0.0000003,
    )
    assert data[0]["effective_at"] == int((start + timedelta(days=2)).timestamp())
    assert [one["used_amount"] for one in data[1:5]] == [0.0000001, 0.0000001, 0.00000005, 0]
    assert [one["id"] for one in data[1:]] == [grant.grant_id for grant in grants[3:]]
    assert found["total_granted"] == 0.0001003


def test_a_thousand_grants_are_shown_one_by_one() -> None:
    """Nothing is folded that fits."""
    grants = [grant(f"g-{at:04}", 1, 1) for at in range(1000)]

    found: Any = describe_grants(funds(1000, 0), grants, CENTS)

    assert [one["id"] for one in found["grants"]["data"]] == [one.grant_id for one in grants]


def test_grant_says_when() -> None:
    """Times are whole unix seconds; a grant never expires, which is 0."""
    found = describe_grants(funds(1, 1), [grant("a", 1, 23)], CENTS)

    assert found["grants"] == {
        "object": "list",
        "data": [
            {
                "object": "credit_grant",
                "id": "a",
                "grant_amount": 1e-08,
                "used_amount": 0.0,
                "effective_at": 1795392000,
                "expires_at": 0,
            }
        ],
    }


@pytest.mark.parametrize(
    ("points_per_usd", "steps_per_usd"),
    [(1, 10**6), (10, 10**7), (100, 10**8), (125, 10**9), (730, 10**9), (1000, 10**9), (7, 10**7)],
)
def test_step_is_at_most_a_micropoint(points_per_usd: int, steps_per_usd: int) -> None:
    """The last decimal is the first that tells two micropoints apart."""
    exchange = Exchange(points_per_usd)

    assert exchange.steps_per_usd == steps_per_usd
    assert exchange.steps(Micropoints(2)) > exchange.steps(Micropoints(1)) > 0


def test_cents_follow_the_price_of_a_point() -> None:
    """730 points a dollar, as Chat Nio has it: 73 points are ten cents."""
    exchange = Exchange(730)

    assert exchange.cents(exchange.steps(Micropoints(73_000_000))) == 10.0
    assert exchange.usd(exchange.steps(Micropoints(73_000_000))) == 0.1
