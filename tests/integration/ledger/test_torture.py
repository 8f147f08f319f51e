"""A short run of the torture in each test run; `make torture` is the long one."""

import os
import secrets
import sys

import pytest

from tests.torture.report import ROLES
from tests.torture.run import torture

REQUESTS = 120


@pytest.mark.slow
def test_books_agree_after_faults_and_kills(
    dynamodb_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Kills, lost, late and doubled calls: after the sweep every book agrees.

    The seed is said before it starts, past pytest's capture, so that one that hangs can be run
    again: TORTURE_SEED=… pytest …, or `make torture`.
    """
    seed = int(os.environ.get("TORTURE_SEED") or secrets.randbelow(2**32))
    with capfd.disabled():
        # Not to stdout: a worker of xdist has none.
        sys.stderr.write(f"\nTORTURE_SEED={seed} TORTURE_REQUESTS={REQUESTS}\n")

    report = torture(dynamodb_url, seed=seed, requests=REQUESTS, workers=6)

    assert report.wrong == [], "\n".join(report.lines())
    assert report.endings["requests"]["finished"] > 10
    assert all(report.kills[role] and report.faults[role] for role in ROLES[:2])
    assert report.lowest == 0
