"""The customer's reads on DynamoDB Local: long histories, edges of months, pages of records."""

import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import batched, product
from typing import Any

import pytest
from tollgate.aws.botocore_clients import make_botocore_client
from tollgate.aws.errors import AwsRefusedError
from tollgate.core.billing import DayCost
from tollgate.core.days import Days
from tollgate.core.units import Micropoints
from tollgate.errors import (
    AccountInactiveError,
    AnswerTooLargeError,
    InvalidRequestError,
    LedgerUnavailableError,
)
from tollgate.ledger import items
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Hold, UsageRecord
from tollgate.ledger.statements import DynamoStatements
from tollgate.ledger.store import DynamoLedger

from tests.contracts.test_ledger import ask, record, reservation
from tests.taps import tap

TODAY = date(2026, 11, 24)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALL = Days(first=date(2025, 10, 21), end=date(2026, 11, 25))
HOLD = Hold(account_id="a", key_id="key_1", request_id="r", since=NOW, amount=Micropoints(10**9))


@pytest.fixture
def statements(accounts: DynamoAccounts, dynamodb_client: Any, table: str) -> DynamoStatements:
    """The reads, and an account to read."""
    return DynamoStatements(dynamodb_client, table)


@pytest.fixture
def accounts(dynamodb_client: Any, table: str) -> DynamoAccounts:
    accounts = DynamoAccounts(dynamodb_client, table)
    accounts.create_account("a", NOW)
    return accounts


def put(client: Any, table: str, new: Iterable[items.Item]) -> None:
    """Write items past the ledger, in batches."""

    def write(batch: tuple[items.Item, ...]) -> None:
        client.batch_write_item(
            RequestItems={table: [{"PutRequest": {"Item": item}} for item in batch]}
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, batched(new, 25, strict=False)))


def day_item(cost: DayCost, account_id: str = "a") -> items.Item:
    return items.day_key(account_id, cost.day, cost.model) | {
        "requests": items.number(3),
        "quota": items.number(cost.quota),
        "tokens_prompt": items.number(1000),
        "tokens_completion": items.number(200),
        "tokens_cached": items.number(100),
    }


def journal(client: Any, table: str, *records: UsageRecord) -> None:
    ledger = DynamoLedger(client, table)
    for one in records:
        ledger.journal(one)


def at(moment: str, request_id: str, **changes: Any) -> UsageRecord:
    since = datetime.fromisoformat(moment)
    return replace(record(replace(HOLD, request_id=request_id, since=since), 7), **changes)


def test_four_hundred_days_of_fifty_models(
    statements: DynamoStatements, dynamodb_client: Any, table: str
) -> None:
    """Twenty thousand sums, over every span and page, each once and in order."""
    amounts = random.Random(4)
    days = [(ALL.first + timedelta(days=at)).isoformat() for at in range(400)]
    expected = [
        DayCost(
            day=day, model=f"vendor/model-{number:02}", quota=Micropoints(amounts.randrange(10**9))
        )
        for day, number in product(days, range(50))
    ]
    neighbours = [
        replace(expected[0], day="2025-10-20"),
        replace(expected[0], day="2026-11-25"),
    ]
    put(dynamodb_client, table, map(day_item, [*expected, *neighbours]))
    put(dynamodb_client, table, [day_item(expected[0], "b")])

    assert statements.list_costs("a", ALL, today=TODAY) == expected


@pytest.mark.parametrize(
    ("first", "end", "expected"),
    [
        ("2028-02-29", "2028-03-01", ["2028-02-29"]),
        ("2028-02-28", "2028-02-29", ["2028-02-28"]),
        ("2028-02-01", "2028-03-01", ["2028-02-28", "2028-02-29"]),
        ("2028-03-01", "2028-03-02", ["2028-03-01"]),
        ("2028-02-29", "2028-02-29", []),
        ("2028-03-02", "2028-04-01", []),
        ("2027-12-31", "2028-01-01", ["2027-12-31"]),
    ],
)
@pytest.mark.parametrize("today", ["2028-03-01", "2028-02-29", "2029-01-01", "2027-01-01"])
def test_days_at_the_edges_of_months(
    statements: DynamoStatements,
    dynamodb_client: Any,
    table: str,
    first: str,
    end: str,
    expected: list[str],
    today: str,
) -> None:
    """A month's last day and a leap day are in, the end is not, whatever day it is today."""
    journal(
        dynamodb_client,
        table,
        at("2027-12-31T23:59:59.999999Z", "r-1"),
        at("2028-02-28T23:59:59.999999Z", "r-2"),
        at("2028-02-29T00:00:00.000000Z", "r-3"),
        at("2028-02-29T23:59:59.999999Z", "r-4"),
        at("2028-03-01T00:00:00.000000Z", "r-5"),
    )
    days = Days(first=date.fromisoformat(first), end=date.fromisoformat(end))

    costs = statements.list_costs("a", days, today=date.fromisoformat(today))
    page = statements.list_records("a", days, limit=10)

    assert [cost.day for cost in costs] == expected
    assert sorted({f"{one.since:%Y-%m-%d}" for one in page.records}) == expected
    assert sum(cost.quota for cost in costs) == sum(one.quota for one in page.records)


