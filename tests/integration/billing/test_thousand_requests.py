"""A thousand random requests through the ledger's verbs; then every reader must see one truth.

The endpoint as NextChat, one-api, openai-java and scripts read it, `tollgate usage`, and the raw
items, which are read past Tollgate's own code: the same to the micropoint, up to what is held.
"""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import httpx
import pytest
from tollgate.core.units import Micropoints
from tollgate.ledger.model import Ask, Reservation, UsageRecord

from local.sandbox import ROOT
from tests.billing_clients import (
    Shop,
    ask_as_nextchat,
    ask_as_one_api,
    ask_as_openai_java,
    ask_as_script,
    js_round,
)
from tests.dynamodb import scan
from tests.integration.billing.conftest import TODAY, Office

SEED = 20280301
REQUESTS = 1000
GRANTS = (40_000_000_000, 1, 25_000_000_000, 60_000_000_000)
LATE_GRANT = 33_333_333_333  # after a request has used up all that was left
FIRST_DAY = TODAY - timedelta(days=99)
MODELS = [f"vendor/model-{number}" for number in range(7)]
# What becomes of a request, and how often: answered; answered for more than was held; failed
# before output; its Lambda died before the journal; its Lambda died after it.
FATES = [
    *(["settled"] * 80 + ["extended"] * 10),
    *(["released"] * 6 + ["held"] * 3 + ["journaled"] * 1),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The raw items: account, day sums by (day, model), usage records by day; micropoints."""

    balance: int
    held: int
    spent: int
    granted: int
    days: dict[tuple[str, str], int]
    records: dict[str, int]

    def used(self, first: date, end: date) -> int:
        """Return the usage of the days from `first` to before `end`."""
        return sum(quota for (day, _), quota in self.days.items() if f"{first}" <= day < f"{end}")


def make_request(office: Office, number: int) -> None:
    """Run one request to its end, which its seed decides."""
    chance = random.Random(f"{SEED}-{number}")
    day = FIRST_DAY + timedelta(days=chance.randrange(100))
    edge = chance.choice([time.min, time.max, None])
    since = datetime.combine(day, edge or time(chance.randrange(24), chance.randrange(60)), UTC)
    worst = Micropoints(chance.choice([0, 1, 999_999, chance.randrange(100_000_000)]))
    quota = Micropoints(chance.randint(0, worst))
    ask = Ask(worst=worst, floor=worst, least=worst, is_limited=True)
    request = Reservation(
        account_id="alice", key_id="key_1", request_id=f"r-{number}", since=since, ask=ask
    )
    finish_request(office, request, chance.choice(MODELS), quota, chance.choice(FATES))


def finish_request(
    office: Office, request: Reservation, model: str, quota: Micropoints, fate: str
) -> None:
    hold = office.ledger.reserve(request)
    if fate == "released":
        office.ledger.release(hold)
    if fate == "extended":
        hold = office.ledger.extend(hold, Micropoints(hold.amount + quota + 1))
        quota = hold.amount
    if fate not in ("released", "held"):
        office.ledger.journal(
            UsageRecord(
                account_id=request.account_id,
                key_id=request.key_id,
                request_id=request.request_id,
                since=request.since,
                finished_at=request.since + timedelta(seconds=9),
                endpoint="chat.completions",
                model=model,
                channel="c",
                tokens={"prompt": 10, "completion": quota % 1000},
                is_exact=True,
                is_stream=True,
                quota=quota,
                outcome="complete",
            )
        )
    if fate in ("settled", "extended"):
        office.ledger.settle(hold, quota)


def overrun(office: Office) -> None:
    """Let a request report far more than there is: all that is left is charged."""
    left = office.accounts.find_account("alice").balance
    ask = Ask(worst=Micropoints(5), floor=Micropoints(5), least=Micropoints(5), is_limited=True)
    since = datetime.combine(TODAY - timedelta(days=40), time(12), UTC)
    request = Reservation(
        account_id="alice", key_id="key_1", request_id="r-over", since=since, ask=ask
    )
    finish_request(office, request, MODELS[0], Micropoints(10 * left), "extended")
    assert office.accounts.find_account("alice").balance == 0


def read_truth(office: Office) -> Truth:
    """Read the whole table, and check the ledger's own promise on the way."""
    every = {(item["pk"]["S"], item["sk"]["S"]): item for item in scan(office.client, office.table)}
    account = every["ACCOUNT#alice", "ACCOUNT"]
    days = {
        tuple(sk.split("#", 2)[1:]): int(item["quota"]["N"])
        for (pk, sk), item in every.items()
        if pk == "ACCOUNT#alice" and sk.startswith("DAY#")
    }
    records: Counter[str] = Counter()
    for (pk, sk), item in every.items():
        if pk.startswith("USAGE#alice#"):
            records[sk[:10]] += int(item["quota"]["N"])
    names = ("balance", "held", "spent", "granted")
    truth = Truth(
        **{name: int(account[name]["N"]) for name in names},
        days=days,  # type: ignore[arg-type]
        records=dict(records),
    )
    assert truth.granted == truth.balance + truth.held + truth.spent == sum(GRANTS) + LATE_GRANT
    assert sum(truth.records.values()) == sum(truth.days.values()) >= truth.spent
    return truth


def run_usage(office: Office, url: str, first: date, last: date) -> Any:
    """Return what `tollgate usage --days` says of the days from `first` to `last`, both in."""
    span = ("--from", f"{first}", "--to", f"{last}")
    result = subprocess.run(
        [
            *(sys.executable, "-c", "from admin.cli import main; main()"),
            *("--table", office.table, "--endpoint-url", url, "--json"),
            *("usage", "alice", *span, "--days"),
        ],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'common'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout, parse_float=Decimal)


def micropoints(points: Any) -> int:
    """Return points, as written, in micropoints."""
    return int((Decimal(points) * 1_000_000).to_integral_exact())


@dataclass(frozen=True, slots=True)
class Rate:
    """What a point is worth."""

    points_per_usd: int

    def shows(self, dollars: Any, amount: int) -> bool:
        """Whether dollars, as written, are the micropoints: where a point is no decimal, nearly."""
        per_usd = self.points_per_usd * 1_000_000
        error = abs(Fraction(Decimal(dollars)) * per_usd - amount)
        return error == 0 if self.points_per_usd == 100 else error < 1

    def usd(self, amount: int) -> float:
        """Return micropoints in dollars."""
        return amount / self.points_per_usd / 1_000_000


@pytest.mark.slow
def test_all_readers_see_one_truth(office: Office, dynamodb_url: str) -> None:
    """Endpoint, command and items agree after a thousand requests, some of them left held.

    Some were extended, one has overrun the balance. At 100 points a dollar all figures are exact,
    at 730 to less than a micropoint, and their sums are exact at both.
    """
    shop = office.open("alice", *GRANTS)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: make_request(office, number), range(REQUESTS // 2)))
        overrun(office)
        at = datetime(2028, 1, 1, tzinfo=UTC)
        office.accounts.grant("alice", "late", Micropoints(LATE_GRANT), at=at, note="")
        list(pool.map(lambda number: make_request(office, number), range(REQUESTS // 2, REQUESTS)))
    truth = read_truth(office)
    assert truth.held > 0
    assert len(truth.days) > 300

    for points_per_usd in (100, 730):
        office.price_points(points_per_usd)
        rate = Rate(points_per_usd)
        check_all_time(shop, truth, rate)
        check_nextchat(shop, truth, rate)
        check_one_api(shop, truth, rate)
        check_months(office, shop, truth, rate, dynamodb_url)
    check_requests(shop, truth)


def check_all_time(shop: Shop, truth: Truth, rate: Rate) -> None:
    """The three reads agree with the items and with one another; holds count as used."""
    subscription, usage = ask_as_openai_java(shop, FIRST_DAY, TODAY + timedelta(days=1))
    credit = ask_as_script(shop)
    whole = shop.get("/v1/billing/usage")

    assert rate.shows(subscription["hard_limit_usd"], truth.granted)
    assert rate.shows(subscription["soft_limit_usd"], truth.balance)
    assert subscription["hard_limit"] == truth.granted // 1_000_000
    assert subscription["soft_limit"] == truth.balance // 1_000_000
    assert rate.shows(usage.total_usage / 100, sum(truth.days.values()))
    assert usage.total_usage == sum(cost for _, _, cost in usage.costs) == whole["total_usage"]
    assert rate.shows(credit.granted, truth.granted)
    assert rate.shows(credit.used, truth.spent + truth.held)
    assert rate.shows(credit.available, truth.balance)
    assert credit.granted - credit.used == credit.available
    assert sum(used for _, _, used in credit.grants) == credit.used
    assert sum(amount for _, amount, _ in credit.grants) == credit.granted
    rest = subscription["hard_limit_usd"] - usage.total_usage / 100 - credit.available
    assert rate.shows(rest, truth.held - (sum(truth.days.values()) - truth.spent))
    costs = {
        (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}", model): cost / 100
        for at, model, cost in usage.costs
    }
    assert set(costs) == set(truth.days)
    assert all(rate.shows(cost, truth.days[line]) for line, cost in costs.items())


def check_nextchat(shop: Shop, truth: Truth, rate: Rate) -> None:
    """The month and all granted, each rounded to the cent as the browser does."""
    shown = ask_as_nextchat(shop, TODAY)

    month = truth.used(TODAY.replace(day=1), TODAY + timedelta(days=1))
    assert shown.used == js_round(rate.usd(month) * 100) / 100 > 0
    assert shown.total == js_round(rate.usd(truth.granted) * 100) / 100


class Unpaid(Shop):
    """A gateway that says that there is no way to pay."""

    def ask(self, path: str, **query: str) -> httpx.Response:
        answer = Shop.ask(self, path, **query)
        if not path.endswith("/subscription"):
            return answer
        return httpx.Response(200, json=answer.json() | {"has_payment_method": False})


def check_one_api(shop: Shop, truth: Truth, rate: Rate) -> None:
    """Its balance is the limit without this month before today: what it computes, to a cent.

    On the first of the month that is the limit itself; docs/wire-format.md warns of it. It looks
    100 days back instead where a subscription says that there is no way to pay.
    """
    for today in (TODAY, TODAY - timedelta(days=1)):
        month, days = today.replace(day=1), today - timedelta(days=100)
        unpaid = Unpaid(root=shop.root, api_key=shop.api_key)
        for asked, first in ((shop, month), (unpaid, days)):
            found = ask_as_one_api(asked, today)
            before = truth.used(first, today)
            assert found.start_date == f"{first}"
            assert rate.shows(Decimal(repr(found.total_usage)) / 100, before)
            assert found.balance == pytest.approx(rate.usd(truth.granted - before), abs=0.005)
    assert before > 0


def check_months(office: Office, shop: Shop, truth: Truth, rate: Rate, url: str) -> None:
    """Month by month the command, the endpoint and the items have the same lines and sums."""
    spans = [
        (date(2027, 11, 1), date(2027, 12, 1)),
        (date(2027, 12, 1), date(2028, 1, 1)),
        (date(2028, 2, 1), date(2028, 3, 1)),
        (date(2028, 2, 29), date(2028, 3, 1)),
        (FIRST_DAY, TODAY + timedelta(days=1)),
    ]
    for first, end in spans:
        _, usage = ask_as_openai_java(shop, first, end)
        said = run_usage(office, url, first, end - timedelta(days=1))
        lines = {(one["day"], one["model"]): micropoints(one["quota"]) for one in said["usage"]}
        assert rate.shows(usage.total_usage / 100, truth.used(first, end))
        assert micropoints(said["total"]["quota"]) == truth.used(first, end)
        assert lines == {
            key: quota for key, quota in truth.days.items() if f"{first}" <= key[0] < f"{end}"
        }


def check_requests(shop: Shop, truth: Truth) -> None:
    """All pages of records add up to the days, and come newest first."""
    records, after = [], {}
    while True:
        page = shop.get("/v1/billing/requests", limit="100", **after)
        records += page["data"]
        if not page["has_more"]:
            break
        after = {"after": page["next"]}

    by_day: Counter[str] = Counter()
    for one in records:
        day = f"{datetime.fromtimestamp(one['created'], UTC):%Y-%m-%d}"
        by_day[day] += micropoints(one["quota"])
    created = [one["created"] for one in records]
    assert dict(by_day) == truth.records
    assert created == sorted(created, reverse=True)
    assert len({one["id"] for one in records}) == len(records)
