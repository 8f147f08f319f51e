"""A short run of the torture in each test run; `make torture` is the long one."""

import secrets

import pytest

from tests.torture.run import torture


@pytest.mark.slow
def test_books_agree_after_faults_and_kills(dynamodb_url: str) -> None:
    """Kills, lost, late and doubled calls: after the sweep every book agrees."""
    report = torture(dynamodb_url, seed=secrets.randbelow(2**32), requests=120, workers=6)

    assert report.wrong == [], "\n".join(report.lines())
    assert report.endings["finished"] > 10
    assert report.lowest == 0
