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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

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
)
from tests.integration.billing.conftest import TODAY, Office

SEED = 20280301
REQUESTS = 1000
GRANTS = (40_000_000_000, 1, 25_000_000_000, 60_000_000_000)
FIRST_DAY = TODAY - timedelta(days=99)
MODELS = [f"vendor/model-{number}" for number in range(7)]
# What becomes of a request, and how often: answered; failed before output; its Lambda died before
# the journal; its Lambda died after it.
FATES = ["settled"] * 90 + ["released"] * 6 + ["held"] * 3 + ["journaled"] * 1


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
    if fate in ("settled", "journaled"):
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
    if fate == "settled":
        office.ledger.settle(hold, quota)


def scan(office: Office) -> Iterator[dict[str, Any]]:
    pages = office.client.get_paginator("scan").paginate(TableName=office.table)
    for page in pages:
        yield from page["Items"]


def read_truth(office: Office) -> Truth:
    """Read the whole table, and check the ledger's own promise on the way."""
    every = {(item["pk"]["S"], item["sk"]["S"]): item for item in scan(office)}
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
    assert truth.granted == truth.balance + truth.held + truth.spent == sum(GRANTS)
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


def micropoints(dollars: Any) -> int:
    """Return dollars, as written, in micropoints: a point is a cent."""
    return int((Decimal(dollars) * 100 * 1_000_000).to_integral_exact())


@pytest.mark.slow
def test_all_readers_see_one_truth(office: Office, dynamodb_url: str) -> None:
    """Endpoint, command and items agree after a thousand requests, some of them left held."""
    shop = office.open("alice", *GRANTS)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: make_request(office, number), range(REQUESTS)))
    truth = read_truth(office)
    assert truth.held > 0
    assert len(truth.days) > 300

    check_all_time(shop, truth)
    check_nextchat(shop, truth)
    check_one_api(shop, truth)
    check_months(office, shop, truth, dynamodb_url)
    check_requests(shop, truth)


def check_all_time(shop: Shop, truth: Truth) -> None:
    """The three reads agree with the items and with one another; holds count as used."""
    subscription, usage = ask_as_openai_java(shop, FIRST_DAY, TODAY + timedelta(days=1))
    credit = ask_as_script(shop)
    whole = shop.get("/v1/billing/usage")

    assert micropoints(subscription["hard_limit_usd"]) == truth.granted
    assert micropoints(subscription["soft_limit_usd"]) == truth.balance
    assert subscription["hard_limit"] == truth.granted // 1_000_000
    assert subscription["soft_limit"] == truth.balance // 1_000_000
    assert micropoints(usage.total_usage / 100) == sum(truth.days.values())
    assert usage.total_usage == sum(cost for _, _, cost in usage.costs) == whole["total_usage"]
    assert micropoints(credit.granted) == truth.granted
    assert micropoints(credit.used) == truth.spent + truth.held
    assert micropoints(credit.available) == truth.balance
    assert sum(used for _, _, used in credit.grants) == credit.used
    assert sum(amount for _, amount, _ in credit.grants) == credit.granted
    rest = subscription["hard_limit_usd"] - usage.total_usage / 100 - credit.available
    assert micropoints(rest) == truth.held - (sum(truth.days.values()) - truth.spent)
    assert {
        (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}", model): micropoints(cost / 100)
        for at, model, cost in usage.costs
    } == truth.days


def check_nextchat(shop: Shop, truth: Truth) -> None:
    """The month and all granted, each rounded to the cent as the browser does."""
    shown = ask_as_nextchat(shop, TODAY)

    month = truth.used(TODAY.replace(day=1), TODAY + timedelta(days=1))
    assert shown.used == pytest.approx(month / 100 / 1_000_000, abs=0.005)
    assert shown.total == pytest.approx(truth.granted / 100 / 1_000_000, abs=0.005)


def check_one_api(shop: Shop, truth: Truth) -> None:
    """Its balance is the limit without this month before today: what it computes, to a cent.

    On the first of the month that is the limit itself; docs/wire-format.md warns of it.
    """
    for today in (TODAY, TODAY - timedelta(days=1)):
        found = ask_as_one_api(shop, today)
        before = truth.used(today.replace(day=1), today)
        assert found.start_date == f"{today.replace(day=1)}"
        assert found.total_usage == before / 1_000_000
        assert found.balance == pytest.approx((truth.granted - before) / 100 / 1_000_000, abs=0.005)


def check_months(office: Office, shop: Shop, truth: Truth, url: str) -> None:
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
        lines = {
            (one["day"], one["model"]): micropoints(one["quota"] / 100) for one in said["usage"]
        }
        assert micropoints(usage.total_usage / 100) == truth.used(first, end)
        assert micropoints(Decimal(said["total"]["quota"]) / 100) == truth.used(first, end)
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
        by_day[day] += micropoints(Decimal(one["quota"]) / 100)
    created = [one["created"] for one in records]
    assert dict(by_day) == truth.records
    assert created == sorted(created, reverse=True)
    assert len({one["id"] for one in records}) == len(records)
