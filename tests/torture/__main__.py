"""`make torture`: TORTURE_REQUESTS requests (10 000) from TORTURE_SEED (drawn); prints figures."""

import os
import secrets
import sys

from local import dynamodb
from local.sandbox import ROOT
from tests.torture.run import torture


def main() -> None:
    """Run on a database in memory; exit 1 if anything disagrees."""
    requests = int(os.environ.get("TORTURE_REQUESTS", "10000"))
    seed = int(os.environ.get("TORTURE_SEED") or secrets.randbelow(2**32))
    print(f"TORTURE_SEED={seed} TORTURE_REQUESTS={requests}", flush=True)
    database = dynamodb.start(dynamodb.install(ROOT / ".local"), data=None)
    try:
        report = torture(database.url, seed=seed, requests=requests)
    finally:
        database.stop()
    for line in report.lines():
        print(line)
    sys.exit(1 if report.wrong else 0)


if __name__ == "__main__":
    main()