def test_model_names_are_kept_whole(
    statements: DynamoStatements, dynamodb_client: Any, table: str
) -> None:
    """A name may have the key's own separator, and characters that sort after all others."""
    names = ["a#b", "org/model:1", "\U0001f600", "模型"]
    journal(
        dynamodb_client,
        table,
        *(at("2026-11-24T10:00:00Z", f"r-{name}", model=name) for name in names),
    )

    costs = statements.list_costs("a", ALL, today=TODAY)

    assert {cost.model for cost in costs} == set(names)


def test_funds_are_as_the_ledger_left_them(
    statements: DynamoStatements, accounts: DynamoAccounts, dynamodb_client: Any, table: str
) -> None:
    """What is held counts as used; a suspended account is still read."""
    ledger = DynamoLedger(dynamodb_client, table)
    accounts.grant("a", "first", Micropoints(1000), at=NOW, note="")
    ledger.settle(ledger.reserve(reservation(ask(300), "r-1")), Micropoints(120))
    ledger.reserve(reservation(ask(200), "r-2"))
    accounts.set_account_status("a", "suspended")

    funds = statements.find_funds("a")

    assert (funds.granted, funds.balance, funds.used) == (1000, 680, 320)


def each_read(statements: DynamoStatements, account_id: str) -> list[Callable[[], object]]:
    return [
        lambda: statements.find_funds(account_id),
        lambda: statements.list_grants(account_id),
        lambda: statements.list_costs(account_id, ALL, today=TODAY),
        lambda: statements.list_records(account_id, ALL, limit=5),
    ]


@pytest.mark.parametrize("read", range(4))
def test_account_that_is_gone(
    statements: DynamoStatements, dynamodb_client: Any, table: str, read: int
) -> None:
    """Every read says so, also where days and records are left."""
    journal(dynamodb_client, table, at("2026-11-24T10:00:00Z", "r-1", account_id="gone"))

    with pytest.raises(AccountInactiveError):
        each_read(statements, "gone")[read]()


def test_grants_and_funds_are_of_one_instant(
    statements: DynamoStatements, accounts: DynamoAccounts, dynamodb_client: Any, table: str
) -> None:
    """A top-up between the two reads is read again, so that the sums agree."""
    accounts.grant("a", "first", Micropoints(1000), at=NOW, note="")

    class Racing(DynamoStatements):
        def find_funds(self, account_id: str) -> Any:
            accounts.grant("a", "second", Micropoints(500), at=NOW, note="")
            return super().find_funds(account_id)

    funds, grants = Racing(dynamodb_client, table).list_grants("a")

    assert funds.granted == sum(grant.amount for grant in grants) == 1500


def walk(statements: DynamoStatements, days: Days, limit: int) -> list[list[UsageRecord]]:
    """Return all pages, each asked for with the cursor of the one before."""
    pages: list[list[UsageRecord]] = []
    cursor = None
    while len(pages) < 50:
        page = statements.list_records("a", days, limit=limit, after=cursor)
        pages.append(list(page.records))
        cursor = page.next_cursor
        if cursor is None:
            break
    return pages


@pytest.mark.parametrize(
    ("limit", "sizes"), [(1, [1] * 7), (2, [2, 2, 2, 1]), (3, [3, 3, 1]), (7, [7]), (100, [7])]
)
def test_records_are_paged_over_months(
    statements: DynamoStatements, dynamodb_client: Any, table: str, limit: int, sizes: list[int]
) -> None:
    """Newest first, each once, over empty months and equal times; the last page says so."""
    moments = [
        "2025-12-31T23:59:59Z",
        "2026-03-01T00:00:00Z",
        "2026-03-01T00:00:00Z",
        "2026-03-31T12:00:00Z",
        "2026-10-31T23:59:59Z",
        "2026-11-01T00:00:00Z",
        "2026-11-24T10:00:00Z",
    ]
    made = [at(moment, f"r-{number}") for number, moment in enumerate(moments)]
    outside = [at("2025-10-20T23:59:59Z", "early"), at("2026-11-25T00:00:00Z", "late")]
    journal(
        dynamodb_client, table, *made, *outside, at("2026-11-24T10:00:00Z", "b", account_id="b")
    )

    pages = walk(statements, ALL, limit)

    assert [len(page) for page in pages] == sizes
    assert [one for page in pages for one in page] == made[::-1]


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1, 1]), (2, [2])])
def test_lost_requests_are_not_listed(
    statements: DynamoStatements, dynamodb_client: Any, table: str, limit: int, sizes: list[int]
) -> None:
    """Nor do they count: pages are full, and the last one says that it is."""
    made = [at(f"2026-11-0{day}T00:00:00Z", f"r-{day}") for day in (3, 6)]
    journal(dynamodb_client, table, *made)
    for day in (1, 2, 4, 5, 7, 8):
        since = datetime(2026, 11, day, tzinfo=UTC)
        lost = replace(HOLD, request_id=f"lost-{day}", since=since)
        DynamoLedger(dynamodb_client, table).void(lost, NOW)

    pages = walk(statements, ALL, limit)

    assert [len(page) for page in pages] == sizes
    assert [one for page in pages for one in page] == made[::-1]


