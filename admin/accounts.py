"""`tollgate account …`, `tollgate grant`, `tollgate usage`."""

import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated

import typer
from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DaySum, DynamoAccounts
from tollgate.ledger.model import Account, UsageRecord

from admin.points import parse_account_id, parse_date, parse_points
from admin.session import Points, Row, Session

account_app = typer.Typer(help="Create, show and suspend accounts.", no_args_is_help=True)


@account_app.command("create")
def create_account(
    context: typer.Context,
    account: Annotated[str, typer.Argument(parser=parse_account_id, metavar="ACCOUNT")],
    grant_points: Annotated[
        int | None,
        typer.Option("--grant", parser=parse_points, metavar="POINTS", help="First top-up."),
    ] = None,
) -> None:
    """Create an account, with a first top-up if one is given."""
    session: Session = context.obj
    accounts, now = session.accounts(), datetime.now(UTC)
    accounts.create_account(account, now)
    if grant_points is not None:
        accounts.grant(account, "first", Micropoints(grant_points), at=now, note="first grant")
    created = accounts.find_account(account)
    session.say(f"Created account {account}.", _describe(created))


@account_app.command("show")
def show_account(
    context: typer.Context,
    account: Annotated[str, typer.Argument(parser=parse_account_id, metavar="ACCOUNT")],
) -> None:
    """Show an account's balance, what is held and what was spent, in points."""
    session: Session = context.obj
    found = session.accounts().find_account(account)
    session.show([_describe(found)], title="account", is_single=True)


@account_app.command("list")
def list_accounts(context: typer.Context) -> None:
    """List all accounts."""
    session: Session = context.obj
    session.show(
        [_describe(found) for found in session.accounts().list_accounts()], title="accounts"
    )


@account_app.command("suspend")
def suspend_account(
    context: typer.Context,
    account: Annotated[str, typer.Argument(parser=parse_account_id, metavar="ACCOUNT")],
) -> None:
    """Refuse the account's requests from now on."""
    session: Session = context.obj
    session.accounts().set_account_status(account, "suspended")
    session.say(f"Suspended account {account}.", {"account": account, "status": "suspended"})


@account_app.command("resume")
def resume_account(
    context: typer.Context,
    account: Annotated[str, typer.Argument(parser=parse_account_id, metavar="ACCOUNT")],
) -> None:
    """Serve a suspended account again."""
    session: Session = context.obj
    session.accounts().set_account_status(account, "active")
    session.say(f"Resumed account {account}.", {"account": account, "status": "active"})


def grant(
    context: typer.Context,
    account: Annotated[str, typer.Argument(parser=parse_account_id, metavar="ACCOUNT")],
    points: Annotated[int, typer.Argument(parser=parse_points, metavar="POINTS")],
    grant_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            help="Names the top-up: the same id is granted once, ever. Customers see it in"
            " credit_grants.",
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="Kept with the top-up.")] = "",
) -> None:
    """Top an account up."""
    session: Session = context.obj
    name = grant_id or f"grant_{secrets.token_hex(6)}"
    accounts = session.accounts()
    is_new = accounts.grant(account, name, Micropoints(points), at=datetime.now(UTC), note=note)
    balance = Points(accounts.find_account(account).balance)
    words = "Granted" if is_new else "Was already granted:"
    session.say(
        f"{words} {Points(Micropoints(points))} points to {account} ({name}). Balance: {balance}.",
        {"account": account, "grant_id": name, "is_new": is_new, "balance": balance},
    )


def usage(
    context: typer.Context,
    account: Annotated[str, typer.Argument(parser=parse_account_id, metavar="ACCOUNT")],
    first: Annotated[
        datetime | None,
        typer.Option("--from", parser=parse_date, metavar="DATE", help="First UTC day."),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option("--to", parser=parse_date, metavar="DATE", help="Last UTC day."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many records.")] = 50,
    by_day: Annotated[bool, typer.Option("--days", help="Sums by day and model.")] = False,  # noqa: FBT002
    lost: Annotated[bool, typer.Option(help="Also requests whose Lambda died: free.")] = False,  # noqa: FBT002
) -> None:
    """List what an account used, newest first; by default the last 30 days.

    The total is of all requests of these days, also of those that --limit leaves out.
    """
    session: Session = context.obj
    to = last or _midnight(datetime.now(UTC))
    since = first or to - timedelta(days=30)
    if since > to:
        raise typer.BadParameter("--from is after --to")
    accounts = session.accounts()
    days = list(accounts.list_days(account, f"{since:%Y-%m-%d}", f"{to:%Y-%m-%d}"))
    if by_day:
        rows = [_describe_day(found) for found in days]
    else:
        records = _records(accounts, account, since, to)
        wanted = (found for found in records if lost or found.outcome != "lost")
        rows = [_describe_record(found) for found in islice(wanted, limit)]
    total = _add_up(days)
    note = "" if by_day else _describe_cut(len(rows), sum(found.requests for found in days))
    session.show_with_total(rows, total, title="usage", note=note)


def _describe_cut(shown: int, all_of_them: int) -> str:
    """Return what is to be said below a list that does not add up to its total."""
    if shown >= all_of_them:
        return ""
    return f"{shown} of {all_of_them} requests shown; the total is of all {all_of_them}."


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _describe_day(found: DaySum) -> Row:
    return {"day": found.day, "model": found.model, **_add_up([found])}


def _add_up(days: Sequence[DaySum]) -> Row:
    """Return the sums of some days, as the billing endpoints have them."""
    return {
        "requests": sum(found.requests for found in days),
        "prompt": sum(found.tokens.get("prompt", 0) for found in days),
        "completion": sum(found.tokens.get("completion", 0) for found in days),
        "quota": Points(Micropoints(sum(found.quota for found in days))),
    }


def _records(
    accounts: DynamoAccounts, account: str, first: datetime, last: datetime
) -> Iterator[UsageRecord]:
    """Yield the records from `first` to the end of the day of `last`, newest first."""
    end = last + timedelta(days=1)
    month = last.replace(day=1)
    while f"{month:%Y-%m}" >= f"{first:%Y-%m}":
        for record in accounts.list_usage(account, f"{month:%Y-%m}"):
            if first <= record.since < end:
                yield record
        month = (month - timedelta(days=1)).replace(day=1)


def _describe(account: Account) -> Row:
    return {
        "account": account.account_id,
        "status": account.status,
        "balance": Points(account.balance),
        "held": Points(account.held),
        "spent": Points(account.spent),
        "granted": Points(account.granted),
        "created": f"{account.created_at:%Y-%m-%d %H:%M}",
    }


def _describe_record(record: UsageRecord) -> Row:
    return {
        "time": f"{record.since:%Y-%m-%d %H:%M:%S}",
        "model": record.model,
        "prompt": record.tokens.get("prompt", 0),
        "completion": record.tokens.get("completion", 0),
        "quota": Points(record.quota),
        "outcome": record.outcome,
        "channel": record.channel,
        "key_id": record.key_id,
        "request_id": record.request_id,
    }
