"""One run of everything that takes a gateway: who is measured, in which order, what is kept."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bench import growth, memory, shares, starts, streaming
from bench.arrivals import WrongAnswerError
from bench.contestants import Surroundings, make_direct, make_naive, make_tollgate
from bench.gateways import Gateway
from bench.machine import describe
from bench.peers import VERSIONS, is_installed, make_peers
from bench.streaming import running
from bench.surroundings import standing
from local.dynamodb import MissingToolError


async def measure_gateways(*, with_peers: bool) -> dict[str, Any]:
    """Return the figures of ours, the naive one and, if asked for, the peers that are installed."""
    results: dict[str, Any] = {
        "taken_on": datetime.now(UTC).date().isoformat(),
        "machine": describe(),
        "versions": {name: text for name, text in VERSIONS.items() if is_installed(name)}
        if with_peers
        else {},
    }
    async with standing() as around:
        await _measure(results, around, with_peers=with_peers)
    return results


async def _measure(results: dict[str, Any], around: Surroundings, *, with_peers: bool) -> None:
    peers = await _keep_those_that_answer(make_peers(around)) if with_peers else []
    own = [make_tollgate(around), make_naive(around)]
    gateways = [*own, *peers]
    direct = make_direct(around)
    results["streams"] = await _timed("streams", streaming.measure, [direct, *gateways])
    results["starts"] = await _timed("starts", starts.measure, gateways)
    results["peaks_mb"] = await _timed("memory", memory.measure_peaks, gateways)
    results["long"] = {
        gateway.name: await _timed("a long answer", memory.measure_long, gateway) for gateway in own
    }
    functions = [gateway for gateway in gateways if gateway.name not in ("portkey", "litellm")]
    results["shares"] = await _timed("CPU shares", shares.measure, [direct, *functions])
    drawn = [gateway for gateway in gateways if gateway.name != "uvloop"]  # beside the adapter's
    results["growth"] = {
        "chunks": await _timed("growth with chunks", growth.measure_chunks, drawn),
        "prompts": await _timed("growth with the prompt", growth.measure_prompts, drawn),
        "sandboxes": await _timed("growth with sandboxes", growth.measure_sandboxes, around),
        "records": await _timed("growth with records", growth.measure_records, around),
    }


async def _keep_those_that_answer(peers: list[Gateway]) -> list[Gateway]:
    """Return the peers that can be measured; say why of the others."""
    kept = []
    for peer in peers:
        try:
            async with running([peer]):
                kept.append(peer)
        except (WrongAnswerError, OSError) as error:  # among the latter: it took too long
            print(f"  {peer.name} is left out: {str(error)[:300]}")
    return kept


async def _timed(what: str, measure: Callable[..., Any], argument: object) -> Any:
    """Return what `measure` finds, and tell how long it took: a run takes minutes."""
    began = time.monotonic()
    try:
        found = await measure(argument)
    except MissingToolError as error:  # DynamoDB Local's, where neither it nor a network is there
        print(f"  {what} is left out: {error}")
        return {}
    print(f"  measured {what} in {time.monotonic() - began:.0f} s", flush=True)
    return found
