"""The processes beside the sandboxes: a reader that never rests, late post, and the last sweep."""

import heapq
import http.client
import time
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

from tollgate.ledger.connection import connect
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.sweep import sweep

from tests.torture.faults import Parcel


def read_on(url: str, table: str, accounts: list[str], pipe: Connection) -> None:
    """Look at the accounts, one after the other, until told to stop; report what was seen."""
    ledger = DynamoSweptLedger(
        connect(region="us-east-1", endpoint_url=url, read_timeout_s=20.0), table
    )
    reads, wrong, lowest = 0, [], 0
    while not pipe.poll(0.005):
        account = ledger.find_account(accounts[reads % len(accounts)])
        reads += 1
        lowest = min(lowest, account.balance)
        is_exact = account.granted == account.balance + account.held + account.spent
        is_held = account.held == sum(hold.amount for hold in account.holds.values())
        if account.balance < 0 or not is_exact or not is_held:
            wrong.append(f"seen at read {reads}: {account}")
    pipe.send((reads, lowest, wrong))


def sweep_on(url: str, table: str, at: datetime, age_max: timedelta, pipe: Connection) -> None:
    """Sweep on a clean wire until told to stop; report how many holds were ended."""
    ledger = DynamoSweptLedger(
        connect(region="us-east-1", endpoint_url=url, read_timeout_s=20.0), table
    )
    healed = 0
    is_told = False
    while not is_told:
        healed += sweep(ledger, now=lambda: at, budget_s=lambda: 60.0, age_max=age_max).healed
        is_told = pipe.poll(0.2)
    pipe.send(healed)


def deliver(pipe: Connection) -> None:
    """Send parcels when they are due, and at last all that is left; report how many."""
    due: list[tuple[float, int, Parcel]] = []
    count, is_open = 0, True
    while is_open or due:
        wait_s = max(0.0, due[0][0] - time.monotonic()) if due else 1.0
        if is_open and pipe.poll(min(wait_s, 1.0)):
            parcel: Parcel | None = pipe.recv()
            if parcel is None:
                is_open = False
            else:
                count += 1
                heapq.heappush(due, (time.monotonic() + parcel.delay_s, count, parcel))
        while due and (not is_open or due[0][0] <= time.monotonic()):
            post(heapq.heappop(due)[2])
    pipe.send(count)


def post(parcel: Parcel) -> None:
    """Deliver a parcel; what is answered is nobody's business any more."""
    where = urlsplit(parcel.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    try:
        connection.request("POST", where.path or "/", parcel.body, parcel.headers)
        connection.getresponse().read()
    finally:
        connection.close()
