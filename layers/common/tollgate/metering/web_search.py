"""A `web-` request's search: what is searched for, what it may cost, and what becomes of it.

    SearchOrder ──▶ search_bounds ──▶ (the hold) ──▶ the search ──▶ ground

The hold is taken before the search is paid for, so it covers the dearest provider and the most that
results may add to the prompt; `ground` then puts the results in front of the caller's messages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from tollgate.core.catalog import EncodingName, SearchProvider
from tollgate.core.search_message import (
    FRAME_TOKENS_MAX,
    SearchMessage,
    compose_search_message,
)
from tollgate.core.search_query import find_query
from tollgate.core.tokens import PromptCount
from tollgate.core.units import Micropoints, Tokens
from tollgate.errors import (
    ContextLengthExceededError,
    WebSearchQueryMissingError,
    WebSearchUnavailableError,
)
from tollgate.upstream.search.client import Findings


class Searcher(Protocol):
    """Who searches; `upstream.search.client.WebSearch`."""

    async def search(
        self, query: str, providers: Sequence[SearchProvider], *, budget_s: float
    ) -> Findings:
        """Return the first provider's answer.

        Raises: WebSearchFailedError: none answered within `budget_s` seconds.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOrder:
    """What is searched for, and the providers in the order in which they are asked."""

    query: str
    providers: tuple[SearchProvider, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBounds:
    """The most that a search can add: prompt tokens, its message's frame included, and a price."""

    tokens: Tokens = Tokens(0)
    price: Micropoints = Micropoints(0)


def read_search_order(
    messages: Sequence[object], providers: tuple[SearchProvider, ...]
) -> SearchOrder:
    """Return the order to search for the last user message's text.

    Raises: WebSearchUnavailableError: there is no provider. WebSearchQueryMissingError.
    """
    if not providers:
        raise WebSearchUnavailableError
    query = find_query(messages)
    if not query:
        raise WebSearchQueryMissingError
    return SearchOrder(query=query, providers=providers)


def search_bounds(
    order: SearchOrder | None, count: PromptCount, context_tokens_max: int
) -> SearchBounds:
    """Return what has to be held for the search; nothing where there is none.

    The results get at most half of what the prompt leaves of the context: they are cut rather than
    the prompt refused, and the answer has the other half.

    Raises: ContextLengthExceededError: not even a message without results fits beside the prompt.
    """
    if order is None:
        return SearchBounds()
    room = context_tokens_max - count.text_tokens - FRAME_TOKENS_MAX
    if room < 0:
        raise ContextLengthExceededError(
            prompt_tokens=count.text_tokens + FRAME_TOKENS_MAX,
            context_tokens_max=context_tokens_max,
        )
    wanted = max(provider.text_tokens_max for provider in order.providers)
    return SearchBounds(
        tokens=Tokens(FRAME_TOKENS_MAX + min(wanted, room // 2)),
        price=max(provider.price for provider in order.providers),
    )


def compose(
    findings: Findings, *, tokens_max: Tokens, encoding: EncodingName, mark: str, today: date
) -> SearchMessage:
    """Return the results as a message of at most `tokens_max`, what was held for it.

    Slow (tokenizer): call it in a thread. `mark`, `today`: see `core.search_message`.
    """
    return compose_search_message(
        findings.results,
        mark=mark,
        today=today,
        encoding=encoding,
        text_tokens_max=min(findings.provider.text_tokens_max, tokens_max - FRAME_TOKENS_MAX),
    )


def put_in_front(body: Mapping[str, object], message: SearchMessage) -> dict[str, object]:
    """Return the body with the results before the caller's own messages, which stay as they are."""
    messages = body["messages"]
    own = messages if isinstance(messages, list) else []
    return {**body, "messages": [message.as_message(), *own]}
