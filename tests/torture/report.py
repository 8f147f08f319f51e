"""The figures of a torture run, and how they are read by people."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from tollgate.ledger.sweep import Tally

ROLES = ("requests", "sweeps", "rulings")


def _by_role() -> defaultdict[str, Counter[str]]:
    return defaultdict(Counter)


@dataclass(slots=True)
class Report:
    """What happened. `endings`, `kills` and `faults` are by role, see `ROLES`.

    `early`: what the clocks said of sweeps that were ahead, each once; `freed`: requests with whole
    answers that one of those took for lost, so that they are not charged.
    """

    seed: int
    requests: int
    endings: defaultdict[str, Counter[str]] = field(default_factory=_by_role)
    kills: defaultdict[str, Counter[str]] = field(default_factory=_by_role)
    faults: defaultdict[str, Counter[str]] = field(default_factory=_by_role)
    finished: dict[int, int] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    late: int = 0
    reads: int = 0
    lowest: int = 0
    beside: Tally = field(default_factory=Tally)
    last: Tally = field(default_factory=Tally)
    wrong: list[str] = field(default_factory=list)
    images: int = 0
    early: set[datetime] = field(default_factory=set)
    freed: int = 0
    charged_unfinished: int = 0
    answered_twice: int = 0
    seconds: float = 0.0

    def lines(self) -> Iterator[str]:
        """Yield what is to be read by people."""
        yield f"seed {self.seed}: {self.requests} requests in {self.seconds:.0f} s"
        for role in ROLES:
            yield from self._role_lines(role)
        yield f"late and copied calls delivered: {self.late}"
        yield f"looks at an account meanwhile: {self.reads}; lowest balance: {self.lowest}"
        yield f"healed by sweeps that lived to tell, on the faulty wire: {_tell(self.beside)}"
        yield f"healed by the last sweep, on a clean one: {_tell(self.last)}"
        yield f"whole answers: {len(self.finished)}, {self.images} of them of images"
        yield f"  requests that were answered by both their runs: {self.answered_twice}"
        yield f"charged, and killed before its end was out: {self.charged_unfinished}"
        yield f"sweeps with a clock a day ahead: {len(self.early)}"
        yield f"  requests with whole answers that they made free: {self.freed}"
        yield f"disagreements: {len(self.wrong)}"
        yield from (f"  {line}" for line in self.wrong[:20])

    def _role_lines(self, role: str) -> Iterator[str]:
        for title, counts in (
            (f"{role} that ended", self.endings[role]),
            (f"{role} killed at", self.kills[role]),
            (f"faults of {role}", self.faults[role]),
        ):
            yield f"{title}: {counts.total()}"
            yield from (f"  {name:28} {count}" for name, count in sorted(counts.items()))


def add(total: Tally, one: Tally) -> None:
    """Add the holds that a sweep has ended."""
    total.settled += one.settled
    total.released += one.released


def _tell(tally: Tally) -> str:
    return f"{tally.settled} settled, {tally.released} released"
