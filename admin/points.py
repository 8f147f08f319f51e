"""Points and dates as people type them. Decimal text only: a float never touches money."""

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import typer
from tollgate.core.units import MICROPOINTS_PER_POINT, Micropoints

_POINTS_MAX = 10**12
ACCOUNT_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def parse_points(text: str) -> Micropoints:
    """Return an amount above 0 with at most six decimals.

    Raises: typer.BadParameter.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise typer.BadParameter(f"{text!r} is not an amount of points") from error
    scaled = amount * MICROPOINTS_PER_POINT if amount.is_finite() else Decimal(0)
    if not 0 < scaled <= _POINTS_MAX * MICROPOINTS_PER_POINT or scaled != int(scaled):
        raise typer.BadParameter("points are above 0, with at most 6 decimals")
    return Micropoints(int(scaled))


def parse_account_id(text: str) -> str:
    """Return an account id: lower-case letters, digits and hyphens, at most 64.

    Raises: typer.BadParameter.
    """
    if not ACCOUNT_ID.fullmatch(text):
        raise typer.BadParameter("an account is named by a-z, 0-9 and -, at most 64 characters")
    return text


def parse_date(text: str) -> datetime:
    """Return midnight UTC of a date `yyyy-mm-dd`.

    Raises: typer.BadParameter.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a date like 2026-12-31") from error
