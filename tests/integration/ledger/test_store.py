"""The store where only the real database tells: races, items, and a database that is not there."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from tollgate.core.units import Micropoints
from tollgate.errors import InsufficientQuotaError, LedgerUnavailableError
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Hold
from tollgate.ledger.store import DynamoLedger

from tests.contracts.test_ledger import ask, record, reservation

NOW = datetime(2026, 11, 30, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.fixture
def ledger(dynamodb_client: Any, table: str) -> DynamoLedger:
    return DynamoLedger(dynamodb_client, table)


@pytest.fixture
def accounts(dynamodb_client: Any, table: str) -> DynamoAccounts:
    accounts = DynamoAccounts(dynamodb_client, table)
    accounts.create_account("a", NOW)
    return accounts


def in_parallel(count: int, call: Callable[[int], object]) -> list[object]:
    """Return what each call returned or raised."""

    def attempt(number: int) -> object:
        try:
            return call(number)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            return error

    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(attempt, range(count)))


def test_parallel_reserves_admit_what_the_balance_pays_for(
    ledger: DynamoLedger, accounts: DynamoAccounts
) -> None:
    """200 reserves of 30 on a balance of 900 admit exactly 30, and never go below zero."""
    accounts.grant("a", "g", Micropoints(900), at=NOW, note="")

    found = in_parallel(200, lambda number: ledger.reserve(reservation(ask(30), f"r-{number}")))

    account = accounts.find_account("a")
    assert sum(isinstance(one, Hold) for one in found) == 30
    assert sum(isinstance(one, InsufficientQuotaError) for one in found) == 170
    assert (account.balance, account.held) == (0, 900)
    assert len(account.holds) == 30


def test_parallel_requests_leave_exact_sums(ledger: DynamoLedger, accounts: DynamoAccounts) -> None:
    """Requests of one account and model, and grants among them: every sum agrees at the end."""
    accounts.grant("a", "g", Micropoints(100_000), at=NOW, note="")

    def serve(number: int) -> None:
        if number % 10 == 0:
            accounts.grant("a", f"g-{number}", Micropoints(7), at=NOW, note="")
        hold = ledger.reserve(reservation(ask(500), f"r-{number}"))
        ledger.journal(record(hold, number))
        ledger.settle(hold, Micropoints(number))

    errors = [one for one in in_parallel(60, serve) if isinstance(one, Exception)]

    account = accounts.find_account("a")
    records = list(accounts.list_usage("a", "2026-11"))
    [day] = accounts.list_days("a", "2026-11-01", "2026-11-30")
    assert errors == []
    assert (account.granted, account.held) == (100_042, 0)
    assert account.spent == sum(range(60)) == sum(one.quota for one in records) == day.quota
    assert account.balance == account.granted - account.spent
    assert (day.requests, day.tokens["prompt"], day.tokens["completion"]) == (60, 180, 300)


def test_record_and_day_follow_the_holds_time(
    ledger: DynamoLedger, accounts: DynamoAccounts
) -> None:
    """A record lies in the month and day of its hold, in UTC, and is read back whole."""
    accounts.grant("a", "g", Micropoints(900), at=NOW, note="")
    hold = Hold(account_id="a", key_id="key_1", request_id="r-1", since=NOW, amount=Micropoints(30))
    written = record(hold, 12)

    ledger.journal(written)

    assert [written] == list(accounts.list_usage("a", "2026-11"))
    assert list(accounts.list_usage("a", "2026-12")) == []
    assert [day.day for day in accounts.list_days("a", "2026-11-30", "2026-11-30")] == [
        "2026-11-30"
    ]


def test_repeated_journal_counts_once(ledger: DynamoLedger, accounts: DynamoAccounts) -> None:
    """The first record stays as it was, and its day has it once."""
    hold = Hold(account_id="a", key_id="key_1", request_id="r-1", since=NOW, amount=Micropoints(30))

    for quota in (12, 12, 20):
        ledger.journal(record(hold, quota))

    [kept] = accounts.list_usage("a", "2026-11")
    [day] = accounts.list_days("a", "2026-11-30", "2026-11-30")
    assert kept.quota == 12
    assert (day.requests, day.quota, day.tokens) == (1, 12, {"prompt": 3, "completion": 5})


def test_catalog_is_loaded_when_its_version_changes(
    ledger: DynamoLedger, accounts: DynamoAccounts
) -> None:
    """None before the first push, the text after it, None again for who has that version."""
    assert ledger.load_catalog(None) is None

    accounts.push_catalog("text", "v1", NOW)

    assert ledger.load_catalog(None) == "text"
    assert ledger.load_catalog("v1") is None
    assert ledger.load_catalog("v0") == "text"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in taken:
        connection.close()


def calls(ledger: DynamoLedger) -> dict[str, Callable[[], object]]:
    hold = Hold(account_id="a", key_id="k", request_id="r", since=NOW, amount=Micropoints(3))
    return {
        "find_key": lambda: ledger.find_key("0" * 64),
        "load_catalog": lambda: ledger.load_catalog(None),
        "reserve": lambda: ledger.reserve(reservation(ask(1))),
        "extend": lambda: ledger.extend(hold, Micropoints(5)),
        "journal": lambda: ledger.journal(record(hold, 1)),
        "settle": lambda: ledger.settle(hold, Micropoints(1)),
        "release": lambda: ledger.release(hold),
    }


def test_hung_database_is_unavailable_in_bounded_time(silent_port: int) -> None:
    """A database that hangs costs a request its few tries, not its time."""
    client = connect(
        region="us-east-1",
        endpoint_url=f"http://127.0.0.1:{silent_port}",
        read_timeout_s=0.2,
        attempts_max=2,
    )
    began = time.monotonic()

    for call in calls(DynamoLedger(client, "t")).values():
        with pytest.raises(LedgerUnavailableError):
            call()

    client.close()
    assert time.monotonic() - began < 30


def test_stopped_database_is_unavailable() -> None:
    """Nothing listens: every verb says so in our word, whatever botocore calls it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = connect(region="us-east-1", endpoint_url=f"http://127.0.0.1:{port}", attempts_max=1)

    for call in calls(DynamoLedger(client, "t")).values():
        with pytest.raises(LedgerUnavailableError):
            call()

    client.close()


def test_missing_table_is_unavailable(dynamodb_client: Any) -> None:
    """A wrong table name is the operator's trouble and a 503 for the caller."""
    for call in calls(DynamoLedger(dynamodb_client, "no-such-table")).values():
        with pytest.raises(LedgerUnavailableError):
            call()
