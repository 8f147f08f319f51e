"""Interleaved rounds and their medians: two things measured side by side on a noisy machine."""

import statistics
import time
from collections.abc import Callable, Mapping

ROUNDS = 7


def interleave(
    cases: Mapping[str, Callable[[], object]], rounds: int = ROUNDS
) -> dict[str, list[float]]:
    """Return CPU seconds of each case, one round after the other."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            began = time.process_time()
            run()
            found[name].append(time.process_time() - began)
    return found


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
