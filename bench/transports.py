"""What carries httpx's requests, side by side: `python -m bench.transports`.

Each in a process of its own on one core, the vendor on another, one round after the other; then at
the CPU share that Lambda gives 256 MB. The table of docs/decisions/0008 is this one's.
"""

import asyncio
import json
import statistics
import sys
from contextlib import nullcontext

from bench.arrivals import WrongAnswerError
from bench.contestants import Surroundings
from bench.figures import read_rounds
from bench.machine import choose_cores
from bench.programs import LAYER, ROOT, Program
from bench.surroundings import standing
from bench.throttle import choose_way, share_of, throttled
from bench.transport_client import NAMES

ROUNDS = 5
MEMORY_MB = 256


def run(name: str, around: Surroundings, share: float) -> dict[str, float]:
    """Return one process's figures; `share`: of a core."""
    program = Program(
        command=[sys.executable, "-m", "bench.transport_client", name, str(around.upstream_port)],
        environment={"PYTHONPATH": f"{ROOT}:{LAYER}"},
        log=around.folder / "transport.log",
        core=choose_cores().gateway,
    )
    process = program.start()
    with throttled([process.pid], share) if share < 1 else nullcontext():
        if process.wait():
            raise WrongAnswerError(program.log.read_text())
    found: dict[str, float] = json.loads(program.log.read_text().splitlines()[-1])
    return found


def print_table(title: str, around: Surroundings, share: float) -> None:
    """Measure each transport in interleaved rounds; print medians, and ratios to httpx's own."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    for _ in range(read_rounds(ROUNDS)):
        for name in NAMES:
            rounds[name].append(run(name, around, share))
    columns = list(rounds[NAMES[0]][0])
    print(f"\n{title}; {read_rounds(ROUNDS)} rounds, in brackets ÷ {NAMES[0]}")
    print(" ".join([f"{'':22}", *(f"{column:>16}" for column in columns)]))
    middle = {
        name: {column: statistics.median(one[column] for one in found) for column in columns}
        for name, found in rounds.items()
    }
    for name, row in middle.items():
        cells = [f"{row[c]:8.2f} ({row[c] / middle[NAMES[0]][c]:5.2f})" for c in columns]
        print(" ".join([f"{name:22}", *(f"{cell:>16}" for cell in cells)]))


async def main() -> None:
    """Print both tables."""
    async with standing() as around:
        print_table("Transports under httpx, a whole core", around, 1.0)
        title = f"Transports at {MEMORY_MB} MB's share of a core ({choose_way()})"
        print_table(title, around, share_of(MEMORY_MB))


if __name__ == "__main__":
    asyncio.run(main())
