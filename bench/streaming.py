"""Streams through each gateway: time to the first chunk, CPU a chunk, the wall of a burst.

Rounds are interleaved: each gateway in turn, so that what else the machine does hits all. CPU is
that of all the gateway's threads, from the request until it is done with it, its books included,
divided by the chunks: so a short answer's fixed costs are in it, as they are on the bill. `further`
is what each chunk more costs.
"""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any

from tollgate.core.keys import make_key

from bench.arrivals import Arrivals
from bench.figures import Figure, read_rounds
from bench.gateways import Gateway, LambdaGateway
from bench.machine import read_cpu_s
from bench.stubs.upstream import Plan
from bench.surroundings import make_body

ROUNDS = 9
FIRST = Plan(chunks=5, rate=1000)
BURST = Plan(chunks=1000)
PACED = Plan(chunks=300, rate=1000)
SHORT = Plan(chunks=1)
_FIRSTS_A_ROUND = 6
_BURSTS_A_ROUND = 2
_WARM_UP = (SHORT, FIRST, BURST, SHORT)

type Samples = dict[str, list[float]]


@asynccontextmanager
async def running(
    gateways: Sequence[Gateway], warm_up: Sequence[Plan] = _WARM_UP
) -> AsyncIterator[Sequence[Gateway]]:
    """Start the gateways, ask each some requests, and end all."""
    try:
        for gateway in gateways:
            await gateway.start()
            for plan in warm_up:
                await ask(gateway, plan)
        yield gateways
    finally:
        for gateway in gateways:
            gateway.stop()


async def ask(gateway: Gateway, plan: Plan) -> tuple[Arrivals, float]:
    """Return the answer to one request, and the CPU seconds that it took."""
    before = read_cpu_s(gateway.pids)
    arrivals = await gateway.ask(make_body(plan))
    await gateway.settle_down()
    return arrivals.check(plan.chunks), read_cpu_s(gateway.pids) - before


@contextmanager
def new_key(gateway: LambdaGateway, seed: int) -> Iterator[None]:
    """Let the gateway be asked with a key that it has not seen."""
    known = gateway.authorization
    gateway.authorization = f"Bearer {make_key(random.Random(seed).choice)}"
    try:
        yield
    finally:
        gateway.authorization = known


async def measure(gateways: Sequence[Gateway], rounds: int = 0) -> dict[str, Any]:
    """Return each gateway's figures. Times in milliseconds, CPU in microseconds a chunk."""
    found: dict[str, Samples] = {gateway.name: defaultdict(list) for gateway in gateways}
    seeds = count(1000)
    async with running(gateways):
        for _ in range(rounds or read_rounds(ROUNDS)):
            for gateway in gateways:
                await _measure_one(gateway, found[gateway.name], seeds)
    return {name: _describe(samples) for name, samples in found.items()}


async def _measure_one(gateway: Gateway, samples: Samples, seeds: Iterator[int]) -> None:
    for _ in range(_FIRSTS_A_ROUND):
        arrivals, _ = await ask(gateway, FIRST)
        samples["first"].append(arrivals.first_s)
        if isinstance(gateway, LambdaGateway):
            with new_key(gateway, next(seeds)):
                arrivals, _ = await ask(gateway, FIRST)
            samples["first_of_a_new_key"].append(arrivals.first_s)
    for _ in range(_BURSTS_A_ROUND):
        arrivals, cpu_s = await ask(gateway, BURST)
        _, short_s = await ask(gateway, SHORT)
        samples["burst_wall"].append(arrivals.wall_s)
        samples["burst_cpu"].append(cpu_s / BURST.chunks)
        samples["burst_cpu_further"].append((cpu_s - short_s) / (BURST.chunks - SHORT.chunks))
        samples["request_cpu"].append(short_s)
    _, cpu_s = await ask(gateway, PACED)
    samples["paced_cpu"].append(cpu_s / PACED.chunks)


_UNITS = {
    "first": ("first_ms", 1e-3),
    "first_of_a_new_key": ("first_of_a_new_key_ms", 1e-3),
    "burst_wall": ("burst_wall_ms", 1e-3),
    "burst_cpu": ("burst_cpu_us", 1e-6),
    "burst_cpu_further": ("burst_cpu_further_us", 1e-6),
    "request_cpu": ("request_cpu_ms", 1e-3),
    "paced_cpu": ("paced_cpu_us", 1e-6),
}


def _describe(samples: Samples) -> dict[str, Any]:
    return {
        name: Figure.of(samples[raw], unit).as_json()
        for raw, (name, unit) in _UNITS.items()
        if samples.get(raw)
    }
