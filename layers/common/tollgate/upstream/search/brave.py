"""Brave: `GET {base_url}/res/v1/web/search?q=…` with the key in `x-subscription-token`.

Source: api-dashboard.search.brave.com, "Web search" (q at most 400 characters and 50 words, `count`
at most 20, `page_age` in ISO 8601). A search without any web page has no `web` in its answer.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

from tollgate.core.catalog import SearchProvider
from tollgate.core.search_results import RawResult
from tollgate.upstream.search.api import SearchRequest, make_headers, read_entries, read_text


class Brave:
    """Implements `SearchApi`."""

    def make_request(self, provider: SearchProvider, query: str, key: str | None) -> SearchRequest:
        """Return the address; only web pages are asked for, without marks around found words."""
        parameters = {
            "q": query,
            "count": str(provider.results_max),
            "safesearch": provider.safe_search,
            "text_decorations": "false",
            "result_filter": "web",
            **provider.options,
        }
        return SearchRequest(
            method="GET",
            url=f"{provider.base_url}/res/v1/web/search?{urlencode(parameters)}",
            headers=make_headers(x_subscription_token=key or ""),
        )

    def read_results(self, answer: Mapping[str, object]) -> list[RawResult]:
        """Return the web pages, each with its one snippet."""
        if "web" not in answer and answer.get("type") == "search":
            return []
        return [
            RawResult(
                title=read_text(entry, "title"),
                url=read_text(entry, "url"),
                text=read_text(entry, "description"),
                date=read_text(entry, "page_age"),
            )
            for entry in read_entries(answer.get("web"))
        ]
