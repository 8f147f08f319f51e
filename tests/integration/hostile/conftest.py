"""The chat and images functions between a hostile caller, a hostile vendor, and a real table.

Requests come as API Gateway's events, through Mangum's own reading of them; the vendor is a socket.
"""

import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tollgate.core.json_text import DEPTH_MAX
from tollgate.core.keys import key_sha256, make_key
from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.model import Key
from tollgate.metering.chat import Metering
from tollgate.settings import Settings
from tollgate.upstream.client import Upstream, new_http_client
from tollgate.upstream.keys import EnvKeys
from tollgate.upstream.search.client import WebSearch
from tollgate.web.services import make_services

from local.sandbox import ROOT
from tests.fakes.scripted_server import (
    Script,
    ScriptedServer,
    serving,
)
from tests.functions import load_function

DEEP = b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1)
OPERATORS_KEY = "Zq81Lw04-Tn77Rb29-Xc53Md60"  # of no form that is known from afar
PROMPT = "xylophone-zeppelin quagmire"
EVENT = json.loads((ROOT / "events" / "chat.plain.json").read_text())
PATHS = {
    "chat": "/v1/chat/completions",
    "generations": "/v1/images/generations",
    "edits": "/v1/images/edits",
}
CATALOG = """
[channels.vendor]
base_url = "{url}"
key = "VENDOR_KEY"
[search.finder]
kind = "searxng"
base_url = "{url}"
key = "VENDOR_KEY"
price = 0.01
[models.m]
context_tokens_max = 4000
output_tokens_max = 100
price = {{ input = 1, output = 4 }}
channels = [{{ channel = "vendor", model = "deployment-7" }}]
[models.i]
kind = "image"
image_output.sizes."*" = 10
price = {{ input = 1, output = 3 }}
channels = [{{ channel = "vendor", model = "deployment-7" }}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the caller got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


@dataclass(slots=True, kw_only=True)
class Site:
    """The functions, the vendor behind them, and a caller's key."""

    apps: Mapping[str, Any]
    vendor: ScriptedServer
    key: str
    accounts: DynamoAccounts
    account: str

    async def ask(
        self,
        body: Mapping[str, object] | bytes,
        *,
        task: str = "chat",
        headers: Sequence[tuple[str, str]] = (),
        key: str | None = None,
    ) -> Answer:
        """Send one request; a header that is there twice comes as API Gateway sends it."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent: dict[str, list[str]] = {}
        for name, value in [("authorization", f"Bearer {key or self.key}"), *headers]:
            sent.setdefault(name, []).append(value)
        event = EVENT | {
            "path": PATHS[task],
            "headers": {name: values[-1] for name, values in sent.items()},
            "multiValueHeaders": sent,
            "body": raw.decode("latin-1"),
        }
        return await call(self.apps["chat" if task == "chat" else "images"], event, raw)

    def spent(self) -> int:
        """Return what the account has paid; nothing is held."""
        account = self.accounts.find_account(self.account)
        assert account is not None
        assert account.held == 0
        assert account.granted == account.balance + account.spent
        return account.spent


async def call(function: Any, event: Mapping[str, Any], body: bytes) -> Answer:
    """Return the app's answer to an event that Mangum has read."""
    context = SimpleNamespace(
        aws_request_id=secrets.token_hex(8), get_remaining_time_in_millis=lambda: 60_000
    )
    request = function.handler.infer(event, context)
    waiting, messages = [{"type": "http.request", "body": body, "more_body": False}], []

    async def receive() -> Any:
        return waiting.pop()

    async def send(message: Any) -> None:
        messages.append(message)

    await function.app(dict(request.scope), receive, send)
    return Answer(
        status=messages[0]["status"],
        headers={name.decode(): value.decode() for name, value in messages[0]["headers"]},
        body=b"".join(message.get("body", b"") for message in messages[1:]),
    )


type OpenSite = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def open_site(dynamodb_url: str, dynamodb_client: Any, table: str, tmp_path: Path) -> OpenSite:
    """Return what opens a site whose vendor plays some scripts."""

    @asynccontextmanager
    async def open_site(*scripts: Script) -> AsyncIterator[Site]:
        async with serving(*scripts) as vendor:
            catalog = tmp_path / "catalog.toml"
            catalog.write_text(CATALOG.format(url=vendor.base_url))
            environment = {"TOLLGATE_TABLE": table, "TOLLGATE_DYNAMODB_URL": dynamodb_url}
            settings = Settings.read(environment | {"TOLLGATE_CATALOG_FILE": str(catalog)})
            services, http = make_services(settings), new_http_client()
            keys = EnvKeys({"VENDOR_KEY": OPERATORS_KEY})
            metering = Metering(
                ledger=services.ledger,
                upstream=Upstream(http, services.catalog.current, keys),
                searcher=WebSearch(http, keys),
            )
            apps = {name: load_function(name) for name in ("chat", "images")}
            for function in apps.values():
                function.app.state.get_services = lambda: services
                function.app.state.get_metering = lambda: metering
            accounts = DynamoAccounts(dynamodb_client, table)
            try:
                yield Site(
                    apps=apps,
                    vendor=vendor,
                    key=open_account(accounts, "a"),
                    accounts=accounts,
                    account="a",
                )
            finally:
                for function in apps.values():
                    function.app.state.get_services = function.get_services
                    function.app.state.get_metering = function.get_metering
                await http.aclose()
                services.client.close()

    return open_site


def open_account(accounts: DynamoAccounts, name: str) -> str:
    """Open an account with a balance; return its key."""
    now, key = datetime.now(UTC), make_key(secrets.choice)
    accounts.create_account(name, now)
    accounts.grant(name, "g", Micropoints(10**9), at=now, note="")
    record = Key(account_id=name, key_id=f"k-{name}", label="", status="active", created_at=now)
    accounts.create_key(record, key_sha256(key))
    return key


def chat(text: object = PROMPT, **fields: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
