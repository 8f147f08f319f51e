"""SnapStart on the functions themselves: what is open at the snapshot, and what works after it."""

import json
import secrets
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tollgate.core.keys import key_sha256, make_key
from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.model import Key

from local.catalog import make_local_catalog
from local.demo_upstream import make_demo_app
from local.sandbox import ROOT
from tests.fakes.replay_upstream import serve_in_thread
from tests.fakes.runtime_api import FakeRuntimeApi
from tests.integration.runtime.process import HERE
from tests.integration.runtime.sockets import list_peers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, as Lambda has it")
PACKAGED = ROOT / "layers" / "common" / "tollgate" / "catalog.toml"
STREAMED = {"chat.stream": "functions.chat.app", "images.generations": "functions.images.app"}
BUFFERED = {"models.list": "functions.models.app", "billing.requests": "functions.billing.app"}

type Environment = dict[str, str]


@pytest.fixture(scope="module")
def demo_url() -> Iterator[str]:
    """A demo upstream."""
    with serve_in_thread(make_demo_app(1000.0)) as url:
        yield url


@pytest.fixture
def key(dynamodb_client: Any, table: str) -> str:
    """A key of an account with 1000 points."""
    accounts, now = DynamoAccounts(dynamodb_client, table), datetime.now(UTC)
    accounts.create_account("a", now)
    accounts.grant("a", "first", Micropoints(1_000_000_000), at=now, note="test")
    record = Key(account_id="a", key_id="key_a", label="test", status="active", created_at=now)
    key = make_key(secrets.choice)
    accounts.create_key(record, key_sha256(key))
    return key


@pytest.fixture
def environment(dynamodb_url: str, table: str, demo_url: str, tmp_path: Path) -> Environment:
    """A function's environment under SnapStart."""
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(
        make_local_catalog(PACKAGED.read_text(), f"{demo_url}/v1", {}, patience_s=10.0)
    )
    return {
        "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
        "AWS_REGION": "us-east-1",
        "LAMBDA_TASK_ROOT": str(ROOT),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'common'}",
        "TOLLGATE_CATALOG_FILE": str(catalog),
        "TOLLGATE_DYNAMODB_URL": dynamodb_url,
        "TOLLGATE_TABLE": table,
    }


def read_event(name: str, key: str) -> dict[str, Any]:
    text = (ROOT / "events" / f"{name}.json").read_text()
    event: dict[str, Any] = json.loads(text.replace("sk-tg-REPLACE-WITH-A-KEY", key))
    return event


def wait_for_snapshot(api: FakeRuntimeApi, process: Any) -> list[str]:
    """Wait until the runtime is to be frozen; return its connections but that to the API."""
    api.wait_for(lambda: "restore" in api.log, 60)
    assert api._listener is not None
    own = f"127.0.0.1:{api._listener.getsockname()[1]}"
    return [peer for peer in list_peers(process.pid) if peer != own]


def answer_after_restore(api: FakeRuntimeApi, process: Any, event: dict[str, Any]) -> Any:
    """Freeze a function with nothing connected, wake it, and return what it posts for `event`."""
    assert wait_for_snapshot(api, process) == []
    api.may_restore.set()
    return api.answer(event)


@pytest.mark.parametrize("event", STREAMED)
def test_streaming_function_works_after_a_restore(
    api: FakeRuntimeApi,
    start: Callable[..., Any],
    environment: Environment,
    key: str,
    event: str,
) -> None:
    """Nothing is connected at the snapshot, and the first request of the copy is served."""
    api.may_restore.clear()
    process = start(f"{STREAMED[event]}.handler", **environment)

    posted = answer_after_restore(api, process, read_event(event, key))

    assert posted.prelude["statusCode"] == 200
    assert b'"quota"' in b"".join(posted.chunks[1:])
    assert api.log[:2] == ["restore", "next"]


@pytest.mark.parametrize("event", BUFFERED)
def test_buffered_function_works_after_a_restore(
    api: FakeRuntimeApi,
    start: Callable[..., Any],
    environment: Environment,
    key: str,
    event: str,
) -> None:
    """As above, on the stock runtime."""
    api.may_restore.clear()
    process = start(f"{BUFFERED[event]}.handler", AWS_SAM_LOCAL="true", **environment)

    posted = answer_after_restore(api, process, read_event(event, key))

    assert json.loads(posted.raw)["statusCode"] == 200


def test_sweep_works_after_a_restore(
    api: FakeRuntimeApi, start: Callable[..., Any], environment: Environment
) -> None:
    """It goes through the accounts as ever; its time is the template's, of which it keeps some."""
    api.lives_ms = 240_000
    start("functions.billing.sweep.handler", AWS_SAM_LOCAL="true", **environment)

    posted = api.answer(read_event("sweep.schedule", ""))

    assert json.loads(posted.raw)["SweepsUnfinished"] == 0


def test_open_connections_are_closed_before_the_snapshot(
    api: FakeRuntimeApi,
    start: Callable[..., Any],
    environment: Environment,
    key: str,
    demo_url: str,
    tmp_path: Path,
) -> None:
    """The database's and the upstream's, which a copy would take for living ones."""
    api.may_restore.clear()
    peers = tmp_path / "peers"
    environment |= {
        "PYTHONPATH": f"{HERE}:{environment['PYTHONPATH']}",
        "TEST_KEY": make_key(secrets.choice),
        "TEST_PEERS": str(peers),
        "TEST_UPSTREAM": demo_url,
    }
    process = start("connected_function.handler", **environment)

    assert wait_for_snapshot(api, process) == []
    urls = (demo_url, environment["TOLLGATE_DYNAMODB_URL"])
    assert set(peers.read_text().split()) == {urlsplit(url).netloc for url in urls}
    api.may_restore.set()
    assert api.answer(read_event("chat.plain", key)).prelude["statusCode"] == 200
