"""Memory: of a chat function with its tokenizer loaded, and over an answer of 100 000 chunks."""

import statistics
from collections.abc import Sequence

from bench.figures import read_rounds
from bench.gateways import Gateway
from bench.machine import read_cpu_s, read_memory_mb
from bench.streaming import ask, running
from bench.stubs.upstream import Plan
from bench.surroundings import make_body

LONG = Plan(chunks=100_000)
_COUNTED = Plan(chunks=300, has_usage=False)  # the tokenizer has to count what no vendor tells
ROUNDS = 5
_MARK_BYTES = 1_000_000


async def measure_peaks(gateways: Sequence[Gateway]) -> dict[str, float]:
    """Return the megabytes that each has had at most, after streams with and without usage."""
    peaks: dict[str, float] = {}
    for gateway in gateways:
        async with running([gateway]):
            for _ in range(5):
                await ask(gateway, _COUNTED)
            peaks[gateway.name] = round(read_memory_mb(gateway.pids, is_peak=True), 1)
    return peaks


async def measure_long(gateway: Gateway, plan: Plan = LONG) -> dict[str, float]:
    """Return what long answers cost at their begin and at their end: medians of some.

    CPU of the second and of the last tenth but one; memory after the first tenth and at the end.
    """
    async with running([gateway]):
        found = [await _measure_one(gateway, plan) for _ in range(read_rounds(ROUNDS))]
    return {name: round(statistics.median(one[name] for one in found), 3) for name in found[0]} | {
        "chunks": plan.chunks
    }


async def _measure_one(gateway: Gateway, plan: Plan) -> dict[str, float]:
    marks: list[tuple[int, float, float]] = []
    pids = gateway.pids

    def watch(bytes_so_far: int) -> None:
        if not marks or bytes_so_far - marks[-1][0] >= _MARK_BYTES:
            marks.append((bytes_so_far, read_cpu_s(pids), read_memory_mb(pids)))

    arrivals = (await gateway.ask(make_body(plan), watch)).check(plan.chunks)
    total = len(arrivals.raw)
    await gateway.settle_down()
    marks.append((total, read_cpu_s(pids), read_memory_mb(pids)))
    tenth = [_mark_at(marks, total * step // 10) for step in range(11)]
    begin = (tenth[2][1] - tenth[1][1]) / (tenth[2][0] - tenth[1][0])
    end = (tenth[9][1] - tenth[8][1]) / (tenth[9][0] - tenth[8][0])
    return {
        "memory_after_a_tenth_mb": tenth[1][2],
        "memory_at_the_end_mb": tenth[10][2],
        "memory_peak_mb": read_memory_mb(pids, is_peak=True),
        "cpu_end_by_begin": end / begin,
    }


def _mark_at(marks: Sequence[tuple[int, float, float]], position: int) -> tuple[int, float, float]:
    """Return the mark nearest to a position of the body."""
    return min(marks, key=lambda mark: abs(mark[0] - position))
