"""Whatever was granted and used: every sum that a client can form agrees, to the last digit."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tollgate.core.billing import (
    DayCost,
    Exchange,
    Funds,
    Grant,
    describe_grants,
    describe_subscription,
    describe_usage,
)
from tollgate.core.units import MICROPOINTS_PER_POINT, Micropoints

START = datetime(2026, 1, 1, tzinfo=UTC)
EXCHANGES = st.builds(Exchange, st.sampled_from([1, 7, 10, 100, 128, 500, 730, 1000]))
AMOUNTS = st.integers(0, 10**10)  # ten thousand points; a total stays within 15 digits


def number(value: Any) -> Fraction:
    """Return a JSON number as it is written, not as a double holds it."""
    return Fraction(Decimal(repr(value)))


def costs(quotas: list[int]) -> list[DayCost]:
    return [
        DayCost(
            day=f"{START + timedelta(days=at // 3):%Y-%m-%d}",
            model=f"m-{at % 3}",
            quota=Micropoints(quota),
        )
        for at, quota in enumerate(quotas)
    ]


def grants(amounts: list[int]) -> list[Grant]:
    return [
        Grant(grant_id=f"g-{at:02}", amount=Micropoints(amount), at=START + timedelta(days=at))
        for at, amount in enumerate(amounts)
    ]


@given(EXCHANGES, st.lists(AMOUNTS, max_size=30))
def test_total_usage_is_the_sum_of_the_lines(exchange: Exchange, quotas: list[int]) -> None:
    """Line by line, and within a step of what was charged; no line is below zero."""
    found: Any = describe_usage(costs(quotas), exchange)

    lines = [line["cost"] for day in found["daily_costs"] for line in day["line_items"]]
    exact = Fraction(sum(quotas) * 100, exchange.points_per_usd * MICROPOINTS_PER_POINT)
    step = Fraction(100, exchange.steps_per_usd)
    assert len(lines) == len(quotas)
    assert all(line >= 0 for line in lines)
    assert number(found["total_usage"]) == sum(map(number, lines))
    assert 0 <= exact - number(found["total_usage"]) < step


@given(st.sampled_from([1, 10, 100, 1000]), st.lists(AMOUNTS, max_size=30))
def test_cost_is_exact_where_a_point_is_a_decimal_of_a_dollar(
    points_per_usd: int, quotas: list[int]
) -> None:
    """Each line is the charge itself, to the micropoint."""
    found: Any = describe_usage(costs(quotas), Exchange(points_per_usd))

    lines = [line["cost"] for day in found["daily_costs"] for line in day["line_items"]]
    per_cent = Fraction(points_per_usd * MICROPOINTS_PER_POINT, 100)
    assert [number(line) * per_cent for line in lines] == quotas


@given(EXCHANGES, st.lists(AMOUNTS, min_size=1, max_size=12), st.sampled_from([3, 1000]), st.data())
def test_grants_add_up(
    exchange: Exchange, amounts: list[int], shown_max: int, data: st.DataObject
) -> None:
    """Granted and used are the sums of the grants', folded or not; available is the rest."""
    granted = sum(amounts)
    balance = data.draw(st.integers(0, granted))
    funds = Funds(granted=Micropoints(granted), balance=Micropoints(balance))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tollgate.core.billing.GRANTS_SHOWN_MAX", shown_max)
        found: Any = describe_grants(funds, grants(amounts), exchange)

    entries = found["grants"]["data"]
    assert len(entries) == min(len(amounts), shown_max + 1)
    assert number(found["total_granted"]) == sum(number(one["grant_amount"]) for one in entries)
    assert number(found["total_used"]) == sum(number(one["used_amount"]) for one in entries)
    assert number(found["total_granted"]) == number(found["total_used"]) + number(
        found["total_available"]
    )
    assert all(0 <= one["used_amount"] <= one["grant_amount"] for one in entries)


@given(EXCHANGES, st.lists(AMOUNTS, max_size=30), AMOUNTS, AMOUNTS)
def test_the_three_reads_agree(exchange: Exchange, quotas: list[int], left: int, held: int) -> None:
    """Hard limit - usage = available, up to what is held; soft limit = available."""
    granted = sum(quotas) + left + held
    funds = Funds(granted=Micropoints(granted), balance=Micropoints(left))

    subscription: Any = describe_subscription(funds, exchange, access_until=0)
    usage: Any = describe_usage(costs(quotas), exchange)
    credit: Any = describe_grants(funds, grants([granted]), exchange)

    rest = number(subscription["hard_limit_usd"]) - number(usage["total_usage"]) / 100
    held_shown = rest - number(credit["total_available"])
    exact = Fraction(held, exchange.points_per_usd * MICROPOINTS_PER_POINT)
    assert number(subscription["soft_limit_usd"]) == number(credit["total_available"])
    assert number(subscription["hard_limit_usd"]) == number(credit["total_granted"])
    assert abs(held_shown - exact) < Fraction(1, exchange.steps_per_usd)
    assert held or held_shown == 0
