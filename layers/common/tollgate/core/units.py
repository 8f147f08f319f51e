"""Money and token counts as distinct integers, and the one way money is written.

    1 point = 1_000_000 micropoints = 1_000_000_000_000 picopoints

Balances and charges are micropoints. Prices are picopoints a token, so that a price with six
decimals of a point per million tokens is still an integer and price x tokens is exact.
"""

from typing import NewType

Micropoints = NewType("Micropoints", int)
Picopoints = NewType("Picopoints", int)
Tokens = NewType("Tokens", int)

MICROPOINTS_PER_POINT = 1_000_000
PICOPOINTS_PER_MICROPOINT = 1_000_000


def round_up(amount: Picopoints) -> Micropoints:
    """Return whole micropoints, rounded up: the only rounding there is."""
    return Micropoints(-(-amount // PICOPOINTS_PER_MICROPOINT))


def format_points(amount: Micropoints) -> str:
    """Return points as the shortest JSON number of at most six decimals: `1.34`, `0.000002`."""
    sign = "-" if amount < 0 else ""
    whole, fraction = divmod(abs(amount), MICROPOINTS_PER_POINT)
    return f"{sign}{whole}.{fraction:06d}".rstrip("0") if fraction else f"{sign}{whole}"


def points_number(amount: Micropoints) -> int | float:
    """Return points as a number, exact to 15 digits; whole where the points are.

    `json_text.write_decimals` writes it as `format_points` does.
    """
    whole, fraction = divmod(amount, MICROPOINTS_PER_POINT)
    return amount / MICROPOINTS_PER_POINT if fraction else whole
