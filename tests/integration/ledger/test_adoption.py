"""`tollgate adopt`: another table's books into an empty one, whole, once, never over anything."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tollgate.core.units import Micropoints
from tollgate.errors import LedgerConflictError, LedgerUnavailableError
from tollgate.ledger import items
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.adoption import Adopted, adopt
from tollgate.ledger.store import DynamoLedger
from tollgate.ledger.table import create_table

from tests.contracts.test_ledger import ask, record, reservation
from tests.dynamodb import scan

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
REQUESTS = 12


@pytest.fixture
def old_table(dynamodb_client: Any) -> Iterator[str]:
    """A table with an account that has used something of what it was given."""
    name = f"t-{uuid.uuid4().hex}"
    create_table(dynamodb_client, name)
    accounts, ledger = DynamoAccounts(dynamodb_client, name), DynamoLedger(dynamodb_client, name)
    accounts.create_account("a", NOW)
    accounts.grant("a", "g", Micropoints(1_000_000), at=NOW, note="")
    for number in range(REQUESTS):
        hold = ledger.reserve(reservation(ask(300), request_id=f"r-{number}"))
        ledger.journal(record(hold, 100))
        ledger.settle(hold, Micropoints(100))
    yield name
    dynamodb_client.delete_table(TableName=name)


def read(client: Any, table: str) -> list[Any]:
    return sorted(scan(client, table), key=lambda item: (item["pk"]["S"], item["sk"]["S"]))


def test_books_are_taken_over_whole(dynamodb_client: Any, table: str, old_table: str) -> None:
    """Every item is the same in the new table, and the old one is as it was."""
    before = read(dynamodb_client, old_table)

    adopted = adopt(dynamodb_client, source=old_table, target=table)

    assert adopted == Adopted(copied=len(before), present=0)
    assert read(dynamodb_client, table) == read(dynamodb_client, old_table) == before
    assert DynamoAccounts(dynamodb_client, table).find_account("a").spent == REQUESTS * 100


def test_adoption_that_broke_off_is_finished(
    dynamodb_client: Any, table: str, old_table: str
) -> None:
    """What is there already, the same, is passed over and counted."""
    rows = read(dynamodb_client, old_table)
    dynamodb_client.put_item(TableName=table, Item=rows[0])

    adopted = adopt(dynamodb_client, source=old_table, target=table)

    assert adopted == Adopted(copied=len(rows) - 1, present=1)
    assert read(dynamodb_client, table) == rows


def test_table_in_use_is_not_written_over(dynamodb_client: Any, table: str, old_table: str) -> None:
    """An account of the same name with other figures ends it, and stays as it is."""
    accounts = DynamoAccounts(dynamodb_client, table)
    accounts.create_account("a", NOW)
    mine = accounts.find_account("a")

    with pytest.raises(LedgerConflictError, match="the table is in use: it has another ACCOUNT#a"):
        adopt(dynamodb_client, source=old_table, target=table)

    assert accounts.find_account("a") == mine


def test_open_hold_is_refused_before_anything_is_written(
    dynamodb_client: Any, table: str, old_table: str
) -> None:
    """Its request could still settle it in the old table, and the sweep in the new one."""
    DynamoLedger(dynamodb_client, old_table).reserve(reservation(ask(300), request_id="open"))

    with pytest.raises(LedgerConflictError, match=f"--table {old_table} sweep"):
        adopt(dynamodb_client, source=old_table, target=table)

    assert read(dynamodb_client, table) == []


def test_pushed_catalog_comes_along(dynamodb_client: Any, table: str, old_table: str) -> None:
    """Prices too, so that the first request costs what the last one did."""
    key = items.CATALOG_KEY
    dynamodb_client.put_item(TableName=old_table, Item=key | {"text": items.text("x")})

    adopt(dynamodb_client, source=old_table, target=table)

    assert dynamodb_client.get_item(TableName=table, Key=key)["Item"]["text"] == items.text("x")


def test_catalog_that_was_pushed_already_stands(
    dynamodb_client: Any, table: str, old_table: str
) -> None:
    """Who pushed prices to the new stack first keeps them; all else comes over."""
    rows = read(dynamodb_client, old_table)
    for name, text in ((old_table, "old"), (table, "new")):
        dynamodb_client.put_item(
            TableName=name, Item=items.CATALOG_KEY | {"text": items.text(text)}
        )

    adopted = adopt(dynamodb_client, source=old_table, target=table)

    kept = dynamodb_client.get_item(TableName=table, Key=items.CATALOG_KEY)["Item"]
    assert adopted == Adopted(copied=len(rows), present=1)
    assert kept["text"] == items.text("new")


def test_no_such_table(dynamodb_client: Any, table: str) -> None:
    """A name that is wrong is the ledger being unavailable, with its cause."""
    with pytest.raises(LedgerUnavailableError):
        adopt(dynamodb_client, source="nowhere", target=table)
