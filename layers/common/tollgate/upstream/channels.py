"""Which channel is asked first, and how long one asks to wait. No I/O; chance is handed in."""

import math
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime

from tollgate.core.catalog import Route


def order_routes(
    routes: Sequence[Route], *, is_cooling: Callable[[Route], bool], random: Callable[[], float]
) -> list[Route]:
    """Return `routes` as they are to be tried.

    Those that rest come last. Then the lower priority first; within one priority each route is
    first with a probability of its weight's share, and a weight of 0 comes after all others.

    `random` returns 0 <= x < 1. Source of the weighted draw: Efraimidis and Spirakis, "Weighted
    random sampling with a reservoir" (2006).
    """

    def rank(route: Route) -> tuple[bool, int, float]:
        draw = random() ** (1 / route.weight) if route.weight > 0 else -1.0
        return is_cooling(route), route.priority, -draw

    return sorted(routes, key=rank)


def read_retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Return the seconds that a rate-limited answer asks to wait, or None if it does not say.

    `headers`: lower-case names; `now_s`: unix seconds. Reads `retry-after-ms` (OpenAI, Azure), then
    `retry-after` in seconds or as an HTTP date (RFC 9110, section 10.2.3).
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    return seconds if seconds is not None or text is None else _seconds_until(text, now_s)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _seconds_until(date: str, now_s: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None
