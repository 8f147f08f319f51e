"""The catalog's search providers."""

import re
from pathlib import Path

import pytest
import tollgate
from tollgate.core.catalog import SearchProvider
from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.units import Micropoints
from tollgate.errors import CatalogError

GOOD = 'kind = "searxng"\nbase_url = "http://s"\nprice = 1\n'


def only_provider(text: str) -> SearchProvider:
    (provider,) = parse_catalog(f"[search.web]\n{text}").search
    return provider


def test_everything_said() -> None:
    """Each key of the table reaches its field; a provider's own parameters go together."""
    found = only_provider("""
        kind = "searxng"
        base_url = "https://search.example.org/sub/"
        key = "SEARX_KEY"
        price = 0.25
        priority = 3
        timeout_s = 2.5
        results_max = 7
        text_tokens_max = 900
        safe_search = "strict"
        engines = "mojeek,wikipedia"
        categories = "general"
        language = "de"
        time_range = "year"
    """)

    assert found == SearchProvider(
        name="web",
        kind="searxng",
        base_url="https://search.example.org/sub",
        key_name="SEARX_KEY",
        price=Micropoints(250_000),
        priority=3,
        timeout_s=2.5,
        results_max=7,
        text_tokens_max=900,
        safe_search="strict",
        options={
            "engines": "mojeek,wikipedia",
            "categories": "general",
            "language": "de",
            "time_range": "year",
        },
    )


@pytest.mark.parametrize(
    ("kind", "base_url", "safe_search"),
    [
        ("tavily", "https://api.tavily.com", "off"),
        ("brave", "https://api.search.brave.com", "moderate"),
    ],
)
def test_hosted_providers_have_an_address(kind: str, base_url: str, safe_search: str) -> None:
    """Kind, key and price are enough for a hosted one."""
    found = only_provider(f'kind = "{kind}"\nkey = "K"\nprice = 1')

    assert (found.base_url, found.safe_search, found.options) == (base_url, safe_search, {})
    assert (found.timeout_s, found.results_max, found.text_tokens_max) == (10.0, 5, 2000)


def test_longest_time_out() -> None:
    """Two providers that hang have their turns within the whole search's time."""
    assert only_provider(GOOD + "timeout_s = 15").timeout_s == 15


def test_lower_priority_comes_first() -> None:
    """The order of the table decides among equals."""
    tables = [
        f"[search.{name}]\n{GOOD}priority = {priority}"
        for name, priority in (("late", 2), ("first", 0), ("second", 0), ("third", 1))
    ]
    providers = parse_catalog("\n".join(tables)).search

    assert [provider.name for provider in providers] == ["first", "second", "third", "late"]


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("price = 1", "search.web.kind", "must be one of searxng, tavily, brave"),
        ('kind = "bing"', "search.web.kind", "must be one of searxng, tavily, brave"),
        ('kind = "searxng"\nprice = 1', "search.web.base_url", "is missing"),
        ('kind = "brave"\nprice = 1', "search.web.key", "is missing"),
        (
            'kind = "tavily"\nkey = "K"',
            "search.web.price",
            "is missing; must be a number of points",
        ),
        (GOOD + "timeout_s = 0", "search.web.timeout_s", "above 0 and at most 15"),
        (GOOD + "timeout_s = 15.5", "search.web.timeout_s", "above 0 and at most 15"),
        (GOOD + "results_max = 0", "search.web.results_max", "at least 1"),
        (GOOD + "results_max = 21", "search.web.results_max", "at most 20"),
        (GOOD + "text_tokens_max = 100001", "search.web.text_tokens_max", "at most 100000"),
        (GOOD + 'safe_search = "on"', "search.web.safe_search", "must be one of off, moderate"),
        (GOOD + "engines = 1", "search.web.engines", "must be text"),
        (GOOD + 'language = "d\\ne"', "search.web.language", "must be text of one line"),
        (GOOD + 'country = "de"', "search.web.country", "is not a known key"),
        (GOOD.replace("http://s", "ftp://s"), "search.web.base_url", "must be an http"),
    ],
)
def test_complaint_names_the_key(text: str, key: str, problem: str) -> None:
    """A search is neither free by accident nor unbounded, and a misspelt key is noticed."""
    with pytest.raises(CatalogError) as caught:
        only_provider(text)

    assert (caught.value.key, problem in caught.value.problem) == (key, True)


def test_name_is_fit_for_a_log_line() -> None:
    """The rule of channels and models holds for providers."""
    with pytest.raises(CatalogError, match="a name has 1 to 200 printable characters"):
        parse_catalog(f'[search."a b"]\n{GOOD}')


def test_packaged_examples_are_good() -> None:
    """Nobody is asked by default; the examples need only lose their signs."""
    text = (Path(tollgate.__file__).parent / "catalog.toml").read_text()
    section = text[text.index("# [search.") :]
    found = parse_catalog(re.sub(r"^# ", "", section, flags=re.MULTILINE)).search

    assert parse_catalog(text).search == ()
    assert [provider.kind for provider in found] == ["searxng", "tavily", "brave"]
