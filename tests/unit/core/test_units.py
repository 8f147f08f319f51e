"""Money as integers and as text."""

import json

import pytest
from tollgate.core.units import (
    Micropoints,
    Picopoints,
    format_points,
    points_number,
    round_up,
)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (0, "0"),
        (1, "0.000001"),
        (1_340_000, "1.34"),
        (1_000_000, "1"),
        (10_000_000, "10"),
        (123_456_789, "123.456789"),
        (-500_000, "-0.5"),
    ],
)
def test_points_are_the_shortest_number(amount: int, expected: str) -> None:
    """No exponent, no trailing zero, six decimals at most."""
    assert expected == format_points(Micropoints(amount))


@pytest.mark.parametrize(
    "amount", [0, 150_000, 1_340_000, 123_456_789, 10**12, 10**15 - 1, -500_000]
)
def test_number_is_what_is_written(amount: int) -> None:
    """A JSON number of the same digits, whole where the points are."""
    assert json.dumps(points_number(Micropoints(amount))) == format_points(Micropoints(amount))


@pytest.mark.parametrize(("amount", "expected"), [(0, 0), (1, 1), (10**6, 1), (10**6 + 1, 2)])
def test_rounding_is_up(amount: int, expected: int) -> None:
    """A fraction of a micropoint is one."""
    assert expected == round_up(Picopoints(amount))
