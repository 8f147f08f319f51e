"""What was measured, as numbers that can be kept: a median and the quartiles around it."""

import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The middle of some samples, and between what half of them lie."""

    median: float
    low: float
    high: float
    samples: int

    @classmethod
    def of(cls, samples: Sequence[float], unit: float = 1.0) -> "Figure":
        """Return the figure of samples in units of `unit`."""
        values = sorted(sample / unit for sample in samples)
        low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        return cls(
            median=round(statistics.median(values), 6),
            low=round(low, 6),
            high=round(high, 6),
            samples=len(values),
        )

    def as_json(self) -> dict[str, float]:
        """Return it as JSON has it."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.median:.4g} [{self.low:.4g} to {self.high:.4g}]"


def read_rounds(default: int) -> int:
    """Return how many rounds are asked for by BENCH_ROUNDS, else `default`."""
    return int(os.environ.get("BENCH_ROUNDS") or default)
