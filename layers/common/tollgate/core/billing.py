"""What an account was granted, used and has left, in the shapes that billing clients read.

    micropoints ──▶ steps, whole numbers of the last decimal place shown ──▶ one JSON number

Amounts are added and split as steps, so what is shown adds up to the last digit: grants to the
total granted, costs to the total used, granted - used = available. The shapes are those of OpenAI's
former dashboard; docs/wire-format.md#billing says who reads which field.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import accumulate, groupby, pairwise
from operator import itemgetter

from tollgate.core.units import MICROPOINTS_PER_POINT, Micropoints

GRANTS_SHOWN_MAX = 1000
EARLIER_GRANTS = "earlier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """An account's money at one instant; what is held counts as used."""

    granted: Micropoints
    balance: Micropoints

    @property
    def used(self) -> Micropoints:
        """Spent and held."""
        return Micropoints(self.granted - self.balance)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayCost:
    """What one model cost in one UTC day, `yyyy-mm-dd`."""

    day: str
    model: str
    quota: Micropoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One top-up; `at` is aware UTC."""

    grant_id: str
    amount: Micropoints
    at: datetime


@dataclass(frozen=True, slots=True)
class Exchange:
    """Points as US dollars and cents.

    A step is the largest power of ten of a dollar that is not above a micropoint. At 100 points a
    dollar, or any other power of ten, a micropoint is one step and nothing is ever rounded;
    elsewhere a step is still fine enough to tell any two amounts apart. A JSON number is exact to
    15 digits, as its readers' doubles are.
    """

    points_per_usd: int

    @property
    def steps_per_usd(self) -> int:
        """How many steps a dollar has, a power of ten."""
        return int(10 ** len(str(self._micropoints_per_usd - 1)))

    @property
    def _micropoints_per_usd(self) -> int:
        return self.points_per_usd * MICROPOINTS_PER_POINT

    def steps(self, amount: Micropoints) -> int:
        """Return an amount in whole steps, rounded down."""
        return amount * self.steps_per_usd // self._micropoints_per_usd

    def spread(self, amounts: Iterable[Micropoints]) -> list[int]:
        """Return each amount in steps, so that they add up to their sum's steps.

        The difference of running sums: none is off by as much as a step, and no error piles up.
        """
        sums = accumulate(amounts, initial=0)
        return [
            after - before for before, after in pairwise(map(self.steps, map(Micropoints, sums)))
        ]

    def usd(self, steps: int) -> float:
        """Return steps as dollars: a quotient of integers is the nearest double, so exact."""
        return steps / self.steps_per_usd

    def cents(self, steps: int) -> float:
        """Return steps as cents."""
        return steps * 100 / self.steps_per_usd


def describe_subscription(
    funds: Funds, exchange: Exchange, *, access_until: int
) -> dict[str, object]:
    """Return the `billing_subscription` object.

    `hard_limit*` is all that was ever granted and `soft_limit*` what is left. The limits without a
    unit are whole points, rounded down: openai-java reads them as `long`. `access_until`: unix
    seconds, 0 for never.
    """
    granted = exchange.steps(funds.granted)
    left = granted - exchange.steps(funds.used)
    return {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit": funds.balance // MICROPOINTS_PER_POINT,
        "hard_limit": funds.granted // MICROPOINTS_PER_POINT,
        "system_hard_limit": funds.granted // MICROPOINTS_PER_POINT,
        "soft_limit_usd": exchange.usd(left),
        "hard_limit_usd": exchange.usd(granted),
        "system_hard_limit_usd": exchange.usd(granted),
        "access_until": access_until,
        "plan": {"title": "Prepaid", "id": "prepaid"},
    }


def describe_usage(costs: Sequence[DayCost], exchange: Exchange) -> dict[str, object]:
    """Return the usage of some days, in cents; `costs` are sorted by day.

    A day without usage has no entry. `total_usage` is the exact sum of the costs shown.
    """
    steps = exchange.spread(cost.quota for cost in costs)
    lines = (
        (cost.day, {"name": cost.model, "cost": exchange.cents(step)})
        for cost, step in zip(costs, steps, strict=True)
    )
    return {
        "object": "list",
        "total_usage": exchange.cents(sum(steps)),
        "daily_costs": [
            {"timestamp": _midnight(day), "line_items": [line for _, line in group]}
            for day, group in groupby(lines, key=itemgetter(0))
        ],
    }


def _midnight(day: str) -> int:
    return int(datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC).timestamp())


def describe_grants(funds: Funds, grants: Iterable[Grant], exchange: Exchange) -> dict[str, object]:
    """Return the `credit_summary`, in dollars; the oldest grant is used up first.

    The newest `GRANTS_SHOWN_MAX` are shown one by one, those before them as one, so that the list
    has a limit and its sums stay whole. `expires_at` is 0, for never: a null would stop readers
    that compare it with the time.
    """
    ordered = _fold(sorted(grants, key=lambda grant: (grant.at, grant.grant_id)))
    amounts = exchange.spread(grant.amount for grant in ordered)
    granted, used = exchange.steps(funds.granted), exchange.steps(funds.used)
    before = accumulate(amounts, initial=0)
    data = [
        _describe_grant(grant, amount, min(amount, max(0, used - earlier)), exchange)
        for grant, amount, earlier in zip(ordered, amounts, before, strict=False)
    ]
    return {
        "object": "credit_summary",
        "total_granted": exchange.usd(granted),
        "total_used": exchange.usd(used),
        "total_available": exchange.usd(granted - used),
        "grants": {"object": "list", "data": data},
    }


def _fold(ordered: Sequence[Grant]) -> Sequence[Grant]:
    """Return grants with the oldest of a long list as one, which has the time of the last of them.

    What it is of is used before what follows, so what is used of each stays the same.
    """
    older, newest = ordered[:-GRANTS_SHOWN_MAX], ordered[-GRANTS_SHOWN_MAX:]
    if not older:
        return newest
    amount = Micropoints(sum(grant.amount for grant in older))
    return [Grant(grant_id=EARLIER_GRANTS, amount=amount, at=older[-1].at), *newest]


def _describe_grant(grant: Grant, amount: int, used: int, exchange: Exchange) -> dict[str, object]:
    return {
        "object": "credit_grant",
        "id": grant.grant_id,
        "grant_amount": exchange.usd(amount),
        "used_amount": exchange.usd(used),
        "effective_at": int(grant.at.timestamp()),
        "expires_at": 0,
    }
