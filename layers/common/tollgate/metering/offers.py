"""The models that may serve one chat order, what each may cost, and the one hold that covers them.

    the model asked for, then its fallbacks ──▶ a quote each ──▶ one ask: the dearest of them

A fallback that the prompt does not fit, or that the hold does not pay for, is no offer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from tollgate.core.quotes import Quote
from tollgate.core.tokens import is_quickly_counted
from tollgate.core.units import Micropoints, Tokens
from tollgate.errors import (
    ContextLengthExceededError,
    UpstreamError,
    UpstreamModelMissingError,
    UpstreamRefusedError,
)
from tollgate.ledger.model import Ask
from tollgate.metering.orders import ChatOrder, quote_order

_log = logging.getLogger("tollgate.request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One model that may serve the order, and its figures."""

    order: ChatOrder
    quote: Quote
    is_fallback: bool = False

    def output_limit(self, held: Micropoints) -> int | None:
        """Return the output limit to set upstream, or None where the caller's own request stands.

        `held`: what the hold pays for.
        """
        order, quote = self.order, self.quote
        if held < quote.worst:
            return quote.output_tokens_for(held)
        asked = order.output_tokens_asked
        is_beyond_model = asked is not None and asked > order.model.output_tokens_max
        # The results take of the context what an upstream might else give to the answer, unpaid;
        # and for a fallback nobody has chosen the limit by its context.
        may_be_narrowed = order.search is not None or self.is_fallback
        is_narrowed = may_be_narrowed and quote.output_tokens_max < order.output_tokens_wanted
        return quote.output_tokens_max if is_beyond_model or is_narrowed else None


async def list_offers(order: ChatOrder) -> tuple[Offer, ...]:
    """Return the offers, the model asked for first.

    In a thread, unless counting is over sooner than a thread is there.

    Raises: ContextLengthExceededError: the prompt is longer than the context of the model asked.
    """
    orders = (order, *order.fallbacks)
    if all(is_quickly_counted(one.body, one.model) for one in orders):
        return _list_offers(order)
    return await asyncio.to_thread(_list_offers, order)


def _list_offers(order: ChatOrder) -> tuple[Offer, ...]:
    own = Offer(order=order, quote=quote_order(order))
    return (own, *_list_fallbacks(order))


def _list_fallbacks(order: ChatOrder) -> Iterator[Offer]:
    for fallback in order.fallbacks:
        with suppress(ContextLengthExceededError):
            yield Offer(order=fallback, quote=quote_order(fallback), is_fallback=True)


def ask_for(offers: Sequence[Offer]) -> Ask:
    """Return what to hold: the worst of the dearest, and no less than the model asked for needs.

    An account that pays for that model alone is served by it alone, in full, and not refused or
    cut short for the sake of a dearer fallback.
    """
    own = offers[0].quote
    is_limited = offers[0].order.output_tokens_asked is not None
    has_dearer = len(offers) > 1 and is_limited
    return Ask(
        worst=max(offer.quote.worst for offer in offers),
        floor=own.worst if has_dearer else own.floor,
        least=own.least,
        is_limited=is_limited,
    )


def keep_paid(offers: Sequence[Offer], held: Micropoints) -> tuple[Offer, ...]:
    """Return the offers that the hold pays for; the first one always is."""
    own, *others = offers
    return (own, *(offer for offer in others if offer.quote.least <= held))


def after_search(
    offers: Sequence[Offer], *, tokens: Tokens, price: Micropoints
) -> tuple[Offer, ...]:
    """Return the offers with what the search's results count and cost, where these fit."""
    own, *others = offers
    fitting = [own, *(offer for offer in others if tokens <= offer.quote.search_tokens)]
    return tuple(
        replace(offer, quote=offer.quote.after_search(tokens=tokens, price=price))
        for offer in fitting
    )


def may_another_serve(error: UpstreamError) -> bool:
    """Whether another model may serve where this error ended the first one's turn.

    A request that the upstream refuses is the caller's to mend; a model that no channel knows is
    not.
    """
    if isinstance(error, UpstreamModelMissingError):
        return True
    return not isinstance(error, UpstreamRefusedError)


async def call_in_turn[T](
    offers: Sequence[Offer],
    ask: Callable[[Offer], Awaitable[T]],
    budget_s: Callable[[], float],
) -> T:
    """Return the first offer's answer, or that of the next one where the error is not the caller's.

    What none of them could serve is told as the model asked for failed: the request was written
    for that one, and another's refusal would be no help. `budget_s`: seconds left for the upstream.
    """
    own, *others = offers
    try:
        return await ask(own)
    except UpstreamError as error:
        if not may_another_serve(error):
            raise
        first = error
    for offer in others:
        if budget_s() <= 0:
            break
        _log.warning("fallback", extra=_fallback_fields(own.order, offer.order))
        with suppress(UpstreamError):
            return await ask(offer)
    raise first


def _fallback_fields(own: ChatOrder, other: ChatOrder) -> dict[str, object]:
    return {
        "request_id": own.request_id,
        "model": own.model.name,
        "fallback": other.model.name,
    }
