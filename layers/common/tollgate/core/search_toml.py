"""The catalog's `[search.<name>]` tables: who is asked to search the web, and at what price.

What each key means is in docs/catalog.md#web-search.
"""

from collections.abc import Mapping

from tollgate.core.catalog import SafeSearch, SearchKind, SearchProvider
from tollgate.core.toml_table import POINTS_PROBLEM, Table
from tollgate.core.units import Micropoints
from tollgate.errors import CatalogError

RESULTS_MAX = 20  # what Tavily and Brave give at most
TEXT_TOKENS_MAX = 100_000
TIMEOUT_S_MAX = 15  # half of what a search may take in all: a second provider has its turn
_TIMEOUT_S = 10.0
_HOSTED: Mapping[SearchKind, str] = {
    "tavily": "https://api.tavily.com",
    "brave": "https://api.search.brave.com",
}
_OPTIONS: Mapping[SearchKind, tuple[str, ...]] = {
    "searxng": ("categories", "engines", "language", "time_range"),
    "tavily": ("country", "search_depth", "time_range", "topic"),
    "brave": ("country", "freshness", "search_lang"),
}


def read_search_provider(table: Table, name: str) -> SearchProvider:
    """Return one provider.

    Raises: CatalogError: a key is missing, unknown, or of the wrong kind. A price must be given: a
        search is never free by accident.
    """
    table.check_name(name)
    kind: SearchKind = table.take_choice("kind", tuple(_OPTIONS), "")
    provider = SearchProvider(
        name=name,
        kind=kind,
        base_url=table.take_address("base_url", _HOSTED.get(kind)),
        key_name=_read_key_name(table, kind),
        price=_read_price(table),
        priority=table.take_count("priority", at_least=0, default=0),
        timeout_s=_read_timeout(table),
        results_max=_read_bounded(table, "results_max", RESULTS_MAX, default=5),
        text_tokens_max=_read_bounded(table, "text_tokens_max", TEXT_TOKENS_MAX, default=2000),
        safe_search=_read_safe_search(table, kind),
        options=_read_options(table, kind),
    )
    table.end()
    return provider


def _read_key_name(table: Table, kind: SearchKind) -> str | None:
    name = table.take("key", str, "") or None
    if name is None and kind in _HOSTED:
        raise CatalogError(table.child("key"), "is missing; must be the name of a key")
    return name


def _read_price(table: Table) -> Micropoints:
    price = table.take_points("price")
    if price is None:
        raise CatalogError(table.child("price"), f"is missing; {POINTS_PROBLEM}")
    return Micropoints(price)


def _read_timeout(table: Table) -> float:
    problem = f"must be seconds, above 0 and at most {TIMEOUT_S_MAX}"
    value = table.take_number("timeout_s", problem)
    if value is None:
        return _TIMEOUT_S
    if not 0 < value <= TIMEOUT_S_MAX:
        raise CatalogError(table.child("timeout_s"), problem)
    return float(value)


def _read_safe_search(table: Table, kind: SearchKind) -> SafeSearch:
    """Tavily's is off unless asked for: it is said to be sold to its Enterprise plans only."""
    default = "off" if kind == "tavily" else "moderate"
    choice: SafeSearch = table.take_choice("safe_search", ("off", "moderate", "strict"), default)
    return choice


def _read_bounded(table: Table, name: str, at_most: int, *, default: int) -> int:
    value = table.take_count(name, at_least=1, default=default)
    if value > at_most:
        raise CatalogError(table.child(name), f"must be a whole number, at most {at_most}")
    return value


def _read_options(table: Table, kind: SearchKind) -> dict[str, str]:
    options = {name: table.take(name, str, "") for name in _OPTIONS[kind]}
    for name, value in options.items():
        if not value.isprintable():
            raise CatalogError(table.child(name), "must be text of one line")
    return {name: value for name, value in options.items() if value}
