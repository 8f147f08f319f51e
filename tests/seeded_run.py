"""A run of `make torture` that prints figures: its size and seed by environment, its database."""

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from typing import Protocol

from local import dynamodb
from local.sandbox import ROOT


class Report(Protocol):
    """What came of a run. `wrong`: what disagrees."""

    @property
    def wrong(self) -> list[str]:
        """What disagrees."""

    def lines(self) -> Iterator[str]:
        """Yield what is to be read by people."""


def run_seeded(name: str, requests: int, run: Callable[[str, int, int], Report]) -> None:
    """Call `run` with a database in memory, a seed, a number of requests; exit 1 if it disagrees.

    `<name>_SEED` (drawn) and `<name>_REQUESTS` (`requests`) are said before it begins.
    """
    requests = int(os.environ.get(f"{name}_REQUESTS", str(requests)))
    seed = int(os.environ.get(f"{name}_SEED") or secrets.randbelow(2**32))
    print(f"{name}_SEED={seed} {name}_REQUESTS={requests}", flush=True)
    database = dynamodb.start(dynamodb.install(ROOT / ".local"), data=None)
    try:
        report = run(database.url, seed, requests)
    finally:
        database.stop()
    for line in report.lines():
        print(line)
    sys.exit(1 if report.wrong else 0)
