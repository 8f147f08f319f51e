"""A search that finds what it was given, for tests of what is done with it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tollgate.core.catalog import SearchProvider
from tollgate.core.search_results import RawResult, clean_results
from tollgate.errors import TollgateError
from tollgate.upstream.search.client import Findings

PAGES = (
    RawResult(
        title="Toll <b>gates</b>",
        url="https://example.org/gates",
        text="A gate stops a cart.",
        date="2026-11-20T07:30:00",
    ),
    RawResult(title="Turnpikes", url="http://example.com/pikes", text="A road.", date=""),
)


@dataclass(slots=True)
class FakeSearcher:
    """Implements `metering.web_search.Searcher`: answers as the last provider, or with `error`.

    `watch` is called while the search goes on, and `wait` awaited.
    """

    results: Sequence[RawResult] = PAGES
    error: TollgateError | None = None
    watch: Callable[[], None] = lambda: None
    wait: Callable[[], Awaitable[object]] | None = None
    queries: list[str] = field(default_factory=list)

    async def search(
        self, query: str, providers: Sequence[SearchProvider], *, budget_s: float
    ) -> Findings:
        assert budget_s > 0
        self.queries.append(query)
        self.watch()
        if self.wait is not None:
            await self.wait()
        if self.error is not None:
            raise self.error
        provider = providers[-1]
        found = clean_results(self.results, results_max=provider.results_max)
        return Findings(provider=provider, results=found)
