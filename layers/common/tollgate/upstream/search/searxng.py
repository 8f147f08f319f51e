"""SearXNG: `POST {base_url}/search` with a form, answered in JSON.

The instance must allow the format: `search.formats` has `json` in its settings, else it answers
403. A form keeps the query out of the access logs on the way, where an address would stand.

Source: docs.searxng.org, "Search API"; and a SearXNG of August 2026, whose answers are in
tests/data/searxng: without any result it names the engines that failed in `unresponsive_engines`,
which is then a failure and no empty answer; a result without an address is possible.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

from tollgate.core.catalog import SafeSearch, SearchProvider
from tollgate.core.search_results import RawResult
from tollgate.upstream.search.api import (
    SearchFailedError,
    SearchRequest,
    make_headers,
    read_entries,
    read_text,
)

_SAFE_SEARCH: Mapping[SafeSearch, str] = {"off": "0", "moderate": "1", "strict": "2"}
_COMMANDS = "!:<?"


class Searxng:
    """Implements `SearchApi`. Its key, if there is one, is sent as a Bearer token to the proxy
    that guards the instance: SearXNG itself has none.
    """  # noqa: D205 - one sentence

    def make_request(self, provider: SearchProvider, query: str, key: str | None) -> SearchRequest:
        """Return the form; SearXNG has no parameter for how many results."""
        form = {
            "q": _without_commands(query),
            "format": "json",
            "safesearch": _SAFE_SEARCH[provider.safe_search],
            **provider.options,
        }
        headers = make_headers(content_type="application/x-www-form-urlencoded")
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        return SearchRequest(
            method="POST",
            url=f"{provider.base_url}/search",
            headers=headers,
            content=urlencode(form).encode(),
        )

    def read_results(self, answer: Mapping[str, object]) -> list[RawResult]:
        """Return the results; none beside engines that failed is a failure."""
        entries = read_entries(answer)
        if not entries and answer.get("unresponsive_engines"):
            # Its engines failed, and which are asked is the query's matter too.
            raise SearchFailedError("unavailable", is_resting=False)
        return [
            RawResult(
                title=read_text(entry, "title"),
                url=read_text(entry, "url"),
                text=read_text(entry, "content"),
                date=read_text(entry, "publishedDate", "pubdate"),
            )
            for entry in entries
        ]


def _without_commands(query: str) -> str:
    """Return the query without what SearXNG would obey: `!engine`, `!!bang`, `:language`, `<3`.

    The first chooses engines that the operator did not, the second answers with a redirect. A query
    of nothing else is searched for as it stands between quotes.
    """
    words = [word.lstrip(_COMMANDS) for word in query.split()]
    return " ".join(word for word in words if word) or f'"{query}"'
