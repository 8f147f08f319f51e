"""A part of `make torture`: CHAOS_REQUESTS requests (5000) from CHAOS_SEED (drawn), in figures."""

import logging
import os
from contextlib import redirect_stdout
from pathlib import Path

from tests.chaos.run import Report, run_chaos
from tests.seeded_run import run_seeded


def run(dynamodb_url: str, seed: int, requests: int) -> Report:
    """Run in silence: the function's metrics go to stdout, a line or more a request."""
    logging.getLogger("tollgate").setLevel(logging.ERROR)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        return run_chaos(dynamodb_url, seed=seed, requests=requests)


if __name__ == "__main__":
    run_seeded("CHAOS", 5_000, run)
