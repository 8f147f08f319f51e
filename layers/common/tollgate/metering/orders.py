"""A caller's chat request, checked against catalog and key: what is ordered, at what price."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from tollgate.core.affixes import ModelName
from tollgate.core.answer_ids import completion_id
from tollgate.core.catalog import Catalog, Model
from tollgate.core.prices import Price
from tollgate.core.quotes import Quote
from tollgate.core.tokens import count_prompt
from tollgate.core.units import Tokens
from tollgate.errors import (
    ContextLengthExceededError,
    InvalidRequestError,
)
from tollgate.ledger.model import Key
from tollgate.metering.order_fields import (
    check_refused,
    check_spelling,
    read_count,
    read_model,
    read_typed,
)
from tollgate.metering.web_search import SearchOrder, read_search_order, search_bounds

CHOICES_MAX = 128
_OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")
# What is read here, counted, or set for each channel; and the same within messages and options.
_KNOWN = frozenset(
    {
        *_OUTPUT_LIMITS,
        "functions",
        "messages",
        "modalities",
        "model",
        "n",
        "official",
        "response_format",
        "service_tier",
        "stream",
        "stream_options",
        "tools",
    }
)
_KNOWN_OF_MESSAGE = frozenset({"content", "name", "role", "tool_calls"})
_KNOWN_OF_OPTIONS = frozenset({"include_usage"})
_PLAIN_TIERS = (None, "auto", "default")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOrder:
    """One valid chat request. `body` goes upstream: without affixes and without `official`.

    `search`: what is searched for first, for a `web-` name. `fallbacks`: the same order as other
    models would serve it, in the order in which they are asked where this one's channels fail.
    """

    key: Key
    request_id: str
    name: ModelName
    model: Model
    price: Price
    body: Mapping[str, object]
    is_stream: bool
    has_usage_chunk: bool
    choices: int
    output_tokens_asked: int | None
    tier_percent: int
    search: SearchOrder | None = None
    fallbacks: tuple["ChatOrder", ...] = ()

    @property
    def completion_id(self) -> str:
        """The answer's id."""
        return completion_id(self.request_id)

    @property
    def output_tokens_wanted(self) -> int:
        """The output limit of a choice: the caller's if there is one, at most the model's."""
        most = self.model.output_tokens_max
        return most if self.output_tokens_asked is None else min(self.output_tokens_asked, most)


def read_order(
    body: Mapping[str, object], *, key: Key, request_id: str, catalog: Catalog
) -> ChatOrder:
    """Return the order in `body`.

    Raises: InvalidRequestError: a field that metering reads is missing, of the wrong type or
        oddly spelled, or the catalog refuses one, or a service tier is not sold;
        ModelNotFoundError; WrongModelKindError; ModelNotAllowedError;
        WebSearchUnavailableError: a `web-` name, and no search provider is configured;
        WebSearchQueryMissingError: a `web-` name, and nothing to search for.
    """
    check_spelling(body, _KNOWN)
    name, model, price = read_model(body, kind="chat", key=key, catalog=catalog)
    check_refused(_given(body), model)
    messages = _read_messages(body)
    stream_options: Mapping[str, object] = read_typed(body, "stream_options", dict) or {}
    check_spelling(stream_options, _KNOWN_OF_OPTIONS, within="stream_options.")
    order = ChatOrder(
        key=key,
        request_id=request_id,
        name=name,
        model=model,
        price=price,
        body={field: value for field, value in body.items() if field not in ("model", "official")},
        is_stream=read_typed(body, "stream", bool) or False,
        has_usage_chunk=stream_options.get("include_usage") is True,
        choices=read_count(body, "n", CHOICES_MAX) or 1,
        output_tokens_asked=_read_output_limit(body),
        tier_percent=_read_tier_percent(body, model),
        search=read_search_order(messages, catalog.search) if name.is_web else None,
    )
    return replace(order, fallbacks=tuple(_list_fallbacks(order, catalog)))


def _given(body: Mapping[str, object]) -> Iterator[str]:
    return (field for field, value in body.items() if value is not None)


def _list_fallbacks(order: ChatOrder, catalog: Catalog) -> Iterator[ChatOrder]:
    """Yield the order as each fallback of its model would serve it.

    One that the key may not use, or that does not sell what is asked, is left out: the caller asked
    for another model, whose errors are the ones to tell.
    """
    allowed = order.key.models
    for name in order.model.fallback:
        model = catalog.models[name]
        if model.price is None or (allowed is not None and name not in allowed):
            continue
        with suppress(InvalidRequestError):
            check_refused(_given(order.body), model)
            percent = _read_tier_percent(order.body, model)
            yield replace(order, model=model, price=model.price, tier_percent=percent)


def _read_messages(body: Mapping[str, object]) -> list[object]:
    """Return the messages, checked for what every upstream needs; the rest is theirs to judge."""
    messages = body.get("messages")
    if messages is None:
        raise InvalidRequestError("Missing required parameter: 'messages'.", param="messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequestError("'messages' must be a non-empty array.", param="messages")
    for position, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequestError(
                "Each message must be an object with a string 'role'.",
                param=f"messages[{position}]",
            )
        check_spelling(message, _KNOWN_OF_MESSAGE, within=f"messages[{position}].")
    return messages


def _read_output_limit(body: Mapping[str, object]) -> int | None:
    """Return the smaller of the two limits that a caller may give: upstreams read either."""
    limits = [read_count(body, field, 2**31 - 1) for field in _OUTPUT_LIMITS]
    return min((limit for limit in limits if limit is not None), default=None)


def _read_tier_percent(body: Mapping[str, object], model: Model) -> int:
    """Return the tier's multiplier; an unpriced tier would be sold at the plain price."""
    tier = body.get("service_tier")
    if tier in _PLAIN_TIERS:
        return 100
    percent = model.tier_percents.get(tier) if isinstance(tier, str) else None
    if percent is None:
        raise InvalidRequestError(
            "This service tier is not available for this model.", param="service_tier"
        )
    return percent


def quote_order(order: ChatOrder) -> Quote:
    """Count the prompt and return what the order may cost. Slow (tokenizer): call it in a thread.

    Raises: ContextLengthExceededError: the prompt alone is longer than the model's context.
    """
    context_max = order.model.context_tokens_max
    count = count_prompt(order.body, order.model)
    if count.text_tokens > context_max:
        raise ContextLengthExceededError(
            prompt_tokens=count.text_tokens, context_tokens_max=context_max
        )
    bounds = search_bounds(
        order.search,
        count,
        context_tokens_max=context_max,
        output_tokens_asked=order.output_tokens_asked and order.output_tokens_wanted,
    )
    limit = max(1, min(order.output_tokens_wanted, bounds.output_tokens_max))
    return Quote(
        price=order.price,
        prompt_tokens=Tokens(count.tokens + bounds.tokens),
        output_tokens_max=Tokens(limit),
        choices=order.choices,
        tier_percent=order.tier_percent,
        has_audio_input=_has_audio_input(order.body),
        has_audio_output=_has_audio_output(order.body),
        search_tokens=bounds.tokens,
        search=bounds.price,
    )


def _has_audio_input(body: Mapping[str, object]) -> bool:
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else []:
        content = message.get("content")
        for part in content if isinstance(content, list) else []:
            if isinstance(part, dict) and part.get("type") == "input_audio":
                return True
    return False


def _has_audio_output(body: Mapping[str, object]) -> bool:
    modalities = body.get("modalities")
    return isinstance(modalities, list) and "audio" in modalities
