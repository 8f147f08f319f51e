"""`tollgate key …`: a key is shown once, when it is made; only its SHA-256 is kept."""

import secrets
from datetime import UTC, datetime
from typing import Annotated

import typer
from tollgate.core.keys import key_sha256, make_key
from tollgate.core.units import Micropoints
from tollgate.ledger.model import Key

from admin.points import parse_account_id, parse_date, parse_points
from admin.session import Points, Row, Session

key_app = typer.Typer(help="Create, list, limit and disable API keys.", no_args_is_help=True)


@key_app.command("create")
def create_key(
    context: typer.Context,
    account: Annotated[str, typer.Argument(parser=parse_account_id, metavar="ACCOUNT")],
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
    models: Annotated[
        list[str] | None, typer.Option("--model", help="Only this base model; repeatable.")
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(parser=parse_points, metavar="POINTS", help="All that it may ever spend."),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(parser=parse_date, metavar="DATE", help="First UTC day without it."),
    ] = None,
) -> None:
    """Create a key and show it, this once.

    Every key of an account sees the figures and the requests of the whole account: give each
    customer an account of their own.
    """
    session: Session = context.obj
    secret = make_key(secrets.choice)
    key = Key(
        account_id=account,
        key_id=f"key_{secrets.token_hex(6)}",
        label=label,
        status="active",
        created_at=datetime.now(UTC),
        models=frozenset(models) if models else None,
        budget=None if budget is None else Micropoints(budget),
        expires_at=expires,
    )
    session.accounts().create_key(key, key_sha256(secret))
    session.say(
        f"Created key {key.key_id} for {account}. It is shown only now:\n\n{secret}\n",
        {**_describe(key), "key": secret},
    )


@key_app.command("list")
def list_keys(
    context: typer.Context,
    account: Annotated[str, typer.Argument(parser=parse_account_id, metavar="ACCOUNT")],
) -> None:
    """List an account's keys; the keys themselves are not kept."""
    session: Session = context.obj
    session.show([_describe(key) for key in session.accounts().list_keys(account)], title="keys")


@key_app.command("disable")
def disable_key(
    context: typer.Context,
    account: Annotated[str, typer.Argument(parser=parse_account_id, metavar="ACCOUNT")],
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID")],
) -> None:
    """Refuse a key; every function knows within half a minute."""
    session: Session = context.obj
    session.accounts().set_key_status(account, key_id, "disabled")
    session.say(f"Disabled {key_id}.", {"key_id": key_id, "status": "disabled"})


@key_app.command("enable")
def enable_key(
    context: typer.Context,
    account: Annotated[str, typer.Argument(parser=parse_account_id, metavar="ACCOUNT")],
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID")],
) -> None:
    """Accept a disabled key again."""
    session: Session = context.obj
    session.accounts().set_key_status(account, key_id, "active")
    session.say(f"Enabled {key_id}.", {"key_id": key_id, "status": "active"})


@key_app.command("budget")
def set_budget(
    context: typer.Context,
    account: Annotated[str, typer.Argument(parser=parse_account_id, metavar="ACCOUNT")],
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID")],
    budget: Annotated[
        int | None,
        typer.Argument(parser=parse_points, metavar="POINTS", help="Without it: no limit."),
    ] = None,
) -> None:
    """Limit all that a key may ever spend; every function knows within half a minute."""
    session: Session = context.obj
    limit = None if budget is None else Micropoints(budget)
    session.accounts().set_key_budget(account, key_id, limit)
    amount = None if limit is None else Points(limit)
    words = "no budget" if amount is None else f"a budget of {amount} points"
    session.say(f"{key_id} has {words}.", {"key_id": key_id, "budget": amount})


def _describe(key: Key) -> Row:
    return {
        "key_id": key.key_id,
        "label": key.label,
        "status": key.status,
        "models": ", ".join(sorted(key.models)) if key.models else "all",
        "budget": None if key.budget is None else Points(key.budget),
        "expires": None if key.expires_at is None else f"{key.expires_at:%Y-%m-%d}",
        "created": f"{key.created_at:%Y-%m-%d %H:%M}",
    }
