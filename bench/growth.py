"""What a request costs as things grow: chunks, the prompt, sandboxes at once, accounts and records.

The first two on the stubs, each gateway in turn. The others on DynamoDB Local, where conditions
are real: there the wall clock is its own for the most part, so CPU is the sandboxes' and the wall
is only compared with itself.
"""

import asyncio
import statistics
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any

from tollgate.core.units import Micropoints
from tollgate.ledger import items
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect

from bench.contestants import Surroundings, make_tollgate
from bench.gateways import Gateway
from bench.ledger_scale import usual_record
from bench.machine import read_cpu_s
from bench.programs import ROOT
from bench.streaming import SHORT, ask, running
from bench.stubs.upstream import Plan
from bench.surroundings import make_body
from local import dynamodb
from local.ledger import prepare_account

CHUNKS = (1, 10, 100, 1_000, 10_000)
PROMPTS = (1_000, 10_000, 100_000, 1_000_000, 4_000_000)  # characters; Lambda takes 6 MB
SANDBOXES = (1, 2, 4, 8, 16)
RECORDS = (0, 100, 1_000, 10_000)
_TRIES = 5
_REQUESTS_A_SANDBOX = 30
_WARM_ROUNDS = 4
_BALANCE = Micropoints(10**12)  # all that the requests at once may hold

type Curve = dict[str, Any]


async def measure_chunks(gateways: Sequence[Gateway]) -> Curve:
    """Return the CPU milliseconds of a request, by the chunks of its answer."""
    curves: Curve = {}
    async with running(gateways):
        for chunks in CHUNKS:
            for gateway in gateways:
                tries = _TRIES if chunks < CHUNKS[-1] else 1
                spent = [(await ask(gateway, Plan(chunks=chunks)))[1] for _ in range(tries)]
                curve = curves.setdefault(gateway.name, {})
                curve[str(chunks)] = round(statistics.median(spent) * 1000, 3)
    return curves


async def measure_prompts(gateways: Sequence[Gateway]) -> Curve:
    """Return the CPU milliseconds of a request, by the characters of its prompt, which is prose."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    prose = "\n".join(page.read_text().encode("ascii", "ignore").decode() for page in pages)
    text = prose * (PROMPTS[-1] // len(prose) + 1)
    curves: Curve = {}
    async with running(gateways):
        for length in PROMPTS:
            body = make_body(SHORT, text[:length])
            for gateway in gateways:
                spent = [await _spend(gateway, body) for _ in range(_TRIES)]
                curve = curves.setdefault(gateway.name, {})
                curve[str(length)] = round(statistics.median(spent) * 1000, 3)
    return curves


async def _spend(gateway: Gateway, body: bytes) -> float:
    """Return the CPU seconds of one request."""
    before = read_cpu_s(gateway.pids)
    (await gateway.ask(body)).check(SHORT.chunks)
    await gateway.settle_down()
    return read_cpu_s(gateway.pids) - before


@asynccontextmanager
async def on_dynamodb_local(around: Surroundings) -> AsyncIterator[Surroundings]:
    """Give the same surroundings with a real database, an account in it and its key."""
    database = dynamodb.start(dynamodb.install(ROOT / ".local"), data=None)
    file = around.folder / f"key-{uuid.uuid4().hex}"
    try:
        key, _ = prepare_account(
            database.url, around.table, file, account_id="bench", region="us-east-1"
        )
        client = connect(region="us-east-1", endpoint_url=database.url)
        accounts = DynamoAccounts(client, around.table)
        accounts.grant("bench", "more", _BALANCE, at=datetime.now(UTC), note="bench")
        yield replace(around, dynamodb_url=database.url, key=key)
    finally:
        database.stop()


async def measure_sandboxes(around: Surroundings) -> Curve:
    """Return CPU and wall milliseconds of a request, by the sandboxes that serve one account."""
    curve: Curve = {}
    async with on_dynamodb_local(around) as real:
        sandboxes = [make_tollgate(real, f"sandbox-{number}") for number in range(SANDBOXES[-1])]
        async with running(sandboxes, warm_up=(SHORT, SHORT)):
            await _keep_busy(sandboxes)  # the database warms up too
            for count in SANDBOXES:
                curve[str(count)] = await _keep_busy(sandboxes[:count])
    return curve


async def measure_records(around: Surroundings) -> Curve:
    """Return CPU and wall milliseconds of a request, by accounts and records in the table."""
    curve: Curve = {}
    async with on_dynamodb_local(around) as real:
        client = connect(region="us-east-1", endpoint_url=real.dynamodb_url, read_timeout_s=30.0)
        async with running([make_tollgate(real)]) as sandboxes:
            for _ in range(_WARM_ROUNDS):
                await _keep_busy(sandboxes)  # the database warms up too
            for known, wanted in zip((0, *RECORDS), RECORDS, strict=False):
                _fill(client, real.table, known, wanted)
                curve[str(wanted)] = await _keep_busy(sandboxes)
    return curve


def _fill(client: Any, table: str, known: int, wanted: int) -> None:
    """Add accounts, each with its key's item, and records of the account that is asked."""
    for batch in batched(_make_items(known, wanted), 25, strict=False):
        requests = [{"PutRequest": {"Item": item}} for item in batch]
        client.batch_write_item(RequestItems={table: requests})


def _make_items(known: int, wanted: int) -> Iterator[items.Item]:
    now = datetime.now(UTC)
    record = replace(usual_record(), account_id="bench")
    for number in range(known, wanted):
        since = now - timedelta(seconds=number)
        yield items.account_item(f"customer-{number}", now)
        yield items.usage_item(replace(record, request_id=f"request-{number}", since=since))


async def _keep_busy(sandboxes: Sequence[Gateway]) -> dict[str, float]:
    """Return what a request costs while each sandbox serves one after the other."""
    pids = [pid for sandbox in sandboxes for pid in sandbox.pids]
    before, walls = read_cpu_s(pids), []

    async def serve(sandbox: Gateway) -> None:
        for _ in range(_REQUESTS_A_SANDBOX):
            arrivals = (await sandbox.ask(make_body(SHORT))).check(SHORT.chunks)
            walls.append(arrivals.wall_s)

    await asyncio.gather(*(serve(sandbox) for sandbox in sandboxes))
    await asyncio.gather(*(sandbox.settle_down() for sandbox in sandboxes))
    return {
        "cpu_ms": round((read_cpu_s(pids) - before) / len(walls) * 1000, 3),
        "wall_ms": round(statistics.median(walls) * 1000, 3),
    }
