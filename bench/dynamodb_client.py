"""CPU of a call to DynamoDB: the lean client against botocore's, on a stub that says yes at once.

Baseline: botocore's GetItem, by the client that is used wherever the lean one is not. Both are on
one kept connection, in one process, round by round; the stub has a process of its own.

    python -m bench.dynamodb_client
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from socket import create_connection
from typing import Any

from tollgate.aws.botocore_clients import make_botocore_client
from tollgate.aws.clients import make_client
from tollgate.core.units import Micropoints
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Hold, lost_record
from tollgate.ledger.store import DynamoLedger

from bench.figures import read_rounds
from bench.measure import interleave, print_ratios
from bench.programs import LAYER, ROOT
from local.processes import free_port, stop

ROUNDS = 15
_CALLS = 100
_BASELINE = "get an item, botocore"
_NOW = datetime(2026, 11, 24, tzinfo=UTC)


@contextmanager
def serving() -> Iterator[str]:
    """Run the stub; yield its address."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.stubs.dynamodb", str(port)],
        env={"PYTHONPATH": f"{ROOT}:{LAYER}"},
        cwd=ROOT,
    )
    try:
        while True:
            try:
                create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


def cases(name: str, client: Any) -> dict[str, Callable[[], object]]:
    """Return what a request asks of the ledger, `_CALLS` times each."""
    ledger = DynamoLedger(client, "bench")
    hold = Hold(account_id="bench", key_id="k", request_id="r", since=_NOW, amount=Micropoints(500))
    record = lost_record(hold, _NOW)
    calls: dict[str, Callable[[], object]] = {
        "get an item": partial(ledger.find_key, "0" * 64),
        "settle": partial(ledger.settle, hold, Micropoints(400)),
        "journal": partial(ledger.journal, record),
    }
    return {f"{what}, {name}": partial(_repeat, call) for what, call in calls.items()}


def _repeat(call: Callable[[], object]) -> None:
    for _ in range(_CALLS):
        call()


def main() -> None:
    """Print what each call costs, as a ratio to botocore's."""
    with serving() as url:
        clients = {
            "botocore": connect(region="us-east-1", endpoint_url=url, make=make_botocore_client),
            "lean": connect(region="us-east-1", endpoint_url=url, make=make_client),
        }
        found: dict[str, Callable[[], object]] = {}
        for name, client in clients.items():
            found |= cases(name, client)
        interleave(found, rounds=1)  # connects, and loads what is loaded late
        seconds = interleave(found, rounds=read_rounds(ROUNDS))
        print_ratios(f"{_CALLS} calls of DynamoDB, CPU", seconds, _BASELINE)
        for client in clients.values():
            client.close()


if __name__ == "__main__":
    main()
