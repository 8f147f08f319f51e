"""A short run of the chaos in each test run; `make torture` is the long one."""

import secrets
import sys

import pytest
from tollgate.web.requests import MARGIN_S

from tests.chaos.run import run_chaos


@pytest.mark.slow
def test_every_call_ends_and_the_money_adds_up(dynamodb_url: str) -> None:
    """Three of ten answers fail: what one channel could serve is served, and charged once."""
    seed = secrets.randbelow(2**32)
    sys.stdout.write(f"CHAOS_SEED={seed} CHAOS_REQUESTS=150\n")  # also where it hangs
    report = run_chaos(dynamodb_url, seed=seed, requests=150)

    assert report.wrong == [], "\n".join(report.lines())
    assert report.endings["answer"] > 75
    assert report.rescued > 0
    assert report.dropped > 0


@pytest.mark.slow
def test_channels_that_hang_with_the_default_time_outs(dynamodb_url: str) -> None:
    """The same with as little time as one channel's first byte may take: each has its share.

    Of whole answers, only once a channel has timed out.
    """
    seed = secrets.randbelow(2**32)
    sys.stdout.write(f"CHAOS_SEED={seed}, default time-outs\n")
    report = run_chaos(
        dynamodb_url,
        seed=seed,
        requests=80,
        timeouts="{}",
        lives_s=MARGIN_S + 12.0,
        early=("hang",),
    )

    assert report.wrong == [], "\n".join(report.lines())
    assert report.rescued > 0
