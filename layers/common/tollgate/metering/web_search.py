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
    has_system_front,
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
    """The most that a search can add: prompt tokens, its message's frame included, and a price.

    `output_tokens_max`: what is then left of the context for an answer; may be below 1.
    """

    output_tokens_max: int
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
    order: SearchOrder | None,
    count: PromptCount,
    *,
    context_tokens_max: int,
    output_tokens_asked: int | None,
) -> SearchBounds:
    """Return what has to be held for the search, nothing where there is none, and what it leaves.

    The results are cut rather than the prompt refused or the answer shortened: they get what prompt
    and asked output leave of the context, or half of what the prompt leaves where no output limit
    was asked for.

    `output_tokens_asked`: the caller's limit, at most the model's.

    Raises: ContextLengthExceededError: not even a message without results fits beside the prompt.
    """
    if order is None:
        # Only counted text narrows the output: images and files are estimates that err upward.
        return SearchBounds(output_tokens_max=context_tokens_max - count.text_tokens)
    least = count.text_tokens + count.overhead_tokens + FRAME_TOKENS_MAX
    room = context_tokens_max - least
    if room < 0:
        raise ContextLengthExceededError(prompt_tokens=least, context_tokens_max=context_tokens_max)
    wanted = max(provider.text_tokens_max for provider in order.providers)
    free = room // 2 if output_tokens_asked is None else max(0, room - output_tokens_asked)
    added = min(wanted, free)
    return SearchBounds(
        output_tokens_max=room - added,
        tokens=Tokens(FRAME_TOKENS_MAX + added),
        price=max(provider.price for provider in order.providers),
    )


def compose(
    findings: Findings,
    body: Mapping[str, object],
    *,
    tokens_max: Tokens,
    encoding: EncodingName,
    mark: str,
    today: date,
) -> SearchMessage:
    """Return the results as a message for `body` of at most `tokens_max`, what was held for it.

    Slow (tokenizer): call it in a thread. `mark`, `today`: see `core.search_message`.
    """
    return compose_search_message(
        findings.results,
        mark=mark,
        today=today,
        encoding=encoding,
        text_tokens_max=min(findings.provider.text_tokens_max, tokens_max - FRAME_TOKENS_MAX),
        is_joined=has_system_front(_messages(body)),
    )


def put_in_front(body: Mapping[str, object], message: SearchMessage) -> dict[str, object]:
    """Return the body with the results before the caller's own messages."""
    return {**body, "messages": message.put_in_front(_messages(body))}


def _messages(body: Mapping[str, object]) -> list[object]:
    messages = body["messages"]
    return messages if isinstance(messages, list) else []
