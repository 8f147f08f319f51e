"""Tavily: `POST {base_url}/search` with JSON and a Bearer key.

Only what is shown to a model is asked for: neither an answer of Tavily's own, nor images, nor whole
pages. Dates come with `topic = "news"`.

Source: docs.tavily.com, "Tavily Search" (query at most 400 characters, `max_results` at most 20)
and the error codes of its own Python client (432 and 433: a plan's limit is used up). `safe_search`
is sent only where the catalog asks for it: the parameter is said to need an Enterprise plan.
"""

from collections.abc import Mapping

from tollgate.core.catalog import SearchProvider
from tollgate.core.json_text import dump
from tollgate.core.search_results import RawResult
from tollgate.upstream.search.api import SearchRequest, make_headers, read_entries, read_text


class Tavily:
    """Implements `SearchApi`."""

    def make_request(self, provider: SearchProvider, query: str, key: str | None) -> SearchRequest:
        """Return the JSON body; safe search is on or off, without degrees."""
        body: dict[str, object] = {
            "query": query,
            "max_results": provider.results_max,
            "include_answer": False,
            "include_images": False,
            "include_raw_content": False,
            **provider.options,
        }
        if provider.safe_search != "off":
            body["safe_search"] = True
        return SearchRequest(
            method="POST",
            url=f"{provider.base_url}/search",
            headers=make_headers(content_type="application/json", authorization=f"Bearer {key}"),
            content=dump(body),
        )

    def read_results(self, answer: Mapping[str, object]) -> list[RawResult]:
        """Return the results, as relevant as Tavily found them."""
        return [
            RawResult(
                title=read_text(entry, "title"),
                url=read_text(entry, "url"),
                text=read_text(entry, "content"),
                date=read_text(entry, "published_date"),
            )
            for entry in read_entries(answer)
        ]
