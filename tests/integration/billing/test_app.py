"""The billing routes: who may read, what is refused, and what nobody else sees."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tollgate.core.units import Micropoints
from tollgate.ledger.model import Ask, Reservation, UsageRecord
from tollgate.web import app as web_app

from tests.billing_clients import Shop, ask_as_script
from tests.integration.billing.conftest import Office

PREFIXES = ["/v1/billing", "/v1/dashboard/billing", "/dashboard/billing"]
PATHS = [
    *(
        f"{prefix}/{read}"
        for prefix in PREFIXES
        for read in ("subscription", "usage", "credit_grants")
    ),
    "/v1/billing/requests",
]


def spend(
    office: Office,
    account_id: str,
    quota: int,
    *,
    since: str = "2028-03-01T10:00:00Z",
    request_id: str = "r-1",
    **changes: Any,
) -> None:
    """Let the account make one request that costs `quota`."""
    cost = Micropoints(quota)
    moment = datetime.fromisoformat(since)
    ask = Ask(worst=cost, floor=cost, least=cost, is_limited=True)
    hold = office.ledger.reserve(
        Reservation(account_id=account_id, key_id="k", request_id=request_id, since=moment, ask=ask)
    )
    fields = {
        "account_id": account_id,
        "key_id": "k",
        "request_id": request_id,
        "since": moment,
        "finished_at": moment,
        "endpoint": "chat.completions",
        "model": "m",
        "channel": "secret-channel",
        "tokens": {"prompt": 3, "completion": 5},
        "is_exact": True,
        "is_stream": False,
        "quota": cost,
        "outcome": "complete",
    }
    office.ledger.journal(UsageRecord(**fields | changes))
    office.ledger.settle(hold, cost)


@pytest.mark.parametrize("path", PATHS)
def test_without_a_key(office: Office, path: str) -> None:
    """No key, and a key that is none, are 401 on every route, and never a blank 200."""
    for headers, code in (({}, None), ({"authorization": "Bearer sk-x"}, "invalid_api_key")):
        answer = httpx.get(f"{office.root}{path}", headers=headers, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)


def test_without_a_key_nothing_else_is_looked_at(office: Office) -> None:
    """A bad date or limit does not come before the key."""
    for query in ("requests?limit=0", "requests?after=x", "usage?start_date=x"):
        answer = httpx.get(f"{office.root}/v1/billing/{query}", trust_env=False)
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "changes",
    [{"status": "disabled"}, {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}],
    ids=["disabled", "expired"],
)
def test_key_that_is_over(office: Office, changes: dict[str, Any]) -> None:
    """A disabled or expired key reads nothing."""
    shop = office.open("alice", 1000, **changes)

    assert {shop.ask(path).status_code for path in PATHS} == {401}


@pytest.mark.parametrize("path", PATHS)
def test_other_methods(office: Office, path: str) -> None:
    """Reads only: a POST is 405 in OpenAI's form, OPTIONS is answered for browsers."""
    shop = office.open("alice")

    posted = httpx.post(f"{shop.root}{path}", trust_env=False)
    asked = httpx.options(f"{shop.root}{path}", trust_env=False)

    assert (posted.status_code, posted.json()["error"]["type"]) == (405, "invalid_request_error")
    assert asked.status_code == 204
    assert posted.headers["access-control-allow-origin"] == "*"


def test_prefixes_answer_alike(office: Office) -> None:
    """Where a client looks does not matter."""
    shop = office.open("alice", 5_000_000)
    spend(office, "alice", 1_234_567)

    for read in ("subscription", "usage", "credit_grants"):
        bodies = [shop.ask(f"{prefix}/{read}").content for prefix in PREFIXES]
        assert len(set(bodies)) == 1
    assert shop.get("/v1/billing/usage")["total_usage"] * 1_000_000 == 1_234_567


def test_new_account(office: Office) -> None:
    """Nothing granted, nothing used: zeros and empty lists, no missing field."""
    shop = office.open("alice")

    subscription = shop.get("/v1/billing/subscription")
    assert (subscription["hard_limit"], subscription["hard_limit_usd"]) == (0, 0)
    assert subscription["access_until"] == 0
    assert shop.get("/v1/billing/usage") == {"object": "list", "total_usage": 0, "daily_costs": []}
    assert ask_as_script(shop).grants == ()
    assert shop.get("/v1/billing/requests")["data"] == []


def test_access_ends_with_the_key(office: Office) -> None:
    """`access_until` is the asking key's own expiry."""
    until = datetime(2030, 1, 1, tzinfo=UTC)
    shop = office.open("alice", 1000, expires_at=until)

    assert shop.get("/v1/billing/subscription")["access_until"] == int(until.timestamp())


def test_keys_of_an_account_see_the_same(office: Office) -> None:
    """The figures are the account's, whichever key asks; another account's are its own."""
    first, other = office.open("alice", 2_000_000), office.open("bob", 3_000_000)
    second = office.add_key("alice", models=frozenset({"m"}), budget=Micropoints(1))
    spend(office, "alice", 500_000)

    assert ask_as_script(first) == ask_as_script(second)
    assert ask_as_script(other).used == 0
    assert other.get("/v1/billing/requests")["data"] == []


def test_suspended_account_reads_on(office: Office) -> None:
    """It may buy nothing, and still see what it has."""
    shop = office.open("alice", 2_000_000)
    spend(office, "alice", 500_000)
    office.accounts.set_account_status("alice", "suspended")

    assert float(ask_as_script(shop).available) == 0.015
    assert {shop.ask(path).status_code for path in PATHS} == {200}


