"""SearXNG's adapter on answers of a real one, and the commands that a query must not hold."""

import json
from pathlib import Path

import pytest
from tollgate.core.catalog import SearchProvider
from tollgate.core.search_results import clean_results
from tollgate.core.units import Micropoints
from tollgate.upstream.search.api import SearchFailedError
from tollgate.upstream.search.searxng import Searxng

DATA = Path(__file__).parent.parent.parent / "data" / "searxng"


def read(name: str) -> list[tuple[str, str, str | None]]:
    raws = Searxng().read_results(json.loads((DATA / f"{name}.json").read_text()))
    found = clean_results(raws, results_max=20)
    return [(result.title, result.url, result.date) for result in found]


def test_results() -> None:
    """Markup resolved; the one that is not on the web is left out."""
    assert read("results") == [
        ("Toll gates & turnpikes", "https://example.org/toll-gates", None),
        ("Münzen – 硬币", "https://example.com/m%C3%BCnze?x=1&y=2", None),  # noqa: RUF001 - as found
        ("Ledger", "http://example.net/ledger", None),
    ]


def test_dates() -> None:
    """With and without a time zone."""
    assert [date for _, _, date in read("dated")] == ["2026-11-20", "2026-10-02"]


@pytest.mark.parametrize("name", ["empty", "without-address"])
def test_nothing_to_show(name: str) -> None:
    """No results, or none with an address, is an answer."""
    assert read(name) == []


def test_failed_engines_are_no_empty_answer() -> None:
    """Nobody pays for a search that no engine made."""
    with pytest.raises(SearchFailedError) as caught:
        read("all-engines-failed")

    assert (caught.value.reason, caught.value.is_resting) == ("unavailable", False)


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("!!g toll", "q=g+toll"),
        ("!wikipedia :de toll", "q=wikipedia+de+toll"),
        ("<3 toll ?", "q=3+toll"),
        ("what is !important", "q=what+is+important"),
        ("a != b : c", "q=a+%3D+b+c"),
        ("C++ x:y a!b", "q=C%2B%2B+x%3Ay+a%21b"),
        ("!", "q=%22%21%22"),
    ],
)
def test_commands_are_taken_out(query: str, sent: str) -> None:
    """A caller chooses neither engines nor a redirect."""
    provider = SearchProvider(
        name="s", kind="searxng", base_url="http://s", key_name=None, price=Micropoints(0)
    )
    content = Searxng().make_request(provider, query, None).content

    assert content is not None
    assert content.decode().split("&")[0] == sent


def test_request_does_not_show_itself() -> None:
    """Neither query nor key are in a repr that could reach a log."""
    provider = SearchProvider(
        name="s", kind="searxng", base_url="http://s", key_name="K", price=Micropoints(0)
    )

    assert (
        repr(Searxng().make_request(provider, "zeppelin", "key")) == "SearchRequest(method='POST')"
    )
