"""Two hundred callers at once on a balance that pays for fifty, through the running gateway."""

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from local.demo_upstream import make_demo_app
from tests.e2e.conftest import link_database, open_account, run_gateway
from tests.e2e.gateway import Gateway, micropoints
from tests.fakes.replay_upstream import serve_in_thread

CALLERS, PAID_FOR = 200, 50
OUTPUT_TOKENS = 16
# A request costs 16 000 micropoints of output and at most 100 of prompt, whoever counts it: what
# fifty of them leave does not pay for another, and none can be lowered below sixteen tokens.
BALANCE = PAID_FOR * (OUTPUT_TOKENS * 1000 + 100)


class Counter:
    """Counts the requests that reach an app."""

    def __init__(self) -> None:
        self.calls = 0
        self._lock = threading.Lock()

    def wrap(self, app: ASGIApp) -> ASGIApp:
        async def count(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                with self._lock:
                    self.calls += 1
            await app(scope, receive, send)

        return count


@pytest.fixture(scope="module")
def counter() -> Counter:
    return Counter()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, counter: Counter) -> Iterator[Gateway]:
    """A gateway whose upstream counts its calls."""
    demo = make_demo_app(0)
    app = Starlette(routes=demo.routes, middleware=[Middleware(counter.wrap)])
    home = link_database(tmp_path_factory.mktemp("race"))
    with serve_in_thread(app) as url:
        catalog = home / "race.toml"
        catalog.write_text(f"""
            [channels.demo]
            base_url = "{url}/v1"
            [models.race]
            context_tokens_max = 8000
            output_tokens_max = 4096
            price = {{ input = 1, output = 1000 }}
            channels = [{{ channel = "demo", model = "demo-story" }}]
        """)
        with run_gateway(home, "--catalog", str(catalog)) as gateway:
            yield gateway


async def call_at_once(gateway: Gateway) -> list[httpx.Response]:
    """Send all requests together, every other one streamed."""
    body = {
        "model": "race",
        "max_tokens": OUTPUT_TOKENS,
        "messages": [{"role": "user", "content": "Tell me a story"}],
    }
    async with httpx.AsyncClient(
        base_url=gateway.base_url,
        headers={"authorization": f"Bearer {gateway.api_key}"},
        timeout=300,
        trust_env=False,
        limits=httpx.Limits(max_connections=CALLERS),
    ) as client:
        posts = [
            client.post("/chat/completions", json=body | {"stream": number % 2 == 0})
            for number in range(CALLERS)
        ]
        return await asyncio.gather(*posts)


def read_quota(answer: httpx.Response) -> int:
    if answer.headers["content-type"].startswith("text/event-stream"):
        lines = [line for line in answer.text.splitlines() if line.startswith("data: {")]
        assert "data: [DONE]" in answer.text
        body: dict[str, Any] = json.loads(lines[-1].removeprefix("data: "))
    else:
        body = answer.json()
    return micropoints(body["quota"])


async def test_balance_for_fifty_serves_fifty_of_two_hundred(
    shop: Gateway, counter: Counter
) -> None:
    """Fifty answers; the others are 429 without an upstream call; what the fifty left is left."""
    gateway = open_account(shop, "racing", BALANCE)

    answers = await call_at_once(gateway)

    account = await asyncio.to_thread(gateway.wait_until_settled)
    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    quotas = [read_quota(answer) for answer in served]
    assert (len(served), len(refused)) == (PAID_FOR, CALLERS - PAID_FOR)
    assert {answer.json()["error"]["code"] for answer in refused} == {"insufficient_quota"}
    assert counter.calls == PAID_FOR
    assert account["balance"] == BALANCE - sum(quotas) >= 0
    assert account["spent"] == sum(quotas)
    assert sorted(quotas) == sorted(record.quota for record in gateway.records().values())
