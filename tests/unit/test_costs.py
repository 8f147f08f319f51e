"""The cost table of docs/operations.md is what the script prints."""

import pytest

from bench.costs import GB_SECOND, MEMORIES_MB, STREAMS_S, break_even, container_month, million
from local.sandbox import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()


def cells(title: str) -> list[str]:
    """Return what stands right of a row's title."""
    [row] = [line for line in PAGE.splitlines() if line.startswith(f"| {title}")]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


@pytest.mark.parametrize("architecture", sorted(GB_SECOND))
@pytest.mark.parametrize("memory_mb", MEMORIES_MB)
def test_page_has_the_dollars_of_a_million_streams(memory_mb: int, architecture: str) -> None:
    """Whole dollars, for each length of stream."""
    dollars = [round(million(length, memory_mb, architecture)) for length in STREAMS_S]

    assert cells(f"{memory_mb} MB, {architecture}") == [str(amount) for amount in dollars]


def test_page_says_when_the_container_is_cheaper() -> None:
    """Three digits of it."""
    default = [break_even(length, 1024, "x86_64") for length in STREAMS_S]
    leanest = [break_even(length, 512, "arm64") for length in STREAMS_S]

    assert cells("**the container is cheaper") == [three_digits(number) for number in default]
    assert cells("… (512 MB, arm64)") == [three_digits(number) for number in leanest]
    assert f"{container_month():.0f} dollars a month" in PAGE


def three_digits(number: int) -> str:
    return f"{int(float(f'{number:.3g}')):,}".replace(",", " ")
