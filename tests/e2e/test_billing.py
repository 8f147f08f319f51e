"""Billing through the gateway: real requests are made and paid, then clients in the field read."""

import secrets
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.billing_clients import (
    Shop,
    ask_as_nextchat,
    ask_as_one_api,
    ask_as_openai_java,
    ask_as_script,
    js_round,
)
from tests.e2e.conftest import open_account
from tests.e2e.gateway import Gateway, not_under_sam

GRANT = 20_000_000  # twenty points: twenty cents


@pytest.fixture(scope="module")
def customer(running_gateway: Gateway) -> Gateway:
    """A new account that has bought an image, for four points, and four answers; all settled."""
    gateway = open_account(running_gateway, f"bill-{secrets.token_hex(4)}", GRANT)
    client = OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0)
    messages: Any = [{"role": "user", "content": "the quick brown fox"}]
    client.images.generate(model="demo-image-flat", prompt="a gate", size="1024x1024")
    for model in ("demo-echo", "demo-echo-official", "demo-echo"):
        client.chat.completions.create(model=model, messages=messages)
    list(client.chat.completions.create(model="demo-echo", messages=messages, stream=True))
    gateway.wait_until_settled()
    return gateway


@pytest.fixture
def shop(customer: Gateway) -> Shop:
    return Shop(root=customer.base_url.removesuffix("/v1"), api_key=customer.api_key)


def today() -> date:
    return datetime.now(UTC).date()


def spent_points(customer: Gateway) -> Decimal:
    """Return what the account item says, in points, which are cents here."""
    return Decimal(customer.read_account()["spent"]) / 1_000_000


def test_nextchat(customer: Gateway, shop: Shop) -> None:
    """It looks without /v1 and shows dollars of two digits."""
    shown = ask_as_nextchat(shop, today())

    assert shown.total == 0.2
    assert shown.used == js_round(float(spent_points(customer))) / 100 > 0.03


def test_one_api(customer: Gateway, shop: Shop) -> None:
    """A reseller downstream gets numbers that its doubles take, and its own difference of them."""
    found = ask_as_one_api(shop, today() + timedelta(days=1))

    assert found.hard_limit_usd == 0.2
    if found.start_date <= f"{today()}":  # on a month's last day, tomorrow's month has no usage
        assert found.total_usage == float(spent_points(customer))
        assert found.balance == pytest.approx(0.2 - float(spent_points(customer)) / 100, abs=1e-9)


def test_openai_java(customer: Gateway, shop: Shop) -> None:
    """Its longs are whole, its BigDecimals exact, its line items by model."""
    subscription, usage = ask_as_openai_java(
        shop, today() - timedelta(days=1), today() + timedelta(days=1)
    )

    assert (subscription["hard_limit"], subscription["soft_limit"]) == (20, 15)
    assert usage.total_usage == sum(cost for _, _, cost in usage.costs) == spent_points(customer)
    assert {name for _, name, _ in usage.costs} == {"demo-echo", "demo-image-flat"}


@pytest.mark.parametrize(
    "prefix",
    [
        "/v1/billing",
        "/v1/dashboard/billing",
        "/dashboard/billing",
        pytest.param("/api/v1/billing", marks=not_under_sam("has no stage in its paths")),
    ],
)
def test_credit_grants_agree_with_the_ledger(customer: Gateway, shop: Shop, prefix: str) -> None:
    """Under each prefix, and behind the stage's: granted - used = available = the balance."""
    credit = ask_as_script(shop, f"{prefix}/credit_grants")

    account = customer.read_account()
    assert credit.granted == Decimal("0.2")
    assert credit.used * 100 == spent_points(customer) > 0
    assert credit.available * 100 * 1_000_000 == account["balance"]
    assert [one[0] for one in credit.grants] == ["test"]


@not_under_sam("every request has the time of its start")
def test_requests_are_those_that_were_answered(customer: Gateway, shop: Shop) -> None:
    """Each by its answer's id, with the quota that it was charged, streamed or not."""
    page = shop.get("/v1/billing/requests", limit="3")
    rest = shop.get("/v1/billing/requests", limit="3", after=page["next"])

    found = {one["id"]: one for one in page["data"] + rest["data"]}
    records = customer.records()
    assert {name.removeprefix("chatcmpl-") for name in found} == set(records)
    assert all(
        Decimal(one["quota"]) * 1_000_000 == records[one["request_id"]].quota
        for one in found.values()
    )
    assert [one["stream"] for one in page["data"]] == [True, False, False]
    assert (page["has_more"], rest["has_more"], rest["next"]) == (True, False, None)
    assert "channel" not in str(found)


def test_without_a_key(running_gateway: Gateway) -> None:
    """NextChat reads 401 as unauthorised; a 200 would show it blanks."""
    root = running_gateway.base_url.removesuffix("/v1")
    answer = httpx.get(f"{root}/dashboard/billing/usage", trust_env=False)

    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"