@pytest.mark.parametrize("path", ["/v1/billing/usage", "/v1/billing/requests"])
@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"start_date": "2028-03-02", "end_date": "2028-03-01"}, "start_date"),
        ({"start_date": "yesterday"}, "start_date"),
        ({"end_date": "2028-02-30"}, "end_date"),
        ({"start_date": "2020-01-01"}, "start_date"),
    ],
)
def test_bad_dates(office: Office, path: str, query: dict[str, str], param: str) -> None:
    """Reversed, garbage, no such day, too many days: 400 with the parameter's name."""
    answer = office.open("alice").ask(path, **query)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"after": "chatcmpl-r-1"}, "after"),
        ({"after": ""}, "after"),
    ],
)
def test_bad_pages(office: Office, query: dict[str, str], param: str) -> None:
    """A limit out of 1 to 100, and a cursor that nobody gave, are 400."""
    answer = office.open("alice").ask("/v1/billing/requests", **query)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_requests_are_listed_newest_first(office: Office) -> None:
    """Page by page to the last, each request once, with nothing of the operator's."""
    shop = office.open("alice", 100_000_000)
    for number in range(7):
        spend(
            office,
            "alice",
            1000 + number,
            since=f"2028-02-{26 + number // 2}T0{number}:00:00Z",
            request_id=f"r-{number}",
            channel="secret-channel",
        )

    seen, after = [], {}
    while True:
        text = shop.ask("/v1/billing/requests", limit="3", **after).text
        page = shop.get("/v1/billing/requests", limit="3", **after)
        seen += page["data"]
        assert "secret-channel" not in text
        if not page["has_more"]:
            break
        after = {"after": page["next"]}

    assert [one["id"] for one in seen] == [f"chatcmpl-r-{number}" for number in range(6, -1, -1)]
    assert float(seen[0]["quota"]) == 0.001006
    assert seen[0]["usage"]["total_tokens"] == 8


def test_another_accounts_cursor(office: Office) -> None:
    """A cursor is a place in one's own list; elsewhere it is refused."""
    alice, bob = office.open("alice", 1_000_000), office.open("bob", 1_000_000)
    for name in ("alice", "bob"):
        for number in range(3):
            spend(office, name, 10, request_id=f"{name}-{number}")
    cursor = alice.get("/v1/billing/requests", limit="1")["next"]

    answer = bob.ask("/v1/billing/requests", limit="1", after=cursor)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "after")


def test_requests_of_some_days(office: Office) -> None:
    """The end is exclusive here too."""
    shop = office.open("alice", 1_000_000)
    for day in (27, 28, 29):
        spend(office, "alice", 10, since=f"2028-02-{day}T23:59:59Z", request_id=f"r-{day}")

    page = shop.get("/v1/billing/requests", start_date="2028-02-28", end_date="2028-02-29")

    assert [one["request_id"] for one in page["data"]] == ["r-28"]


def test_price_of_a_point(office: Office) -> None:
    """Dollars follow the catalog that was pushed: here a point is a tenth of a dollar."""
    shop = office.open("alice", 10_000_000)
    spend(office, "alice", 2_500_000)
    office.price_points(10)

    assert float(shop.get("/v1/billing/subscription")["hard_limit_usd"]) == 1.0
    assert float(shop.get("/v1/billing/usage")["total_usage"]) == 25.0
    assert float(ask_as_script(shop).available) == 0.75


@pytest.mark.parametrize("path", PATHS)
def test_key_alone_without_account(office: Office, path: str) -> None:
    """A key whose account is gone is told so by every read, whatever else is left of it."""
    shop: Shop = office.open("alice", 1_000_000)
    spend(office, "alice", 10)
    office.client.delete_item(
        TableName=office.table, Key={"pk": {"S": "ACCOUNT#alice"}, "sk": {"S": "ACCOUNT"}}
    )

    answer = shop.ask(path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "account_deactivated")


def test_usage_beyond_one_answer(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than Lambda hands on is 400 and says what to do; fewer days are answered."""
    shop = office.open("alice", 1_000_000)
    for day in (27, 28):
        spend(office, "alice", 10, since=f"2028-02-{day}T12:00:00Z", request_id=f"r-{day}")
    one_day = {"start_date": "2028-02-28", "end_date": "2028-02-29"}
    size = len(json.dumps(shop.ask("/v1/billing/usage", **one_day).text))
    monkeypatch.setattr(web_app, "ANSWER_BYTES_MAX", size)

    refused = shop.ask("/v1/billing/usage")

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "start_date")
    assert "shorter range of days" in refused.json()["error"]["message"]
    assert shop.ask("/v1/billing/usage", **one_day).status_code == 200


def test_amounts_are_written_as_decimals(office: Office) -> None:
    """A micropoint is `0.000001`, in cents as in points, never `1e-06`."""
    shop = office.open("alice", 1_000_000)
    spend(office, "alice", 1, model="1e-06")

    texts = [shop.ask(path).text for path in PATHS]

    assert '"name":"1e-06","cost":0.000001' in texts[1]
    assert '"total_used":0.00000001,' in texts[2]
    assert '"quota":0.000001' in texts[-1]
    assert "e-" not in "".join(texts).replace('"1e-06"', "")
