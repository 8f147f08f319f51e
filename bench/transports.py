"""What carries httpx's requests, side by side: `python -m bench.transports`.

Each in a process of its own on one core, the vendor on another, one round after the other; then at
the CPU share that Lambda gives 256 MB. The table of docs/decisions/0008 is this one's.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from bench.chunk_server import running
from bench.cpu_share import NoShareError, cpu_share
from bench.transport_client import NAMES

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
MEMORY_MB = 256
_ROOT = Path(__file__).parent.parent


def run(name: str, port: int, *options: str) -> dict[str, float]:
    """Return one process's figures."""
    core = max(os.sched_getaffinity(0))
    process = subprocess.run(
        [sys.executable, "-m", "bench.transport_client", name, str(port), *options],
        cwd=_ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{_ROOT}:{_ROOT / 'layers' / 'common'}"},
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        capture_output=True,
        check=True,
    )
    found: dict[str, float] = json.loads(process.stdout)
    return found


def print_table(title: str, port: int, *options: str) -> None:
    """Measure each transport in interleaved rounds; print medians, and ratios to httpx's own."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    for _ in range(ROUNDS):
        for name in NAMES:
            rounds[name].append(run(name, port, *options))
    columns = list(rounds[NAMES[0]][0])
    print(f"\n{title}; {ROUNDS} rounds, in brackets ÷ {NAMES[0]}")
    print(" ".join([f"{'':22}", *(f"{column:>16}" for column in columns)]))
    middle = {
        name: {column: statistics.median(one[column] for one in found) for column in columns}
        for name, found in rounds.items()
    }
    for name, row in middle.items():
        cells = [f"{row[c]:8.2f} ({row[c] / middle[NAMES[0]][c]:5.2f})" for c in columns]
        print(" ".join([f"{name:22}", *(f"{cell:>16}" for cell in cells)]))


def main() -> None:
    """Print both tables."""
    with running() as port:
        print_table("Transports under httpx, a whole core", port)
        try:
            with cpu_share(MEMORY_MB) as group:
                print_table(f"Transports at {MEMORY_MB} MB's share of a core", port, str(group))
        except NoShareError:
            print("  no share of a core can be had here: needs root and control groups")


if __name__ == "__main__":
    main()
