"""The search as the rest of Tollgate sees it: a query goes in, the first good answer comes out.

    providers in order ──▶ key ──▶ request ──▶ JSON ──▶ results
                             │ fails: log, rest, next provider
                             └ none left: WebSearchFailedError

The whole takes at most `TOTAL_S`, each provider at most its own `timeout_s` of that.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import httpx

from tollgate.core.catalog import SearchKind, SearchProvider
from tollgate.core.json_text import parse_object
from tollgate.core.search_results import SearchResult, clean_results
from tollgate.errors import ConfigurationError, WebSearchFailedError
from tollgate.upstream.channels import read_retry_after_s
from tollgate.upstream.connections import ConnectionWatch, send_or_resend
from tollgate.upstream.content_encodings import read_pieces
from tollgate.upstream.cooldowns import CooldownRules, Cooldowns
from tollgate.upstream.keys import KeySource
from tollgate.upstream.search.api import SearchApi, SearchFailedError, SearchFailure, SearchRequest
from tollgate.upstream.search.brave import Brave
from tollgate.upstream.search.searxng import Searxng
from tollgate.upstream.search.tavily import Tavily
from tollgate.upstream.transport import WATCH

_log = logging.getLogger("tollgate.upstream")
TOTAL_S = 30.0
ANSWER_BYTES_MAX = 2 * 1024 * 1024
APIS: Mapping[SearchKind, SearchApi] = {
    "searxng": Searxng(),
    "tavily": Tavily(),
    "brave": Brave(),
}
_UNAUTHORIZED = 401
_REASONS: Mapping[int, SearchFailure] = {
    400: "refused",
    401: "credentials",
    402: "credentials",
    403: "credentials",
    408: "timeout",
    422: "refused",
    429: "rate_limit",
    432: "credentials",
    433: "credentials",
    504: "timeout",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a provider found, as it may be shown, and which one it was."""

    provider: SearchProvider
    results: Sequence[SearchResult]


