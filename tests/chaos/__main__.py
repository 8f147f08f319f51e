"""A part of `make torture`: CHAOS_REQUESTS requests (5000) from CHAOS_SEED (drawn), in figures."""

import logging
import os
import secrets
import sys
from contextlib import redirect_stdout
from pathlib import Path

from local import dynamodb
from local.sandbox import ROOT
from tests.chaos.run import run_chaos


def main() -> None:
    """Run on a database in memory; exit 1 if anything disagrees."""
    requests = int(os.environ.get("CHAOS_REQUESTS", "5000"))
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(2**32))
    print(f"CHAOS_SEED={seed} CHAOS_REQUESTS={requests}", flush=True)
    database = dynamodb.start(dynamodb.install(ROOT / ".local"), data=None)
    logging.getLogger("tollgate").setLevel(logging.ERROR)
    try:
        # The function's metrics go to stdout, a line or more a request.
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            report = run_chaos(database.url, seed=seed, requests=requests)
    finally:
        database.stop()
    for line in report.lines():
        print(line)
    sys.exit(1 if report.wrong else 0)


if __name__ == "__main__":
    main()
