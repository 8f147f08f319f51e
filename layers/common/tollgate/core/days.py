"""Ranges of UTC days as billing clients ask for them: `start_date` inclusive, `end_date` exclusive.

NextChat asks for the first of the month to tomorrow, by its own clock; one-api for the first of the
month to today, which is an empty range on the first. Both are served.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from tollgate.errors import InvalidRequestError

DAYS_MAX = 400
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """The UTC days from `first` up to, and without, `end`; none where they are equal."""

    first: date
    end: date

    def __len__(self) -> int:
        return (self.end - self.first).days

    def cut(self, at: date) -> "tuple[Days, Days]":
        """Return the days before `at`, and the rest; each may be empty."""
        middle = min(max(at, self.first), self.end)
        return Days(first=self.first, end=middle), Days(first=middle, end=self.end)

    def split(self, days_max: int) -> "Iterator[Days]":
        """Yield pieces of at most `days_max` days, in order; nothing of an empty range."""
        rest = self
        while rest:
            piece, rest = rest.cut(rest.first + timedelta(days=min(days_max, len(rest))))
            yield piece

    def months(self) -> Iterator[str]:
        """Yield the months that the days are of, `yyyy-mm`, newest first."""
        if self:
            last = self.end - timedelta(days=1)
            for number in range(_month_number(last), _month_number(self.first) - 1, -1):
                year, month = divmod(number, 12)
                yield f"{year:04}-{month + 1:02}"


def _month_number(day: date) -> int:
    return day.year * 12 + day.month - 1


def read_days(start: str | None, end: str | None, *, today: date) -> Days:
    """Return the days asked for; by default the last 400, today among them.

    `today`: by UTC. A missing start is 400 days before the end, a missing end is tomorrow. Days
    that are to come are days without usage.

    Raises: InvalidRequestError: no date, reversed, or more than 400 days.
    """
    last = _read_date(end, "end_date") if end is not None else today + timedelta(days=1)
    earliest = date.fromordinal(max(1, last.toordinal() - DAYS_MAX))
    first = _read_date(start, "start_date") if start is not None else earliest
    if first > last:
        raise InvalidRequestError("'start_date' is after 'end_date'.", param="start_date")
    if first < earliest:
        raise InvalidRequestError(
            f"'start_date' and 'end_date' are more than {DAYS_MAX} days apart.", param="start_date"
        )
    return Days(first=first, end=last)


def _read_date(text: str, param: str) -> date:
    """Return a date `yyyy-mm-dd`; fromisoformat alone would take weeks and other spellings."""
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidRequestError(f"'{param}' must be a date such as 2026-12-31.", param=param)
