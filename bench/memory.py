"""Memory: of a chat function with its tokenizer loaded, and over an answer of 100 000 chunks."""

from collections.abc import Sequence

from bench.gateways import Gateway
from bench.machine import read_cpu_s, read_memory_mb
from bench.streaming import ask, running
from bench.stubs.upstream import Plan
from bench.surroundings import make_body

LONG = Plan(chunks=100_000)
_COUNTED = Plan(chunks=300, has_usage=False)  # the tokenizer has to count what no vendor tells
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
    """Return what a long answer costs at its begin and at its end.

    CPU of the second and of the last tenth; memory after the first tenth and at the end.
    """
    marks: list[tuple[int, float, float]] = []

    def watch(bytes_so_far: int) -> None:
        if not marks or bytes_so_far - marks[-1][0] >= _MARK_BYTES:
            marks.append((bytes_so_far, read_cpu_s(pids), read_memory_mb(pids)))

    async with running([gateway]):
        pids = gateway.pids
        arrivals = (await gateway.ask(make_body(plan), watch)).check(plan.chunks)
        total = len(arrivals.raw)
        await gateway.settle_down()
        marks.append((total, read_cpu_s(pids), read_memory_mb(pids)))
        peak = read_memory_mb(pids, is_peak=True)
    tenth = [_mark_at(marks, total * step // 10) for step in range(11)]
    begin = (tenth[2][1] - tenth[1][1]) / (tenth[2][0] - tenth[1][0])
    end = (tenth[9][1] - tenth[8][1]) / (tenth[9][0] - tenth[8][0])
    return {
        "chunks": plan.chunks,
        "memory_after_a_tenth_mb": round(tenth[1][2], 1),
        "memory_at_the_end_mb": round(tenth[10][2], 1),
        "memory_peak_mb": round(peak, 1),
        "cpu_end_by_begin": round(end / begin, 3),
    }


def _mark_at(marks: Sequence[tuple[int, float, float]], position: int) -> tuple[int, float, float]:
    """Return the mark nearest to a position of the body."""
    return min(marks, key=lambda mark: abs(mark[0] - position))
