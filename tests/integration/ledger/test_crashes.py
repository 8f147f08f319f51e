"""Real sandboxes, killed with SIGKILL at every step of the real functions, and the sweep.

docs/ledger.md has the table that these tests show: step, what is left, who heals it.
"""

import asyncio
import json
import os
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tollgate.core.keys import key_sha256, make_key
from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.model import Account, Key, UsageRecord
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.store import DynamoLedger
from tollgate.ledger.sweep import HOLD_AGE_MAX, sweep

from local.catalog import make_local_catalog
from local.demo_upstream import make_demo_app
from local.runtime_api import Kind
from local.sandbox import ROOT, Launch, Pool
from local.template import Function
from tests.contracts.test_ledger import ask as ask_for
from tests.contracts.test_ledger import record, reservation
from tests.fakes.replay_upstream import serve_in_thread

EVENTS = ROOT / "events"
STREAMING = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/python/stream-runtime"}
GRANTED = Micropoints(50_000_000)
PATIENCE_S = 50.0  # of the functions with their upstream; the gate is open long before
KEY = make_key(random.Random(5).choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """An account and its ledger behind sandboxes that can be killed."""

    client: Any
    table: str
    environment: dict[str, str]
    log: Path

    @property
    def accounts(self) -> DynamoAccounts:
        return DynamoAccounts(self.client, self.table)

    def account(self) -> Account:
        account = self.accounts.find_account("a")
        assert account.granted == account.balance + account.held + account.spent == GRANTED
        return account

    def records(self) -> list[UsageRecord]:
        months = {f"{datetime.now(UTC) - timedelta(days=days):%Y-%m}" for days in (0, 1)}
        return [one for month in months for one in self.accounts.list_usage("a", month)]

    def sweep(self) -> tuple[int, int]:
        """Sweep when every Lambda of today is dead; return holds settled and released."""
        at = datetime.now(UTC) + HOLD_AGE_MAX + timedelta(minutes=1)
        ledger = DynamoSweptLedger(self.client, self.table)
        tally = sweep(ledger, now=lambda: at, budget_s=lambda: 60.0)
        return tally.settled, tally.released

    @asynccontextmanager
    async def sandboxes(
        self, count: int, *, kill_at: str = "", of: str = "chat"
    ) -> AsyncIterator[Pool]:
        """Start sandboxes of one function; only the sweep runs on the stock runtime."""
        runtime = {} if of == "sweep" else STREAMING
        function = Function(
            name="Killable",
            handler=f"tests.integration.ledger.killable_{of}.handler",
            timeout_s=240,  # as in the template: the sweep ends a minute before it
            memory_mb=256,
            environment=self.environment | runtime | {"TEST_KILL_AT": kill_at},
        )
        pool = Pool(function, Launch(environment=dict(os.environ), log=self.log), count)
        try:
            yield pool
        finally:
            await pool.stop()


class GatedUpstream:
    """The demo upstream, as fast as it can, that counts its calls; none passes a closed gate."""

    def __init__(self) -> None:
        self.url = ""
        self.calls = 0
        self.gate = threading.Event()
        self._app = make_demo_app(0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        await asyncio.to_thread(self.gate.wait, PATIENCE_S)
        await self._app(scope, receive, send)


@pytest.fixture
def upstream() -> Iterator[GatedUpstream]:
    """Serve it, with its gate open."""
    upstream = GatedUpstream()
    upstream.gate.set()
    app: Any = upstream
    with serve_in_thread(app) as upstream.url:
        yield upstream


@pytest.fixture
def shop(
    dynamodb_url: str, dynamodb_client: Any, table: str, upstream: GatedUpstream, tmp_path: Path
) -> Shop:
    packaged = (ROOT / "layers" / "common" / "tollgate" / "catalog.toml").read_text()
    catalog = tmp_path / "catalog.toml"
    local = make_local_catalog(packaged, f"{upstream.url}/v1", {}, patience_s=PATIENCE_S)
    catalog.write_text(local)
    environment = {
        "TOLLGATE_TABLE": table,
        "TOLLGATE_DYNAMODB_URL": dynamodb_url,
        "TOLLGATE_CATALOG_FILE": str(catalog),
        "AWS_REGION": "us-east-1",
    }
    shop = Shop(
        client=dynamodb_client, table=table, environment=environment, log=tmp_path / "functions.log"
    )
    now = datetime.now(UTC)
    shop.accounts.create_account("a", now)
    shop.accounts.grant("a", "g", GRANTED, at=now, note="")
    key = Key(account_id="a", key_id="k", label="", status="active", created_at=now)
    shop.accounts.create_key(key, key_sha256(KEY))
    return shop


def make_event(model: str, *, is_stream: bool = True, of: str = "chat") -> bytes:
    """Return API Gateway's event of a request that came just now."""
    if of == "images":
        body = {"prompt": "a fox", "size": "1024x1024", "quality": "low"}
        body |= {"partial_images": 1} if is_stream else {}
    else:
        messages = [{"role": "user", "content": "the quick brown fox"}]
        body = {"max_tokens": 20, "messages": messages}
    body |= {"model": model, "stream": is_stream}
    name = "images.generations.json" if of == "images" else "chat.stream.json"
    event: dict[str, Any] = json.loads((EVENTS / name).read_text())
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    event |= {"headers": headers, "body": json.dumps(body)}
    event["requestContext"]["requestTimeEpoch"] = int(time.time() * 1000)
    event["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    return json.dumps(event).encode()


async def ask(pool: Pool, event: bytes, request_id: str = "r-1") -> tuple[Kind, bytes]:
    """Return how the answer ended, and its bytes."""
    parts, body = await pool.invoke(event, request_id), b""
    async with asyncio.timeout(60):
        while (part := await parts.get()).kind is Kind.CHUNK:
            body += part.data
    return part.kind, body


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A step at which the sandbox dies, in a request for `model`, and what that leaves."""

    at: str
    model: str = "demo-story"
    is_stream: bool = True
    leaves_hold: bool = True
    leaves_record: bool = False

    def __str__(self) -> str:
        return self.at


CRASHES = (
    Crash(at="reserve before", leaves_hold=False),
    Crash(at="reserve after"),
    Crash(at="upstream before"),
    Crash(at="upstream after"),
    Crash(at="first chunk"),
    Crash(at="extend before", model="demo-usage-wrong", is_stream=False),
    Crash(at="extend after", model="demo-usage-wrong", is_stream=False),
    Crash(at="journal before"),
    Crash(at="journal after", leaves_record=True),
    Crash(at="done", leaves_record=True),
    Crash(at="settle before", leaves_record=True),
    Crash(at="settle after", leaves_hold=False, leaves_record=True),
    Crash(at="release before", model="demo-error-400"),
    Crash(at="release after", model="demo-error-400", leaves_hold=False),
)
IMAGE_MODELS = {
    "demo-story": "demo-image",
    "demo-usage-wrong": "demo-image-more",
    "demo-error-400": "demo-image-error-400",
}
IMAGE_CRASHES = tuple(replace(crash, model=IMAGE_MODELS[crash.model]) for crash in CRASHES)


@pytest.mark.parametrize("crash", CRASHES, ids=str)
async def test_sandbox_is_killed(shop: Shop, crash: Crash) -> None:
    """The sweep charges what was recorded, gives back what was not, and leaves nothing held."""
    await kill(shop, crash, of="chat")


@pytest.mark.parametrize("crash", IMAGE_CRASHES, ids=str)
async def test_image_sandbox_is_killed(shop: Shop, crash: Crash) -> None:
    """As of a chat: the last image is what `[DONE]` is there."""
    await kill(shop, crash, of="images")


async def kill(shop: Shop, crash: Crash, *, of: str) -> None:
    async with shop.sandboxes(1, kill_at=crash.at, of=of) as pool:
        await ask(pool, make_event(crash.model, is_stream=crash.is_stream, of=of))

        await wait_for(lambda: not any(sandbox.is_alive for sandbox in pool._all))
    left, recorded = shop.account(), shop.records()
    healed = shop.sweep()

    assert (bool(left.holds), bool(recorded)) == (crash.leaves_hold, crash.leaves_record)
    settled = int(crash.leaves_hold and crash.leaves_record)
    assert healed == (settled, int(crash.leaves_hold) - settled)
    assert (shop.account().held, shop.account().open_since) == (0, None)
    assert shop.account().spent == sum(record.quota for record in recorded)
    assert (shop.account().spent > 0) == crash.leaves_record


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepCrash:
    """A step at which the sweep dies; of its two holds only the younger one has a record.

    `holds`: those it leaves; `outcomes`: what the two requests' records say, the older one's first;
    `healed`: holds that the next sweep settles and releases.
    """

    at: str
    holds: tuple[str, ...] = ("old", "young")
    outcomes: tuple[str, ...] = ("lost", "complete")
    healed: tuple[int, int] = (1, 1)
    is_listed: bool = True

    def __str__(self) -> str:
        return self.at


SWEEP_CRASHES = (
    SweepCrash(at="void before", outcomes=("complete",)),
    SweepCrash(at="void after"),
    SweepCrash(at="settle before"),
    SweepCrash(at="settle after", holds=("young",), healed=(1, 0)),
    SweepCrash(at="move before", holds=(), healed=(0, 0)),
    SweepCrash(at="move after", holds=(), healed=(0, 0), is_listed=False),
)


@pytest.mark.parametrize("crash", SWEEP_CRASHES, ids=str)
async def test_sweep_is_killed(shop: Shop, crash: SweepCrash) -> None:
    """The next one goes on where it stopped: each hold is ended once."""
    ledger, began = DynamoLedger(shop.client, shop.table), datetime.now(UTC) - timedelta(hours=1)
    asked = reservation(ask_for(300))
    ledger.reserve(replace(asked, request_id="old", since=began))
    young = replace(asked, request_id="young", since=began + timedelta(minutes=1))
    ledger.journal(record(ledger.reserve(young), 120))
    async with shop.sandboxes(1, kill_at=crash.at, of="sweep") as pool:
        await ask(pool, (EVENTS / "sweep.schedule.json").read_bytes())

        await wait_for(lambda: not any(sandbox.is_alive for sandbox in pool._all))
    left, recorded = shop.account(), shop.records()
    healed = shop.sweep()

    assert tuple(sorted(left.holds)) == crash.holds
    assert tuple(one.outcome for one in sorted(recorded, key=_since)) == crash.outcomes
    assert (left.open_since is not None) == crash.is_listed
    assert healed == crash.healed
    assert (shop.account().held, shop.account().open_since) == (0, None)
    assert shop.account().spent == sum(one.quota for one in shop.records()) == 120


def _since(one: UsageRecord) -> datetime:
    return one.since


async def wait_for(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_true():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.02)


async def wait_until_settled(shop: Shop) -> None:
    await wait_for(lambda: not shop.account().holds)


async def test_two_sandboxes_run_one_request_at_once(shop: Shop, upstream: GatedUpstream) -> None:
    """While one waits for its upstream, the other is refused before it calls anybody."""
    event = make_event("demo-story")
    upstream.gate.clear()
    async with shop.sandboxes(2) as pool:
        both = [asyncio.create_task(ask(pool, event)) for _ in range(2)]
        [refused], [served] = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        upstream.gate.set()
        answer = await served
        await wait_until_settled(shop)

    [one] = shop.records()
    refusal = refused.result()[1].replace(b": ", b":")
    assert b'"statusCode":409' in refusal
    assert b'"code":"request_in_progress"' in refusal
    assert b"[DONE]" in answer[1]
    assert upstream.calls == 1
    assert shop.account().spent == one.quota > 0


async def test_two_sandboxes_run_one_request_in_turn(shop: Shop) -> None:
    """The second answers too, and is not charged: the request has its record."""
    event = make_event("demo-story")
    async with shop.sandboxes(2) as pool:
        first = await ask(pool, event)
        await wait_until_settled(shop)
        [record] = shop.records()
        second = await ask(pool, event)
        await wait_until_settled(shop)

    assert b"[DONE]" in first[1]
    assert b"[DONE]" in second[1]
    assert shop.records() == [record]
    assert shop.account().spent == record.quota > 0


async def test_request_that_its_first_sandbox_holds_for_is_refused(shop: Shop) -> None:
    """The first one died in mid-stream; a second run would be free, or paid by nobody's hold."""
    event = make_event("demo-story")
    async with shop.sandboxes(1, kill_at="first chunk") as pool:
        await ask(pool, event)
    async with shop.sandboxes(1) as pool:
        _, body = await ask(pool, event)

    assert b'"code":"request_in_progress"' in body.replace(b": ", b":")
    assert shop.sweep() == (0, 1)
    assert shop.account().spent == 0
