"""`tollgate sweep`: what the scheduled sweep does, by hand."""

import time
from datetime import UTC, datetime

import typer
from tollgate.ledger.sweep import HOLD_AGE_MAX, sweep

from admin.session import Points, Session

_BUDGET_S = 600.0


def sweep_holds(context: typer.Context) -> None:
    """End the holds that dead Lambdas left: charge what was recorded, give the rest back.

    Safe at any time, also beside the scheduled one: a hold is old after twenty minutes, when no
    Lambda that made it can still live. Exit code 1 if something was left for the next sweep, or if
    the list of accounts could not be read to its end.
    """
    session: Session = context.obj
    ends_at = time.monotonic() + _BUDGET_S
    tally = sweep(
        session.swept_ledger(),
        now=lambda: datetime.now(UTC),
        budget_s=lambda: ends_at - time.monotonic(),
    )
    returned = Points(tally.returned)
    minutes = int(HOLD_AGE_MAX.total_seconds() // 60)
    session.say(
        f"Holds older than {minutes} minutes: {tally.settled} settled, {tally.released} released, "
        f"{tally.failed} left. {returned} points given back.",
        {
            "accounts": tally.accounts,
            "settled": tally.settled,
            "released": tally.released,
            "failed": tally.failed,
            "returned": returned,
            "is_complete": tally.is_complete,
        },
    )
    if tally.list_failure is not None:
        raise tally.list_failure
    if tally.failed or not tally.is_complete:
        raise typer.Exit(1)