class WebSearch:
    """Asks search providers in order until one answers. One for a process."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        keys: KeySource,
        *,
        clock: Callable[[], float] = time.monotonic,
        total_s: float = TOTAL_S,
        rules: CooldownRules = CooldownRules(),  # noqa: B008 - frozen
    ) -> None:
        """`http`: as `upstream.client.new_http_client` makes it; `clock`: seconds."""
        self._http = http
        self._keys = keys
        self._clock = clock
        self._total_s = total_s
        self._rules = rules
        self._cooldowns = Cooldowns(clock)

    async def search(
        self, query: str, providers: Sequence[SearchProvider], *, budget_s: float
    ) -> Findings:
        """Return the first answer; one without results is an answer.

        Args:
            query: see `core.search_query`.
            providers: in order of priority; one that failed just now comes last.
            budget_s: seconds that are left for the request.
        Raises: WebSearchFailedError: none answered in time.
        """
        ends_at = self._clock() + min(self._total_s, budget_s)
        is_hurried = budget_s < self._total_s
        reasons: set[SearchFailure] = set()
        for provider in sorted(providers, key=lambda one: self._cooldowns.is_cooling(one.name)):
            left_s = ends_at - self._clock()
            if left_s <= 0:
                reasons.add("timeout")
                break
            try:
                return await self._try_provider(provider, query, left_s, is_hurried=is_hurried)
            except SearchFailedError as failure:
                reasons.add(failure.reason)
        raise WebSearchFailedError(is_timeout="timeout" in reasons)

    async def _try_provider(
        self, provider: SearchProvider, query: str, left_s: float, *, is_hurried: bool
    ) -> Findings:
        """Ask one provider, and keep the books of what came of it."""
        began = self._clock()
        try:
            results = await self._ask_in_time(provider, query, left_s, is_hurried=is_hurried)
        except SearchFailedError as failure:
            self._log_failure(provider, failure, began)
            if failure.is_resting:
                self._cooldowns.start(provider.name, self._rest_s(failure))
            raise
        self._cooldowns.answer(provider.name, began)
        fields = {"provider": provider.name, "results": len(results)}
        _log.info("searched", extra=fields | {"duration_ms": self._since_ms(began)})
        return Findings(provider=provider, results=results)

    async def _ask_in_time(
        self, provider: SearchProvider, query: str, left_s: float, *, is_hurried: bool
    ) -> list[SearchResult]:
        try:
            async with asyncio.timeout(min(provider.timeout_s, left_s)):
                return await self._ask(provider, query)
        except TimeoutError as error:
            # If it was the request's own time that ran out, the provider is not to blame.
            is_late = not is_hurried or left_s >= provider.timeout_s
            raise SearchFailedError("timeout", is_resting=is_late) from error

    async def _ask(self, provider: SearchProvider, query: str) -> list[SearchResult]:
        """Ask with the key, and once more if a rejected key has a successor."""
        key = await self._find_key(provider)
        try:
            return await self._ask_with(key, provider, query)
        except SearchFailedError as failure:
            if failure.status != _UNAUTHORIZED or not await self._is_renewed(provider, key):
                raise
        return await self._ask_with(await self._find_key(provider), provider, query)

    async def _ask_with(
        self, key: str | None, provider: SearchProvider, query: str
    ) -> list[SearchResult]:
        api = APIS[provider.kind]
        body = await self._send(api.make_request(provider, query, key))
        try:
            return await asyncio.to_thread(_read_results, api, provider, body)
        except ValueError as error:
            raise SearchFailedError("unavailable", is_resting=False) from error

    async def _send(self, request: SearchRequest) -> bytes:
        """Return the body of a good answer. The time-out around it bounds every stage."""
        try:
            response = await self._open(request)
            try:
                _check_status(response)
                return await _read_body(response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SearchFailedError("unavailable") from error

    async def _open(self, request: SearchRequest) -> httpx.Response:
        watch = ConnectionWatch()

        async def send() -> httpx.Response:
            made = self._http.build_request(
                request.method,
                request.url,
                headers=request.headers,
                content=request.content,
                extensions={WATCH: watch},
            )
            return await self._http.send(made, stream=True)

        return await send_or_resend(send, watch)

    async def _find_key(self, provider: SearchProvider) -> str | None:
        if provider.key_name is None:
            return None
        try:
            return await self._keys.key(provider.key_name)
        except ConfigurationError as error:
            raise SearchFailedError("credentials", is_resting=False) from error

    async def _is_renewed(self, provider: SearchProvider, key: str | None) -> bool:
        if provider.key_name is None or key is None:
            return False
        try:
            return await self._keys.renew(provider.key_name, key)
        except ConfigurationError:
            return False

    def _rest_s(self, failure: SearchFailedError) -> float:
        return self._rules.rest_s(
            is_rate_limit=failure.reason == "rate_limit", asked_s=failure.retry_after_s
        )

    def _since_ms(self, began: float) -> int:
        return int((self._clock() - began) * 1000)

    def _log_failure(
        self, provider: SearchProvider, failure: SearchFailedError, began: float
    ) -> None:
        """Log one line: neither query nor key nor the provider's words."""
        cause = type(failure.__cause__).__name__ if failure.__cause__ else None
        fields = {
            "provider": provider.name,
            "reason": failure.reason,
            "status": failure.status,
            "cause": cause,
            "duration_ms": self._since_ms(began),
        }
        _log.warning("search failed", extra=fields)


def _read_results(api: SearchApi, provider: SearchProvider, body: bytes) -> list[SearchResult]:
    """Return what may be shown of an answer. Up to 2 MB from a stranger: call it in a thread.

    Raises: ValueError: no JSON, or nothing that can be read; SearchFailedError.
    """
    return clean_results(api.read_results(parse_object(body)), results_max=provider.results_max)


def _check_status(response: httpx.Response) -> None:
    """Raise what an answer other than 2xx stands for; its words are not read."""
    status = response.status_code
    if response.is_success:
        return
    reason = _REASONS.get(status, "unavailable")
    raise SearchFailedError(
        reason,
        status=status,
        retry_after_s=read_retry_after_s(response.headers, time.time()),
        is_resting=reason != "refused",
    )


async def _read_body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in read_pieces(response):
        body += piece
        if len(body) > ANSWER_BYTES_MAX:
            raise SearchFailedError("unavailable", is_resting=False)
    return bytes(body)
