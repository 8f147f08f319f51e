"""The scheduled sweep: every five minutes it ends the holds that dead Lambdas left.

It logs one line in CloudWatch's embedded metric format, of which the template's alarms are made,
also when the list of accounts breaks off and the run fails. A run that is cut off or fails is not
repeated: the next one begins with what is oldest.
Source: AWS, "Specification: Embedded metric format".
"""

import json
import logging
import sys
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from tollgate.ledger.connection import connect
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.sweep import Tally, sweep
from tollgate.settings import Settings
from tollgate.web.services import quiet_libraries, utc_now

# A call under way ends within it, however the database hangs or refuses: three tries of 3 seconds,
# up to 3 between them, and as much as 4.1 before them in which a transaction was in the way.
MARGIN_S = 20.0
NAMESPACE = "Tollgate"
_log = logging.getLogger("tollgate.ledger")


@cache
def get_ledger() -> DynamoSweptLedger:
    """Return the process's ledger."""
    quiet_libraries()
    settings = Settings.read()
    client = connect(region=settings.region, endpoint_url=settings.dynamodb_url)
    return DynamoSweptLedger(client, settings.table)


def handler(_event: Mapping[str, object], context: Any) -> dict[str, object]:
    """Sweep once; return what was done.

    Raises: LedgerUnavailableError: the list of accounts could not be read to its end. What was
        done is told before, as a sweep that did not complete, and Lambda counts the run as failed.
    """
    ends_at = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - MARGIN_S
    tally = sweep(get_ledger(), now=utc_now, budget_s=lambda: ends_at - time.monotonic())
    figures = measure(tally)
    table = Settings.read().table
    sys.stdout.write(format_metrics(figures, table, at_ms=int(time.time() * 1000)) + "\n")
    if tally.failed:
        _log.error("holds could not be healed", extra={"failed": tally.failed})
    if tally.list_failure is not None:
        raise tally.list_failure
    return figures


def measure(tally: Tally) -> dict[str, object]:
    """Return the metrics of one sweep."""
    return {
        "HoldsHealed": tally.healed,
        "HoldsSettled": tally.settled,
        "HoldsReleased": tally.released,
        "HoldsFailed": tally.failed,
        "SweepsCompleted": int(tally.is_complete),
    }


def format_metrics(figures: Mapping[str, object], table: str, *, at_ms: int) -> str:
    """Return the line from which CloudWatch makes metrics of a table; each is a count."""
    definition = {
        "Namespace": NAMESPACE,
        "Dimensions": [["Table"]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in figures],
    }
    told = {"Timestamp": at_ms, "CloudWatchMetrics": [definition]}
    return json.dumps({"_aws": told, "Table": table, **figures})
