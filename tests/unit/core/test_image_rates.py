"""What an image of a size and quality comes to."""

import pytest
from tollgate.core.image_rates import ImageGrid, ImageTable
from tollgate.errors import InvalidRequestError

GRID = ImageGrid(factors={"low": 16, "medium": 48, "high": 96})
TABLE = ImageTable(
    rows={
        "1024x1024": {"standard": 4, "hd": 8},
        "1792x1024": {"hd": 12, "*": 9},
        "*": {"standard": 1},
    }
)


@pytest.mark.parametrize(
    ("size", "quality", "expected"),
    [
        ("1024x1024", "high", 7024),
        ("1536x1024", "high", 5488),
        ("1024x1536", "high", 5488),
        ("1792x1024", "high", 5063),
        ("3584x2048", "high", 12329),
        ("960x720", "low", 130),
        ("976x704", "low", 129),
        ("1024x1024", "low", 196),
        (None, "low", 659),
        ("1024x1024", None, 7024),
    ],
)
def test_grid_gives_the_published_figures(
    size: str | None, quality: str | None, expected: int
) -> None:
    """Those of OpenAI's guide and its forum; what is left open is the largest square, the best."""
    assert expected == GRID.amount(size, quality)


@pytest.mark.parametrize(
    ("factor", "expected"), [(16, 196), (24, 439), (48, 1756), (64, 3122), (96, 7024)]
)
def test_factors_of_the_second_family(factor: int, expected: int) -> None:
    """A reseller's price of each quality at 1024x1024, over 30 dollars a million."""
    assert expected == ImageGrid(factors={"q": factor}).amount("1024x1024", "q")


@pytest.mark.parametrize(
    ("size", "quality", "param"),
    [
        ("1024x1024", "max", "quality"),
        ("1024", "high", "size"),
        ("0x1024", "high", "size"),
        ("3841x16", "high", "size"),
        ("3840x2176", "high", "size"),
        ("99999x99999", "high", "size"),
        ("1024x1024\n", "high", "size"),
    ],
)
def test_grid_refuses_what_it_cannot_bound(size: str, quality: str, param: str) -> None:
    """An unknown quality, a size that is none, more pixels than there are."""
    with pytest.raises(InvalidRequestError) as caught:
        GRID.amount(size, quality)

    assert caught.value.param == param


@pytest.mark.parametrize(
    ("size", "quality", "expected"),
    [
        ("1024x1024", "hd", 8),
        ("1792x1024", "standard", 9),
        ("512x512", "standard", 1),
        ("1024x1024", None, 8),
        (None, "standard", 9),
        (None, None, 12),
    ],
)
def test_table_by_size_then_quality(size: str | None, quality: str | None, expected: int) -> None:
    """A star stands for what is not named; what is left open is the dearest."""
    assert expected == TABLE.amount(size, quality)


@pytest.mark.parametrize(
    ("table", "size", "quality", "param"),
    [
        (TABLE, "1024x1024", "low", "quality"),
        (ImageTable(rows={"1x1": {"*": 1}}), "2x2", None, "size"),
        (ImageTable(rows={"1x1": {"a": 1}}), None, "b", "quality"),
    ],
)
def test_table_refuses_what_has_no_price(
    table: ImageTable, size: str | None, quality: str | None, param: str
) -> None:
    """Nothing is free by accident, and the field at fault is named."""
    with pytest.raises(InvalidRequestError) as caught:
        table.amount(size, quality)

    assert caught.value.param == param
