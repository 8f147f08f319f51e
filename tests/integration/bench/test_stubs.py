"""The stubs answer as what they stand for does, so that figures taken on them mean something."""

import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tollgate.core.keys import key_sha256
from tollgate.core.units import Micropoints
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Ask, Reservation
from tollgate.ledger.store import DynamoLedger

from bench.arrivals import Arrivals, WrongAnswerError
from bench.contestants import Surroundings, make_direct, make_naive, make_tollgate
from bench.gateways import Gateway
from bench.ledger_scale import usual_record
from bench.machine import read_cpu_s, read_memory_mb
from bench.streaming import new_key, running
from bench.stubs.upstream import PROMPT_TOKENS, Plan
from bench.surroundings import make_body, standing

pytestmark = pytest.mark.xdist_group("bench")


@pytest.fixture
async def around() -> AsyncIterator[Surroundings]:
    """The stubs, running."""
    async with standing() as surroundings:
        yield surroundings


def _chunks(arrivals: Arrivals) -> list[dict[str, Any]]:
    _, mark, events = arrivals.body.partition(b"\0" * 8)
    events = events if mark else arrivals.body
    lines = [line for line in events.splitlines() if line.startswith(b"data: {")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


def _text(chunks: list[dict[str, Any]]) -> str:
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


async def _ask(gateway: Gateway, plan: Plan) -> list[dict[str, Any]]:
    arrivals = (await gateway.ask(make_body(plan))).check(plan.chunks)
    await gateway.settle_down()
    return _chunks(arrivals)


@pytest.mark.parametrize("rate", [0, 2000])
async def test_the_upstream_sends_what_the_prompt_plans(around: Surroundings, rate: int) -> None:
    """At once or paced: role, words, finish, usage; and again on the same connection."""
    direct = make_direct(around)
    for chunks in (3, 20):
        sent = await _ask(direct, Plan(chunks=chunks, rate=rate))
        assert len(sent) == chunks + 3
        assert sent[-1]["usage"] == {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": chunks,
            "total_tokens": PROMPT_TOKENS + chunks,
        }
    direct.stop()


async def test_the_upstream_can_leave_the_usage_out(around: Surroundings) -> None:
    """Then a gateway has to count for itself."""
    direct = make_direct(around)
    sent = await _ask(direct, Plan(chunks=3, has_usage=False))
    assert [chunk["usage"] for chunk in sent] == [None] * 5
    direct.stop()


async def test_the_ledger_takes_the_database_stub_for_its_own(around: Surroundings) -> None:
    """Each verb of a request goes through, with the real client."""
    client = connect(region="us-east-1", endpoint_url=around.dynamodb_url)
    ledger = DynamoLedger(client, around.table)
    key = ledger.find_key(key_sha256(around.key))
    assert key is not None
    assert key.account_id == "bench"
    nothing = Micropoints(0)
    hold = ledger.reserve(
        Reservation(
            account_id="bench",
            key_id=key.key_id,
            request_id=str(uuid.uuid4()),
            since=datetime.now(UTC),
            attempt="attempt",
            ask=Ask(worst=Micropoints(100), floor=nothing, least=nothing, is_limited=False),
        )
    )
    assert hold.number == 1
    assert ledger.journal(usual_record()) == usual_record()
    assert ledger.settle(hold, Micropoints(40)) == hold
    assert ledger.load_catalog(None) is None
    client.close()


async def test_both_gateways_meter_the_same_stream(around: Surroundings) -> None:
    """The real runtime on the Runtime API stub, and the naive one: each word, a quota on each."""
    plan = Plan(chunks=20, rate=2000)
    for gateway in (make_tollgate(around), make_naive(around)):
        async with running([gateway], warm_up=[Plan(chunks=1)]):
            chunks = await _ask(gateway, plan)
            assert _text(chunks) == _text(await _ask(make_direct(around), plan))
            assert all(chunk["quota"] is not None for chunk in chunks)
            assert read_cpu_s(gateway.pids) > 0
            assert read_memory_mb(gateway.pids, is_peak=True) >= read_memory_mb(gateway.pids) > 10


async def test_a_gateway_can_be_asked_with_a_key_that_it_has_not_seen(around: Surroundings) -> None:
    """A well-formed one, which the stub knows as it knows all."""
    gateway = make_tollgate(around)
    async with running([gateway], warm_up=[]):
        known = gateway.authorization
        with new_key(gateway, seed=7):
            assert gateway.authorization != known
            assert await _ask(gateway, Plan(chunks=2))
        assert gateway.authorization == known


async def test_an_error_is_no_answer(around: Surroundings) -> None:
    """A key that is none is refused by the function, and the harness says so."""
    gateway = make_tollgate(around)
    async with running([gateway], warm_up=[]):
        gateway.authorization = "Bearer nonsense"
        with pytest.raises(WrongAnswerError, match="invalid_api_key"):
            await _ask(gateway, Plan(chunks=2))


async def test_a_gateway_can_be_ended_and_started_anew(around: Surroundings) -> None:
    """Cold starts are measured so."""
    gateway = make_tollgate(around)
    for _ in range(2):
        async with running([gateway], warm_up=[Plan(chunks=1)]):
            assert len(gateway.pids) == 1
        assert gateway.pids == []
