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
from tollgate.web.services import prepare_logging, utc_now
from tollgate.web.snapshot import survive_snapshots

# A call under way ends within it, however the database hangs or refuses: three tries of 3 seconds,
# up to 3 between them, and as much as 4.1 before them in which a transaction was in the way.
MARGIN_S = 20.0
_log = logging.getLogger("tollgate.ledger")


@cache
def get_ledger() -> DynamoSweptLedger:
    """Return the process's ledger."""
    settings = Settings.read()
    prepare_logging(settings)
    client = connect(region=settings.region, endpoint_url=settings.dynamodb_url)
    return DynamoSweptLedger(client, settings.table)


survive_snapshots(get_ledger)


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
