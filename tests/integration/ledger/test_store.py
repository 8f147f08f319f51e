"""The store where only the real database tells: races, items, and a database that is not there."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tollgate.aws.botocore_clients import make_botocore_client
from tollgate.aws.clients import ClientMaker, make_client
from tollgate.core.keys import key_sha256, make_key
from tollgate.core.units import Micropoints
from tollgate.errors import (
    AccountInactiveError,
    InsufficientQuotaError,
    InvalidKeyError,
    LedgerUnavailableError,
)
from tollgate.ledger import items
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Hold, Key
from tollgate.ledger.store import DynamoLedger
from tollgate.web.auth import Authenticator

from bench.ledger_scale import busy_account, item_bytes, write_units
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


def test_parallel_reserves_stay_within_a_keys_budget(
    ledger: DynamoLedger, accounts: DynamoAccounts
) -> None:
    """100 reserves of 30 under a budget of 300, and as many by a free key: each has its own."""
    accounts.grant("a", "g", Micropoints(100_000), at=NOW, note="")

    def reserve(number: int) -> Hold:
        asked = reservation(ask(30), f"r-{number}", budget=300 if number % 2 else None)
        return ledger.reserve(replace(asked, key_id=f"key_{number % 2}"))

    found = in_parallel(100, reserve)

    account = accounts.find_account("a")
    assert sum(isinstance(one, InsufficientQuotaError) for one in found) == 40
    assert account.key_used == {"key_0": 1500, "key_1": 300}
    assert account.held == 1800


def test_budget_is_tried_down_to_what_is_left(
    ledger: DynamoLedger, accounts: DynamoAccounts
) -> None:
    """Parallel requests that may be lowered use a budget up, and never pass it."""
    accounts.grant("a", "g", Micropoints(100_000), at=NOW, note="")
    wanted = ask(1000, floor=50, least=10)

    in_parallel(40, lambda number: ledger.reserve(reservation(wanted, f"r-{number}", budget=700)))

    assert 690 < accounts.find_account("a").key_used["key_1"] <= 700


def test_suspension_is_at_once_also_beside_grants(
    ledger: DynamoLedger, accounts: DynamoAccounts
) -> None:
    """It is written though transactions on the account are under way; no reserve passes it."""
    accounts.grant("a", "g", Micropoints(100_000), at=NOW, note="")

    def act(number: int) -> None:
        if number == 20:
            accounts.set_account_status("a", "suspended")
        accounts.grant("a", f"g-{number}", Micropoints(7), at=NOW, note="")

    errors = [one for one in in_parallel(40, act) if isinstance(one, Exception)]

    assert errors == []
    with pytest.raises(AccountInactiveError):
        ledger.reserve(reservation(ask(1)))


async def test_disabled_key_and_new_budget_are_known_within_a_minute(
    ledger: DynamoLedger, accounts: DynamoAccounts
) -> None:
    """A sandbox that has the key cached asks again after half a minute."""
    token = make_key(random.Random(1).choice)
    key = Key(account_id="a", key_id="k", label="", status="active", created_at=NOW)
    accounts.create_key(key, key_sha256(token))
    clock = [NOW]
    authenticator = Authenticator(ledger, lambda: clock[0])
    await authenticator.authenticate(f"Bearer {token}")

    accounts.set_key_budget("a", "k", Micropoints(5))
    clock[0] += timedelta(seconds=31)
    assert (await authenticator.authenticate(f"Bearer {token}")).budget == 5
    accounts.set_key_status("a", "k", "disabled")
    clock[0] += timedelta(seconds=31)
    with pytest.raises(InvalidKeyError):
        await authenticator.authenticate(f"Bearer {token}")


@pytest.mark.parametrize("holds", [0, 5, 6, 50])
def test_item_sizes_on_paper_are_the_databases(
    dynamodb_client: Any, table: str, holds: int
) -> None:
    """What bench/ledger_scale.py counts is what the database charges."""
    item = busy_account(holds)

    answer = dynamodb_client.put_item(TableName=table, Item=item, ReturnConsumedCapacity="TOTAL")

    units = answer["ConsumedCapacity"]["CapacityUnits"]
    index_units = 1
    assert units == write_units(item_bytes(item)) + index_units


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


def test_nothing_of_a_settled_hold_stays_in_the_account(
    dynamodb_client: Any, table: str, ledger: DynamoLedger, accounts: DynamoAccounts
) -> None:
    """Neither the hold nor its number: the item would grow with each request."""
    accounts.grant("a", "g", Micropoints(900), at=NOW, note="")
    ledger.settle(ledger.reserve(reservation(ask(300))), Micropoints(120))

    item = dynamodb_client.get_item(TableName=table, Key=items.account_key("a"))["Item"]

    assert (item["holds"], item["numbers"]) == ({"M": {}}, {"M": {}})


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


@pytest.mark.parametrize("make", [make_client, make_botocore_client])
def test_hung_database_is_unavailable_in_bounded_time(silent_port: int, make: ClientMaker) -> None:
    """A database that hangs costs a request its few tries, not its time."""
    client = connect(
        region="us-east-1",
        endpoint_url=f"http://127.0.0.1:{silent_port}",
        read_timeout_s=0.2,
        attempts_max=2,
        make=make,
    )
    began = time.monotonic()

    for call in calls(DynamoLedger(client, "t")).values():
        with pytest.raises(LedgerUnavailableError):
            call()

    client.close()
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("make", [make_client, make_botocore_client])
def test_stopped_database_is_unavailable(make: ClientMaker) -> None:
    """Nothing listens: every verb says so in our word, whatever the client calls it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    client = connect(region="us-east-1", endpoint_url=url, attempts_max=1, make=make)

    for call in calls(DynamoLedger(client, "t")).values():
        with pytest.raises(LedgerUnavailableError):
            call()

    client.close()


def test_missing_table_is_unavailable(dynamodb_client: Any) -> None:
    """A wrong table name is the operator's trouble and a 503 for the caller."""
    for call in calls(DynamoLedger(dynamodb_client, "no-such-table")).values():
        with pytest.raises(LedgerUnavailableError):
            call()
