"""Billing as clients in the field ask for it and read it, each as its own source does.

    NextChat      app/client/platforms/openai.ts, `usage()`
    one-api       controller/channel-billing.go, as the reseller downstream of a gateway
    openai-java   TheoKanning's billing/*.java: the Java type of each field
    scripts       credit_grants, as the dashboard's page had it

Each reader fails on what its original fails on, and returns what its original shows.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx

_LONG_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Where a client was told to look: the address before `/v1`, and a key."""

    root: str
    api_key: str

    def ask(self, path: str, **query: str) -> httpx.Response:
        """Return the answer to a GET with the key as Bearer."""
        headers = {"Authorization": f"Bearer {self.api_key}", "Accept": "application/json"}
        return httpx.get(
            f"{self.root}{path}", params=query, headers=headers, timeout=60, trust_env=False
        )

    def get(self, path: str, **query: str) -> Any:
        """Return a good answer's JSON; numbers with a fraction are Decimals, as written."""
        answer = self.ask(path, **query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        return json.loads(answer.text, parse_float=Decimal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What NextChat's settings show, in dollars."""

    used: float
    total: float


def ask_as_nextchat(shop: Shop, today: date) -> Shown:
    """Ask for this month to tomorrow, by the browser's clock, without /v1; round as it does."""
    span = {"start_date": f"{today:%Y-%m}-01", "end_date": f"{today + timedelta(days=1)}"}
    used = shop.ask("/dashboard/billing/usage", **span)
    subscription = shop.ask("/dashboard/billing/subscription")
    assert used.status_code != 401, "unauthorised"
    assert used.is_success, "failed to query usage"
    assert subscription.is_success, "failed to query usage"
    assert not used.json().get("error", {}).get("type")
    return Shown(
        used=js_round(float(used.json()["total_usage"])) / 100,
        total=js_round(float(subscription.json()["hard_limit_usd"]) * 100) / 100,
    )


def js_round(number: float) -> int:
    """Return what Math.round does: halves go up."""
    return math.floor(number + 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelBalance:
    """What one-api writes down for a channel, in dollars, and what it was made of."""

    balance: float
    hard_limit_usd: float
    total_usage: float
    start_date: str


def ask_as_one_api(shop: Shop, today: date) -> ChannelBalance:
    """Ask for the limit and for the usage of the month before today; subtract as doubles."""
    subscription = shop.ask("/v1/dashboard/billing/subscription")
    assert subscription.status_code == 200
    limits = _decode_go(
        subscription.text,
        {"object": str, "has_payment_method": bool, "hard_limit_usd": float, "access_until": int},
    )
    start = f"{today:%Y-%m}-01"
    if not limits["has_payment_method"]:
        start = f"{today - timedelta(days=100)}"
    span = {"start_date": start, "end_date": f"{today}"}
    answer = shop.ask("/v1/dashboard/billing/usage", **span)
    assert answer.status_code == 200
    usage = _decode_go(answer.text, {"object": str, "total_usage": float})
    return ChannelBalance(
        balance=limits["hard_limit_usd"] - usage["total_usage"] / 100,
        hard_limit_usd=limits["hard_limit_usd"],
        total_usage=usage["total_usage"],
        start_date=start,
    )


def _decode_go(text: str, fields: Mapping[str, type]) -> dict[str, Any]:
    """Return the fields of a struct: a float64 takes any number, an int64 none with a fraction."""
    body = json.loads(text)
    for name, kind in fields.items():
        allowed = (int, float) if kind is float else (kind,)
        assert type(body[name]) in allowed, (name, body[name])
    return {name: kind(body[name]) for name, kind in fields.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaUsage:
    """openai-java's BillingUsage: BigDecimals, exactly as written."""

    total_usage: Decimal
    costs: tuple[tuple[int, str, Decimal], ...]


def ask_as_openai_java(shop: Shop, start: date, end: date) -> tuple[dict[str, Any], JavaUsage]:
    """Return Subscription and BillingUsage; Jackson takes no fraction for a long by rounding."""
    subscription = shop.get("/v1/dashboard/billing/subscription")
    for name in ("soft_limit", "hard_limit", "system_hard_limit", "access_until"):
        _check_long(subscription[name])
    for name in ("soft_limit_usd", "hard_limit_usd", "system_hard_limit_usd"):
        assert isinstance(subscription[name], Decimal), name
    assert set(subscription["plan"]) == {"title", "id"}
    usage = shop.get(
        "/v1/dashboard/billing/usage", start_date=start.isoformat(), end_date=end.isoformat()
    )
    return subscription, _read_java_usage(usage)


def _read_java_usage(usage: Any) -> JavaUsage:
    assert usage["object"] == "list"
    costs = []
    for day in usage["daily_costs"]:
        _check_long(day["timestamp"])
        costs += [
            (day["timestamp"], line["name"], Decimal(line["cost"])) for line in day["line_items"]
        ]
    return JavaUsage(total_usage=Decimal(usage["total_usage"]), costs=tuple(costs))


def _check_long(value: object) -> None:
    assert type(value) is int
    assert abs(value) <= _LONG_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """A credit summary, in dollars as written."""

    granted: Decimal
    used: Decimal
    available: Decimal
    grants: tuple[tuple[str, Decimal, Decimal], ...]


def ask_as_script(shop: Shop, path: str = "/dashboard/billing/credit_grants") -> Credit:
    """Read the totals and each grant's amounts and times."""
    body = shop.get(path)
    assert body["object"] == "credit_summary"
    data = body["grants"]["data"]
    for grant in data:
        _check_long(grant["effective_at"])
        _check_long(grant["expires_at"])
    return Credit(
        granted=body["total_granted"],
        used=body["total_used"],
        available=body["total_available"],
        grants=tuple((one["id"], one["grant_amount"], one["used_amount"]) for one in data),
    )
