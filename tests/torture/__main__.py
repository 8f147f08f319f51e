"""`make torture`: TORTURE_REQUESTS requests (10 000) from TORTURE_SEED (drawn); prints figures."""

from tests.seeded_run import run_seeded
from tests.torture.report import Report
from tests.torture.run import torture


def run(dynamodb_url: str, seed: int, requests: int) -> Report:
    """Run with the usual crew."""
    return torture(dynamodb_url, seed=seed, requests=requests)


if __name__ == "__main__":
    run_seeded("TORTURE", 10_000, run)
