"""The billing function over a socket, on a table of DynamoDB Local, on a day that is given."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from tollgate.core.keys import key_sha256, make_key
from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.model import Key
from tollgate.ledger.statements import DynamoStatements
from tollgate.ledger.store import DynamoLedger
from tollgate.settings import Settings
from tollgate.web.live_catalog import LiveCatalog
from tollgate.web.services import make_services

from tests.billing_clients import Shop
from tests.fakes.replay_upstream import serve_in_thread
from tests.functions import load_function

TODAY = date(2028, 3, 1)  # the day after a leap day


@dataclass(slots=True, kw_only=True)
class Office:
    """The function, the table behind it, and the day that it believes in."""

    root: str
    client: Any
    table: str
    accounts: DynamoAccounts
    ledger: DynamoLedger
    desk: Any = None
    today: date = TODAY
    shops: list[Shop] = field(default_factory=list)

    def open(self, account_id: str, *grants: int, **changes: Any) -> Shop:
        """Open an account with some grants, a day apart; return it as its customer has it."""
        self.accounts.create_account(account_id, datetime(2027, 1, 1, tzinfo=UTC))
        for number, amount in enumerate(grants, 1):
            at = datetime(2027, 1, number, tzinfo=UTC)
            self.accounts.grant(account_id, f"g-{number}", Micropoints(amount), at=at, note="")
        return self.add_key(account_id, **changes)

    def price_points(self, points_per_usd: int) -> None:
        """Push a catalog with this price of a point, and let the function see it at once."""
        text = f"points_per_usd = {points_per_usd}\n"
        self.accounts.push_catalog(text, str(points_per_usd), datetime.now(UTC))
        services = replace(self.desk.services, catalog=LiveCatalog(self.ledger, None))
        self.desk = replace(self.desk, services=services)

    def add_key(self, account_id: str, **changes: Any) -> Shop:
        """Return the account as another of its keys sees it."""
        secret = make_key(secrets.choice)
        fields = {
            "account_id": account_id,
            "key_id": f"key_{secrets.token_hex(4)}",
            "label": "test",
            "status": "active",
            "created_at": datetime(2027, 1, 1, tzinfo=UTC),
        }
        self.accounts.create_key(Key(**fields | changes), key_sha256(secret))
        return Shop(root=self.root, api_key=secret)


@pytest.fixture
def office(dynamodb_url: str, dynamodb_client: Any, table: str) -> Iterator[Office]:
    settings = Settings.read({"TOLLGATE_TABLE": table, "TOLLGATE_DYNAMODB_URL": dynamodb_url})
    services = make_services(settings)
    made = Office(
        root="",
        client=dynamodb_client,
        table=table,
        accounts=DynamoAccounts(dynamodb_client, table),
        ledger=DynamoLedger(dynamodb_client, table),
    )
    function = load_function("billing")
    made.desk = function.Desk(
        services=services,
        statements=DynamoStatements(services.client, table),
        today=lambda: made.today,
    )
    function.app.dependency_overrides[function.find_desk] = lambda: made.desk
    with serve_in_thread(function.app) as root:
        made.root = root
        yield made
    function.app.dependency_overrides.clear()
    services.client.close()
