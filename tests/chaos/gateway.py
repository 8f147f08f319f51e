"""The chat function's app on a socket in this process, as several sandboxes with one table."""

import itertools
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
from starlette.responses import Response
from tollgate.core.keys import key_sha256, make_key
from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Key
from tollgate.ledger.rests import DynamoRestBoard
from tollgate.ledger.table import create_table
from tollgate.metering.chat import Metering
from tollgate.settings import Settings
from tollgate.upstream.client import Upstream, new_http_client
from tollgate.upstream.cooldowns import CooldownRules
from tollgate.upstream.keys import EnvKeys
from tollgate.web.services import Services, make_services

from tests.fakes.replay_upstream import serve_in_thread
from tests.functions import load_function

ACCOUNT = "chaos"
GRANTED = Micropoints(10**12)
_END = "/end"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatGateway:
    """Where it listens, a key for it, and its table."""

    base_url: str
    api_key: str
    client: Any
    table: str


class _Context:
    """Lambda's, as far as a request asks it."""

    def __init__(self, lives_s: float) -> None:
        self.aws_request_id = secrets.token_hex(8)
        self._ends_at = monotonic() + lives_s

    def get_remaining_time_in_millis(self) -> int:
        return int((self._ends_at - monotonic()) * 1000)


@contextmanager
def serving_chat(
    dynamodb_url: str,
    catalog: Path,
    *,
    rules: CooldownRules | None = None,
    sandboxes: int = 1,
    lives_s: float = 900.0,
) -> Iterator[ChatGateway]:
    """Serve on a table of its own. `lives_s`: a Lambda's time-out, for each request anew."""
    table = f"chaos-{secrets.token_hex(6)}"
    settings = Settings.read(
        {
            "TOLLGATE_TABLE": table,
            "TOLLGATE_DYNAMODB_URL": dynamodb_url,
            "TOLLGATE_CATALOG_FILE": str(catalog),
            "TOLLGATE_KEEPALIVE_S": "0",  # a comment would go out before the headers are known
        }
    )
    services = make_services(settings)
    client = connect(region="us-east-1", endpoint_url=dynamodb_url, read_timeout_s=30.0)
    create_table(client, table)
    meterings = [_make_metering(services, rules or CooldownRules()) for _ in range(sandboxes)]
    function = load_function("chat")
    app = _in_lambda(function, services, meterings, lives_s)
    try:
        with serve_in_thread(app) as url:
            key = _open_account(client, table)
            try:
                yield ChatGateway(base_url=f"{url}/v1", api_key=key, client=client, table=table)
            finally:
                httpx.post(f"{url}{_END}", trust_env=False, timeout=60)
    finally:
        function.app.state.get_services = function.get_services
        function.app.state.get_metering = function.get_metering
        client.delete_table(TableName=table)
        client.close()
        services.client.close()


def _make_metering(services: Services, rules: CooldownRules) -> Metering:
    upstream = Upstream(
        new_http_client(),
        services.catalog.current,
        EnvKeys({}),
        rules=rules,
        board=DynamoRestBoard(services.client, services.settings.table),
    )
    return Metering(ledger=services.ledger, upstream=upstream)


def _in_lambda(
    function: Any, services: Services, meterings: Sequence[Metering], lives_s: float
) -> Any:
    """Return the app with a Lambda's context for each request, each the next sandbox's.

    A request for `_END` closes all connections, on the loop that they belong to.
    """
    turns = itertools.cycle(meterings)
    function.app.state.get_services = lambda: services
    function.app.state.get_metering = lambda: next(turns)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == _END:
            for metering in meterings:
                await metering.aclose()
            await Response(status_code=204)(scope, receive, send)
            return
        await function.app({**scope, "aws.context": _Context(lives_s)}, receive, send)

    return app


def _open_account(client: Any, table: str) -> str:
    accounts, now = DynamoAccounts(client, table), datetime.now(UTC)
    accounts.create_account(ACCOUNT, now)
    accounts.grant(ACCOUNT, "first", GRANTED, at=now, note="")
    api_key = make_key(secrets.choice)
    key = Key(account_id=ACCOUNT, key_id="k", label="", status="active", created_at=now)
    accounts.create_key(key, key_sha256(api_key))
    return api_key
