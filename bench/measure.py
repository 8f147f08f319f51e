"""Interleaved rounds and their medians: two things measured side by side on a noisy machine."""

import statistics
import time
from collections.abc import Callable, Mapping

ROUNDS = 7


def interleave(
    cases: Mapping[str, Callable[[], object]],
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Return seconds of each case, one round after the other; CPU time unless `clock` differs."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            began = clock()
            run()
            found[name].append(clock() - began)
    return found


def find_ratios(found: Mapping[str, list[float]], baseline: str) -> dict[str, float]:
    """Return each case's median as a ratio to the baseline's."""
    base = statistics.median(found[baseline])
    return {name: round(statistics.median(seconds) / base, 3) for name, seconds in found.items()}


def print_ratios(title: str, found: Mapping[str, list[float]], baseline: str) -> None:
    """Print each case's median, spread, and ratio to the baseline's median."""
    base = statistics.median(found[baseline])
    print(f"\n{title} (baseline: {baseline})")
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        print(
            f"  {name:38} {middle * 1000:9.2f} ms  [{min(seconds) * 1000:.2f} to"
            f" {max(seconds) * 1000:.2f}]  ratio {middle / base:.2f}"
        )
