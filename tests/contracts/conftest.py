"""An account on each implementation of the ledger, to be looked at."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
from tollgate.core.units import Micropoints
from tollgate.ledger import items
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.model import Account, Ledger, Status
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.sweep import SweptLedger

from tests.fakes.ledger import FakeLedger

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


class AnyLedger(Ledger, SweptLedger, Protocol):
    """Both sides of a ledger: the requests' and the sweep's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A ledger with an account that can be looked at.

    `open_account` puts one of that id and balance beside it; `spoil` one that nobody can read,
    older on the sweep's list.
    """

    ledger: AnyLedger
    read: Callable[[], Account]
    suspend: Callable[[], None]
    grant: Callable[[str, int, str], bool]
    open_account: Callable[[str, int], None]
    spoil: Callable[[], None]

    def check(self) -> Account:
        """Return the account; its sums agree and nothing is below zero."""
        account = self.read()
        assert account.granted == account.balance + account.held + account.spent
        assert account.held == sum(hold.amount for hold in account.holds.values())
        assert account.balance >= 0
        assert all(used >= 0 for used in account.key_used.values())
        return account


@pytest.fixture(params=["fake", "dynamodb", "by botocore"])
def make_bench(request: pytest.FixtureRequest) -> Callable[[int], Bench]:
    """Return a function that opens an account with a balance."""
    if request.param == "fake":
        return _fake_bench
    is_lean = request.param == "dynamodb"
    client: Any = request.getfixturevalue("dynamodb_client" if is_lean else "botocore_client")
    table: str = request.getfixturevalue("table")
    return lambda balance: dynamo_bench(client, table, balance)


def _fake_bench(balance: int) -> Bench:
    ledger = FakeLedger()

    def open_account(account_id: str, amount: int) -> None:
        ledger.open_account(account_id, NOW)
        if amount:
            ledger.grant(account_id, f"first-{account_id}", Micropoints(amount))

    open_account("a", balance)

    def suspend() -> None:
        ledger.accounts["a"] = replace(ledger.accounts["a"], status="suspended")

    def spoil() -> None:
        ledger.open_account("b", NOW)
        holds: Any = {"r-secret": "no hold"}
        spoiled = replace(ledger.accounts["b"], holds=holds, open_since=NOW - timedelta(minutes=1))
        ledger.accounts["b"] = spoiled

    return Bench(
        ledger=ledger,
        read=lambda: ledger.accounts["a"],
        suspend=suspend,
        grant=lambda name, amount, account: ledger.grant(account, name, Micropoints(amount)),
        open_account=open_account,
        spoil=spoil,
    )


def dynamo_bench(client: Any, table: str, balance: int) -> Bench:
    """Return a bench on a table of its own."""
    accounts = DynamoAccounts(client, table)

    def open_account(account_id: str, amount: int) -> None:
        accounts.create_account(account_id, NOW)
        if amount:
            accounts.grant(account_id, "first", Micropoints(amount), at=NOW, note="")

    open_account("a", balance)
    suspended: Status = "suspended"
    return Bench(
        ledger=DynamoSweptLedger(client, table),
        read=lambda: accounts.find_account("a"),
        suspend=lambda: accounts.set_account_status("a", suspended),
        grant=lambda name, amount, account: accounts.grant(
            account, name, Micropoints(amount), at=NOW, note=""
        ),
        open_account=open_account,
        spoil=lambda: client.put_item(TableName=table, Item=_spoiled_item()),
    )


def _spoiled_item() -> items.Item:
    """Return an account's item in which a hold is none."""
    return items.account_item("b", NOW) | {
        "holds": {"M": {"r-secret": items.text("no hold")}},
        "open": items.text(items.OPEN_PK),
        "open_since": items.text(items.format_time(NOW - timedelta(minutes=1))),
    }
