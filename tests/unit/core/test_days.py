"""Which days a billing client asks for."""

from datetime import date

import pytest
from tollgate.core.days import DAYS_MAX, Days, read_days
from tollgate.errors import InvalidRequestError

TODAY = date(2026, 11, 24)


def days(first: str, end: str) -> Days:
    return Days(first=date.fromisoformat(first), end=date.fromisoformat(end))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, days("2025-10-21", "2026-11-25")),
        ("2026-11-01", None, days("2026-11-01", "2026-11-25")),
        (None, "2026-11-01", days("2025-09-27", "2026-11-01")),
        ("2026-11-24", "2026-11-25", days("2026-11-24", "2026-11-25")),
        ("2026-11-01", "2026-11-01", days("2026-11-01", "2026-11-01")),
        ("2028-02-29", "2028-03-01", days("2028-02-29", "2028-03-01")),
        ("2026-12-31", "2027-01-01", days("2026-12-31", "2027-01-01")),
        ("2030-01-01", "2030-02-01", days("2030-01-01", "2030-02-01")),
        (None, "0001-01-02", days("0001-01-01", "0001-01-02")),
        ("9999-01-01", "9999-12-31", days("9999-01-01", "9999-12-31")),
    ],
)
def test_range(start: str | None, end: str | None, expected: Days) -> None:
    """The end is exclusive; today is in by default; nothing needs to have happened yet."""
    assert read_days(start, end, today=TODAY) == expected


@pytest.mark.parametrize(
    ("start", "end", "param"),
    [
        ("2026-11-02", "2026-11-01", "start_date"),
        ("2026-11-26", None, "start_date"),
        ("2025-10-20", "2026-11-25", "start_date"),
        ("2024-01-01", None, "start_date"),
        ("2026-02-29", None, "start_date"),
        ("2026-13-01", None, "start_date"),
        ("2026-1-1", None, "start_date"),
        ("20261101", None, "start_date"),
        ("2026-W45-1", None, "start_date"),
        ("2026-11-01T00:00:00Z", None, "start_date"),
        ("٢٠٢٦-11-01", None, "start_date"),
        ("", None, "start_date"),
        ("2026-11-01", "tomorrow", "end_date"),
        ("2026-11-01", "2026-11-31", "end_date"),
    ],
)
def test_no_range(start: str | None, end: str | None, param: str) -> None:
    """Garbage, reversed and more than 400 days are refused by the parameter's name."""
    with pytest.raises(InvalidRequestError) as caught:
        read_days(start, end, today=TODAY)

    assert caught.value.param == param


def test_longest_range() -> None:
    """400 days are served."""
    assert len(read_days("2025-10-21", "2026-11-25", today=TODAY)) == DAYS_MAX == 400


def test_split_covers_each_day_once() -> None:
    """The pieces follow one another, none longer than it may be, none empty."""
    pieces = list(days("2025-10-21", "2026-11-25").split(150))

    assert [len(piece) for piece in pieces] == [150, 150, 100]
    assert [piece.first for piece in pieces[1:]] == [piece.end for piece in pieces[:-1]]
    assert list(days("2026-11-01", "2026-11-01").split(50)) == []


@pytest.mark.parametrize(
    ("at", "before"), [("2026-10-01", 0), ("2026-11-10", 9), ("2027-01-01", 30)]
)
def test_cut_inside_and_outside(at: str, before: int) -> None:
    """A cut outside of the days leaves one side empty."""
    earlier, later = days("2026-11-01", "2026-12-01").cut(date.fromisoformat(at))

    assert (len(earlier), len(later)) == (before, 30 - before)
    assert earlier.end == later.first


@pytest.mark.parametrize(
    ("span", "months"),
    [
        (("2026-11-01", "2026-12-01"), ["2026-11"]),
        (("2026-11-30", "2026-12-02"), ["2026-12", "2026-11"]),
        (("2025-12-31", "2026-02-01"), ["2026-01", "2025-12"]),
        (("2026-11-01", "2026-11-01"), []),
        (("0001-01-01", "0001-01-02"), ["0001-01"]),
    ],
)
def test_months_newest_first(span: tuple[str, str], months: list[str]) -> None:
    """Each month that has one of the days, and no other."""
    assert list(days(*span).months()) == months
