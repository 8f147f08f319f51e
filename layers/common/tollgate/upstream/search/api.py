"""What a search provider's API is to the client: a request for a query, results in an answer.

    SearchApi ── Searxng, Tavily, Brave: pure, one module each; `client` does the sending

The providers have client libraries; each is a second HTTP stack around one request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tollgate.core.catalog import SearchProvider
from tollgate.core.search_results import RawResult
from tollgate.errors import UpstreamError
from tollgate.upstream.vendor_requests import USER_AGENT

type SearchFailure = Literal["rate_limit", "timeout", "credentials", "refused", "unavailable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A request, ready to send. Not to be logged: it holds the query and the key."""

    method: Literal["GET", "POST"]
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(default=None, repr=False)


class SearchApi(Protocol):
    """One kind of provider."""

    def make_request(self, provider: SearchProvider, query: str, key: str | None) -> SearchRequest:
        """Return the request that searches for `query` (see `core.search_query` for its limits)."""

    def read_results(self, answer: Mapping[str, object]) -> list[RawResult]:
        """Return the results in an answer's JSON, best first; none is an answer too.

        Raises: SearchFailedError: the answer does not have the provider's form.
        """


class SearchFailedError(UpstreamError):
    """One provider could not answer; the next one is asked. Never leaves this package.

    `is_resting`: whether the provider is to rest; not where the query may have been the cause.
    """

    def __init__(
        self,
        reason: SearchFailure,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        is_resting: bool = True,
    ) -> None:
        """`status`: the provider's HTTP status, if it got so far."""
        super().__init__(f"search failed: {reason}")
        self.reason = reason
        self.status = status
        self.retry_after_s = retry_after_s
        self.is_resting = is_resting


def make_headers(**more: str) -> dict[str, str]:
    """Return the headers that every provider is sent; `_` in a name stands for `-`."""
    return {
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
    } | {name.replace("_", "-"): value for name, value in more.items()}


def read_entries(container: object) -> list[Mapping[str, object]]:
    """Return the objects of the list `results` in a JSON object.

    Raises: SearchFailedError: there is no such list.
    """
    found = container.get("results") if isinstance(container, Mapping) else None
    if not isinstance(found, list):
        raise SearchFailedError("unavailable", is_resting=False)
    return [entry for entry in found if isinstance(entry, Mapping)]


def read_text(entry: Mapping[str, object], *names: str) -> str:
    """Return the first of the fields `names` that is text and not empty, or an empty text."""
    values = (entry.get(name) for name in names)
    return next((value for value in values if isinstance(value, str) and value), "")
