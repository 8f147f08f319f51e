"""Streams at Lambda's CPU shares: up to which rate an answer arrives as fast as it was sent.

It does where its last chunk comes at most 2 % of the stream's time later than it was sent. Memory
times duration is what a function costs, so the least memory that slows nothing is the cheapest.
"""

from collections.abc import Sequence
from typing import Any

from bench.gateways import Gateway
from bench.streaming import ask, running
from bench.stubs.upstream import Plan
from bench.throttle import PERIOD_US, choose_way, share_of, throttled

MEMORIES_MB = (128, 256, 512, 1024)
RATE = 500  # chunks a second: faster than any model that is sold today
_STREAM_S = 1.5
_LATE = 0.02
RATES = tuple(round(100 * 2 ** (step / 2)) for step in range(15))  # 100 to 12 800


async def stretch(gateway: Gateway, rate: int) -> float:
    """Return how many times as long as it was sent a stream takes to arrive."""
    plan = Plan(chunks=round(rate * _STREAM_S), rate=rate)
    arrivals, _ = await ask(gateway, plan)
    return (arrivals.wall_s - arrivals.first_s) / ((plan.chunks - 1) / rate)


async def find_limit(gateway: Gateway) -> int:
    """Return the highest of `RATES` that arrives unslowed; 0 where none does."""
    low, high = -1, len(RATES) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if await _arrives_unslowed(gateway, RATES[middle]):
            low = middle
        else:
            high = middle - 1
    return RATES[low] if low >= 0 else 0


async def _arrives_unslowed(gateway: Gateway, rate: int) -> bool:
    """Try twice: what else the machine does slows a stream too."""
    for _ in range(2):
        if await stretch(gateway, rate) <= 1 + _LATE:
            return True
    return False


async def measure(gateways: Sequence[Gateway]) -> dict[str, Any]:
    """Return, for each gateway and memory size, its limit and how slow the usual rate gets.

    `direct` has a whole core: what is near its limit is the stubs' and not the gateway's.
    """
    found: dict[str, Any] = {"way": choose_way(), "period_ms": PERIOD_US / 1000, "rate": RATE}
    for gateway in gateways:
        async with running([gateway]):
            found[gateway.name] = await _measure_one(gateway)
    return found


async def _measure_one(gateway: Gateway) -> dict[str, Any]:
    if not gateway.pids:
        return {"limit_chunks_s": await find_limit(gateway)}
    limits: dict[str, Any] = {}
    for memory_mb in MEMORIES_MB:
        with throttled(gateway.pids, share_of(memory_mb)):
            stretched = await stretch(gateway, RATE)
            limit = await find_limit(gateway)
        limits[str(memory_mb)] = {
            "stretch_at_the_rate": round(stretched, 3),
            "limit_chunks_s": limit,
        }
    return limits
