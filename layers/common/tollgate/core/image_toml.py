"""An image model's part of the catalog: its prices, and how many tokens a made image has.

What each key means is in docs/catalog.md#image-models.
"""

from collections.abc import Callable, Mapping

from tollgate.core.image_rates import ANY, ImageGrid, ImageRate, ImageTable
from tollgate.core.prices import Price
from tollgate.core.toml_table import POINTS_PROBLEM, Table
from tollgate.core.units import Micropoints, Picopoints
from tollgate.errors import CatalogError

_FREE = ImageTable(rows={ANY: {ANY: 0}})
_TOKEN_KINDS: Mapping[str, str] = {
    "cached_input": "input",
    "image_input": "input",
    "cached_image_input": "image_input",
    "text_output": "output",
}
_FACTOR_MAX = 1024
_DEFAULTS = ("size", "quality")


def read_image_price(value: object, key: str) -> Price | None:
    """Return the price of an image model: by tokens, by image, or both; None where there is none.

    Raises: CatalogError.
    """
    if value is None:
        return None
    if value == "free":
        return _make_price({}, images=_FREE, request=0)
    if not isinstance(value, dict):
        raise CatalogError(key, 'must be a table, or "free"')
    table = Table(value, key)
    kinds = _read_token_kinds(table)
    images = table.take_any("images")
    rows = None if images is None else _read_rows(images, table.child("images"), _take_points)
    if not kinds and rows is None:
        raise CatalogError(table.child("output"), f"is missing, and so is images; {POINTS_PROBLEM}")
    request = table.take_points("request") or 0
    table.end()
    return _make_price(
        kinds, images=None if rows is None else ImageTable(rows=rows), request=request
    )


def _read_token_kinds(table: Table) -> dict[str, int]:
    """Return picopoints by kind, all of them where `input` and `output` are there, else none."""
    given = {name: table.take_points(name) for name in ("input", "output")}
    if given == {"input": None, "output": None}:
        return {}
    kinds: dict[str, int] = {}
    for name, amount in given.items():
        if amount is None:
            raise CatalogError(table.child(name), f"is missing; {POINTS_PROBLEM}")
        kinds[name] = amount
    for name, fallback in _TOKEN_KINDS.items():
        amount = table.take_points(name)
        kinds[name] = kinds[fallback] if amount is None else amount
    for cached, fresh in (("cached_input", "input"), ("cached_image_input", "image_input")):
        if kinds[cached] > kinds[fresh]:
            # A hold assumes that no input is dearer than fresh input.
            raise CatalogError(table.child(cached), f"must not be above {fresh}")
    return kinds


def _make_price(kinds: Mapping[str, int], *, images: ImageTable | None, request: int) -> Price:
    picopoints = {name: Picopoints(amount) for name, amount in kinds.items()}
    nothing = Picopoints(0)
    fresh, text = picopoints.get("input", nothing), picopoints.get("text_output", nothing)
    return Price(
        input=fresh,
        cached_input=picopoints.get("cached_input", nothing),
        cache_write=fresh,
        audio_input=fresh,
        output=text,
        reasoning=text,
        audio_output=text,
        image_input=picopoints.get("image_input", nothing),
        cached_image_input=picopoints.get("cached_image_input", nothing),
        image_output=picopoints.get("output", nothing),
        images=images,
        has_tokens=bool(kinds),
        request=Micropoints(request),
    )


def read_image_output(value: object, key: str) -> ImageRate | None:
    """Return how many output tokens an image has; None where the catalog does not say.

    Raises: CatalogError.
    """
    if value is None:
        return None
    table = Table(value, key)
    rate: ImageRate
    if table.take_choice("scheme", ("table", "grid"), "table") == "grid":
        rate = ImageGrid(factors=_read_factors(table.take_table("factors")))
    else:
        rate = ImageTable(
            rows=_read_rows(table.take("sizes", dict), table.child("sizes"), _take_count)
        )
    table.end()
    return rate


def read_image_defaults(table: Table) -> dict[str, str]:
    """Return the size and quality that the vendor takes where a request names none."""
    found = {name: table.take(name, str, "") for name in _DEFAULTS}
    table.end()
    return {name: value for name, value in found.items() if value}


def _read_factors(table: Table) -> dict[str, int]:
    names = table.names()
    if not names:
        raise CatalogError(table.key, "must name at least one quality")
    factors = {name: table.take_count(name, at_least=1) for name in names}
    for name, factor in factors.items():
        if factor > _FACTOR_MAX:
            raise CatalogError(table.child(name), f"must be at most {_FACTOR_MAX}")
    return factors


def _read_rows(
    value: object, key: str, take: Callable[[Table, str], int]
) -> dict[str, dict[str, int]]:
    """Return amounts by size and quality; an amount in a size's place is for every quality."""
    table = Table(value, key)
    if not table.names():
        raise CatalogError(key, "must name at least one size, or *")
    rows: dict[str, dict[str, int]] = {}
    for size in table.names():
        entry = table.take_any(size)
        if not isinstance(entry, dict):
            rows[size] = {ANY: take(Table({size: entry}, key), size)}
            continue
        row = Table(entry, table.child(size))
        if not entry:
            raise CatalogError(row.key, "must name at least one quality, or *")
        rows[size] = {quality: take(row, quality) for quality in row.names()}
    return rows


def _take_points(table: Table, name: str) -> int:
    amount = table.take_points(name)
    if amount is None:
        raise CatalogError(table.child(name), POINTS_PROBLEM)
    return amount


def _take_count(table: Table, name: str) -> int:
    return table.take_count(name, at_least=1)
