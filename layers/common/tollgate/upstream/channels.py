"""Which channel is asked first, and which one rests. No I/O; time and chance are handed in."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from tollgate.core.catalog import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class CooldownRules:
    """Seconds that a channel rests: after a fault, after a 429 that names no time, at most."""

    fault_s: float = 30.0
    rate_limit_s: float = 5.0
    longest_s: float = 300.0

    def rest_s(self, *, is_rate_limit: bool, asked_s: float | None) -> float:
        """Return how long one rests; `asked_s`: what a rate limit asks to wait, if it says so."""
        if not is_rate_limit:
            return self.fault_s
        return min(self.rate_limit_s if asked_s is None else asked_s, self.longest_s)


class Cooldowns:
    """Which channels of this process are resting. A resting channel is tried last, not never."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds, monotonic."""
        self._clock = clock
        self._until: dict[str, float] = {}

    def start(self, channel: str, duration_s: float) -> None:
        """Let `channel` rest from now; a rest that would end later stays."""
        until = self._clock() + duration_s
        self._until[channel] = max(until, self._until.get(channel, until))

    def clear(self, channel: str) -> None:
        """End the rest of `channel`: it has answered."""
        self._until.pop(channel, None)

    def is_cooling(self, channel: str) -> bool:
        """Whether `channel` is resting now."""
        return self._until.get(channel, -math.inf) > self._clock()


def order_routes(
    routes: Sequence[Route], *, is_cooling: Callable[[str], bool], random: Callable[[], float]
) -> list[Route]:
    """Return `routes` as they are to be tried.

    Channels that rest come last. Then the lower priority first; within one priority each route is
    first with a probability of its weight's share, and a weight of 0 comes after all others.

    `random` returns 0 <= x < 1. Source of the weighted draw: Efraimidis and Spirakis, "Weighted
    random sampling with a reservoir" (2006).
    """

    def rank(route: Route) -> tuple[bool, int, float]:
        draw = random() ** (1 / route.weight) if route.weight > 0 else -1.0
        return is_cooling(route.channel), route.priority, -draw

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