def test_records_that_come_between_pages(
    statements: DynamoStatements, dynamodb_client: Any, table: str
) -> None:
    """New requests do not move the pages of older ones."""
    journal(
        dynamodb_client, table, *(at(f"2026-11-0{day}T00:00:00Z", f"r-{day}") for day in (1, 2, 3))
    )
    first = statements.list_records("a", ALL, limit=2)
    journal(dynamodb_client, table, at("2026-11-24T00:00:00Z", "new"))

    second = statements.list_records("a", ALL, limit=2, after=first.next_cursor)

    assert [one.request_id for one in second.records] == ["r-1"]
    assert second.next_cursor is None


def test_a_cursor_opens_no_other_account(
    statements: DynamoStatements, dynamodb_client: Any, table: str
) -> None:
    """Another account's cursor is refused, and outside of the days there is nothing."""
    journal(
        dynamodb_client,
        table,
        *(at(f"2026-11-0{day}T00:00:00Z", f"r-{day}") for day in (1, 2, 3)),
    )
    cursor = statements.list_records("a", ALL, limit=1).next_cursor
    before = Days(first=date(2026, 11, 10), end=date(2026, 11, 20))

    with pytest.raises(InvalidRequestError):
        statements.list_records("b", ALL, limit=1, after=cursor)
    assert statements.list_records("a", before, limit=1, after=cursor).records == ()


def test_a_page_reads_little(
    statements: DynamoStatements, dynamodb_client: Any, table: str
) -> None:
    """One page of a long list is one query of as many records, and no table is ever scanned."""
    journal(dynamodb_client, table, *(at("2026-11-24T00:00:00Z", f"r-{n:02}") for n in range(30)))
    calls = record_calls(dynamodb_client)

    statements.list_records("a", ALL, limit=5)

    assert [(name, params.get("Limit")) for name, params in calls] == [
        ("GetItem", None),
        ("Query", 7),
    ]


def record_calls(client: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return a list that grows by each call's name and parameters."""
    calls: list[tuple[str, dict[str, Any]]] = []
    tap(client, lambda name, parameters: calls.append((name, parameters)))
    return calls


def test_what_changes_is_read_consistently(
    statements: DynamoStatements, dynamodb_client: Any
) -> None:
    """Account, grants, records and the last two days are; the days before them are not."""
    calls = record_calls(dynamodb_client)

    for read in each_read(statements, "a"):
        read()

    reads = {
        (params["ExpressionAttributeValues"][":first"]["S"] if name == "Query" else "account"): (
            params["ConsistentRead"]
        )
        for name, params in calls
    }
    closed = {first for first, is_consistent in reads.items() if not is_consistent}
    days = {first for first in reads if first.startswith("DAY#")}
    assert {name for name, _ in calls} == {"GetItem", "Query"}
    assert days - closed == {"DAY#2026-11-23#"}
    assert closed == days - {"DAY#2026-11-23#"}
    assert len(closed) == 8
    assert {"account", "GRANT#", "2025-10-21"} == set(reads) - days


def test_more_costs_than_an_answer_holds(
    statements: DynamoStatements,
    dynamodb_client: Any,
    table: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reading itself has a limit: what could not be answered is not collected."""
    journal(
        dynamodb_client,
        table,
        *(at("2026-11-24T10:00:00Z", f"r-{n}", model=f"m-{n}") for n in range(4)),
    )
    monkeypatch.setattr("tollgate.ledger.statements._COSTS_MAX", 3)

    with pytest.raises(AnswerTooLargeError):
        statements.list_costs("a", ALL, today=TODAY)


def test_queries_answer_as_botocore_parses_them(
    dynamodb_client: Any, dynamodb_url: str, table: str
) -> None:
    """Items, page ends and errors are the same with and without botocore."""
    plain = connect(region="us-east-1", endpoint_url=dynamodb_url, make=make_botocore_client)
    journal(dynamodb_client, table, *(at("2026-11-24T00:00:00Z", f"r-{n}") for n in range(3)))
    question = {
        "TableName": table,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": items.usage_pk("a", "2026-11")}},
        "Limit": 2,
    }
    answers = [client.query(**question) for client in (dynamodb_client, plain)]
    failures = []
    for client in (dynamodb_client, plain):
        with pytest.raises(AwsRefusedError) as caught:
            client.query(**question | {"TableName": "not-there"})
        failures.append((caught.value.code, caught.value.status))
    plain.close()

    del answers[1]["ResponseMetadata"]
    assert answers[0] == answers[1]
    assert len(answers[0]["Items"]) == 2
    assert failures[0] == failures[1]


def test_unreachable_database(dynamodb_client: Any) -> None:
    """No answer is LedgerUnavailableError for each read, from whatever thread."""
    client = connect(
        region="us-east-1", endpoint_url="http://127.0.0.1:9", connect_timeout_s=0.2, attempts_max=1
    )
    for read in each_read(DynamoStatements(client, "none"), "a"):
        with pytest.raises(LedgerUnavailableError):
            read()
    client.close()
