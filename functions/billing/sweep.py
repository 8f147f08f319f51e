"""The scheduled sweep: every five minutes it ends the holds that dead Lambdas left.

It logs one line in CloudWatch's embedded metric format, of which the template's alarms are made,
also when the list of accounts breaks off and the run fails. A run that is cut off or fails is not
repeated: the next one begins with what is oldest.
Source: AWS, "Specification: Embedded metric format".
"""

import logging
import sys
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from tollgate.core.metrics import format_counts
from tollgate.ledger.connection import connect
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.sweep import Tally, sweep
from tollgate.settings import Settings
from tollgate.web.readiness import make_ready
from tollgate.web.services import prepare_logging, utc_now

# What the sweep has begun ends within it, however the database hangs or refuses: a settle of a hold
# that grows meanwhile is three writes of at most 19 seconds each. In 7 of them transactions are in
# the way; then comes a last call, three tries of 3 seconds with up to 3 between them.
MARGIN_S = 60.0
_log = logging.getLogger("tollgate.ledger")


@cache
def get_ledger() -> DynamoSweptLedger:
    """Return the process's ledger."""
    settings = Settings.read()
    prepare_logging(settings)
    client = connect(region=settings.region, endpoint_url=settings.dynamodb_url)
    return DynamoSweptLedger(client, settings.table)


make_ready(Settings.read(), get_ledger)


def handler(_event: Mapping[str, object], context: Any) -> dict[str, int]:
    """Sweep once; return what was done.

    Raises: LedgerUnavailableError: the list of accounts could not be read to its end. What was
        done is told before, and Lambda counts the run as failed.
    """
    ends_at = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - MARGIN_S
    tally = sweep(get_ledger(), now=utc_now, budget_s=lambda: ends_at - time.monotonic())
    figures = measure(tally)
    line = format_counts(figures, table=Settings.read().table, at_ms=int(time.time() * 1000))
    if line is not None:
        sys.stdout.write(line + "\n")
    if tally.failed:
        _log.error("holds could not be healed", extra={"failed": tally.failed})
    if tally.list_failure is not None:
        raise tally.list_failure
    return figures


def measure(tally: Tally) -> dict[str, int]:
    """Return the metrics of one sweep; those that are zero, as all are mostly, are not written.

    A sweep whose list broke off is not unfinished but failed, which Lambda counts.
    """
    return {
        "HoldsHealed": tally.healed,
        "HoldsSettled": tally.settled,
        "HoldsReleased": tally.released,
        "HoldsFailed": tally.failed,
        "SweepsUnfinished": int(not tally.is_complete and tally.list_failure is None),
    }
