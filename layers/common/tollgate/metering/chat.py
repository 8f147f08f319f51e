"""A chat completion from order to settled charge. `web.responses` sends what this yields.

    ChatJob.completion()     one JSON object                 then close()
    ChatJob.frames()         SSE frames, [DONE] the last      then close()

A `web-` name is searched for once the money is held, before the upstream is called. Where every
channel of the model has failed, its fallbacks are asked, and the request is theirs from there on.
`close` always follows, whatever was raised: it is where the hold ends.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from tollgate.core.completion_form import CompletionForm, reshape_completion
from tollgate.core.json_text import dump, with_quota
from tollgate.core.metrics import RequestMetrics
from tollgate.core.prices import Usage, charge
from tollgate.core.quotes import Quote
from tollgate.core.search_results import SearchResult
from tollgate.core.stream_form import StreamForm
from tollgate.core.tokens import count_text
from tollgate.core.units import Micropoints, Tokens
from tollgate.core.usage import usage_json
from tollgate.errors import (
    UpstreamError,
    UpstreamUnavailableError,
    WebSearchUnavailableError,
)
from tollgate.ledger.model import Ledger, Outcome, UsageRecord
from tollgate.metering.charge import Charge
from tollgate.metering.jobs import (
    answered_by,
    header_text,
    make_record,
    make_reservation,
    tell_charged,
)
from tollgate.metering.offers import (
    Offer,
    after_search,
    ask_for,
    call_in_turn,
    keep_paid,
    list_offers,
)
from tollgate.metering.orders import ChatOrder
from tollgate.metering.relay import DONE_FRAME, Relay, choose_view
from tollgate.metering.tails import relay_events
from tollgate.metering.web_search import Searcher, SearchOrder, compose, put_in_front
from tollgate.upstream.client import ChatCall, Upstream

ENDPOINT = "chat.completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metering:
    """What every job of this process shares.

    `searcher` None: `web-` names are not served. `now` returns aware UTC; `draw_mark` what no web
    page can know, anew at each call (see `core.search_message`).
    """

    ledger: Ledger
    upstream: Upstream
    searcher: Searcher | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    draw_mark: Callable[[], str] = lambda: secrets.token_hex(8)

    async def aclose(self) -> None:
        """Close all connections to vendors; the searcher's are the same."""
        await self.upstream.aclose()

    def start(
        self,
        order: ChatOrder,
        budget_s: Callable[[], float],
        since: datetime | None = None,
        *,
        is_padded: bool = False,
        metrics: RequestMetrics | None = None,
    ) -> "ChatJob":
        """Return the job for one order; nothing has happened yet.

        `budget_s`: seconds left until the upstream must be stopped. `since`: when the request
        came, the same for every run of it; None: now. `is_padded`: a whole answer's caller is kept
        alive meanwhile. `metrics` are filled on the way.
        """
        return ChatJob(
            self,
            order,
            budget_s,
            since or self.now(),
            is_padded=is_padded,
            metrics=metrics or RequestMetrics(),
        )


class ChatJob:
    """One request while it is served."""

    def __init__(
        self,
        metering: Metering,
        order: ChatOrder,
        budget_s: Callable[[], float],
        since: datetime,
        *,
        is_padded: bool,
        metrics: RequestMetrics,
    ) -> None:
        self._is_padded = is_padded
        self._metrics = metrics
        self._metering = metering
        self._order = order
        self._budget_s = budget_s
        self._since = since
        self._charge: Charge | None = None
        self._quote: Quote | None = None
        self._offers: tuple[Offer, ...] = ()
        self._body = order.body
        self._is_fallback = False
        self._hold_amount = Micropoints(0)
        self._relay: Relay | None = None
        self._output_limit: int | None = None
        self._search_results: tuple[SearchResult, ...] = ()
        self._channel = ""
        self._is_concluded = False

    @property
    def headers(self) -> dict[str, str]:
        """What the answer's header says of the metering, known once the upstream has answered."""
        headers = answered_by(self._channel)
        if self._is_fallback and self._channel:
            headers["x-tollgate-model"] = header_text(self._order.model.name)
        if self._output_limit is not None:
            headers["x-tollgate-output-limit"] = str(self._output_limit)
        return headers

    async def completion(self) -> bytes:
        """Serve the order as one JSON object.

        Raises: any TollgateError; nothing is charged then.
        """
        await self._reserve()
        answer = await self._call(self._metering.upstream.complete)
        self._channel = answer.channel
        form = reshape_completion(
            answer.body,
            completion_id=self._order.completion_id,
            model=self._order.model.name,
            now=int(self._since.timestamp()),
            output_tokens_max=self._answer_tokens_max,
        )
        if form is None:
            raise UpstreamUnavailableError
        usage = await self._completion_usage(form)
        quota = await self._conclude(usage, "complete")
        body = dump(form.payload | {"usage": usage_json(usage)} | self._extensions())
        return body if self._order.name.is_official else with_quota(body, quota)

    async def frames(self) -> AsyncGenerator[bytes]:
        """Serve the order as SSE frames, whole ones, those together that came together.

        The first one only when output is certain.

        Raises: any TollgateError. Before the first frame nothing is charged; after it, what was
            sent is.
        """
        await self._reserve()
        events = await self._call(self._metering.upstream.open_stream)
        async with aclosing(events):
            self._channel = events.channel
            relay = self._open_relay()
            try:
                async for frame in relay_events(events, relay):
                    yield frame
            except UpstreamError as error:
                events.note_broken(error)
                self._metrics.note_failure(events.channel)
                await self._conclude_broken(relay)
                raise
            events.note_complete()
        usage = await self._stream_usage(relay)
        quota = await self._price(usage)
        is_at_limit = usage.completion >= self._answer_tokens_max
        if last := relay.end(usage, quota, is_at_limit=is_at_limit):
            yield b"".join(last)
        await self._journal(usage, quota, "complete")
        yield DONE_FRAME

    async def close(self) -> None:
        """End the hold: settle, or charge what was sent, or release. Call it shielded, always."""
        if self._charge is None:
            return
        try:
            if self._relay is not None:
                await self._conclude_broken(self._relay)
        finally:
            await self._charge.close()

    async def _reserve(self) -> None:
        """Count, hold what the dearest model that may serve can cost, and search."""
        order = self._order
        self._metering.upstream.look()
        offers = await list_offers(order)
        self._serve_by(offers[0])
        reservation = make_reservation(order, ask_for(offers), self._since)
        self._charge = Charge(
            self._metering.ledger, reservation, self._budget_s, metrics=self._metrics
        )
        hold = await self._charge.reserve()
        self._hold_amount = hold.amount
        self._offers = keep_paid(offers, hold.amount)
        if order.search is not None:
            await self._search(order.search)

    def _serve_by(self, offer: Offer) -> None:
        """From here on the request is this model's: its price, its name, its limits."""
        self._order, self._quote = offer.order, offer.quote
        self._is_fallback = offer.is_fallback

    async def _call[T](self, ask: Callable[[ChatCall], Awaitable[T]]) -> T:
        """Ask for the model ordered, else for its fallbacks; the request is whose turn it is."""

        def ask_for_offer(offer: Offer) -> Awaitable[T]:
            self._serve_by(offer)
            return ask(self._make_call(offer))

        return await call_in_turn(self._offers, ask_for_offer, self._budget_s)

    def _make_call(self, offer: Offer) -> ChatCall:
        self._output_limit = offer.output_limit(self._hold_amount)
        return ChatCall(
            model=offer.order.model,
            body=self._body,
            output_limit=self._output_limit,
            is_stream=offer.order.is_stream,
            is_padded=self._is_padded,
            budget_s=self._budget_s,
            later_models=len(self._offers) - 1 - self._offers.index(offer),
            metrics=self._metrics,
        )

    async def _search(self, search: SearchOrder) -> None:
        """Put what was found in front of the body; from here on the quotes say what it is."""
        order, quote, metering = self._order, self._require_quote(), self._metering
        if metering.searcher is None:
            raise WebSearchUnavailableError
        findings = await metering.searcher.search(
            search.query, search.providers, budget_s=self._budget_s()
        )
        message = await asyncio.to_thread(
            compose,
            findings,
            order.body,
            tokens_max=quote.search_tokens,
            encoding=order.model.encoding,
            mark=metering.draw_mark(),
            today=self._since.date(),
        )
        price = findings.provider.price
        self._offers = after_search(self._offers, tokens=message.tokens, price=price)
        self._search_results = message.results
        self._body = put_in_front(order.body, message)

    @property
    def _answer_tokens_max(self) -> int:
        """The output tokens that all choices together were allowed."""
        quote = self._require_quote()
        return (self._output_limit or quote.output_tokens_max) * quote.choices

    def _extensions(self) -> dict[str, object]:
        """Return what a `web-` answer says of its search; nothing in OpenAI's own form."""
        if self._order.search is None or self._order.name.is_official:
            return {}
        return {"search_results": [result.json() for result in self._search_results]}

    def _open_relay(self) -> Relay:
        order = self._order
        self._relay = Relay(
            form=StreamForm(
                completion_id=order.completion_id,
                model=order.model.name,
                now=int(self._since.timestamp()),
            ),
            view=choose_view(
                is_official=order.name.is_official, has_usage_chunk=order.has_usage_chunk
            ),
            quote=self._require_quote(),
            quota_max=self._hold_amount,
            last_fields=self._extensions(),
        )
        return self._relay

    async def _completion_usage(self, form: CompletionForm) -> Usage:
        has_output = bool(form.texts or form.audio_tokens)
        if form.usage is not None and (form.usage.completion or not has_output):
            return form.usage
        return await self._count("".join(form.texts), form.audio_tokens)

    async def _stream_usage(self, relay: Relay) -> Usage:
        return relay.reported_usage or await self._count(*relay.counted_output())

    async def _count(self, text: str, audio: int) -> Usage:
        """Tokenise the answer, once, since the upstream reported no usage for it."""
        encoding = self._order.model.encoding
        tokens = await asyncio.to_thread(count_text, text, encoding) if text else 0
        return Usage(
            prompt=self._require_quote().prompt_tokens,
            completion=Tokens(tokens + audio),
            audio_completion=Tokens(audio),
            is_exact=False,
        )

    async def _conclude_broken(self, relay: Relay) -> None:
        """Charge what was sent of an answer that will not be finished; nothing if nothing was."""
        if relay.has_output and not self._is_concluded:
            await self._conclude(await self._stream_usage(relay), "broken")

    async def _conclude(self, usage: Usage, outcome: Outcome) -> Micropoints:
        quota = await self._price(usage)
        await self._journal(usage, quota, outcome)
        return quota

    async def _price(self, usage: Usage) -> Micropoints:
        order = self._order
        quota = charge(
            usage,
            order.price,
            tier_percent=order.tier_percent,
            search=self._require_quote().search,
        )
        return await self._require_charge().cover(quota)

    async def _journal(self, usage: Usage, quota: Micropoints, outcome: Outcome) -> None:
        self._is_concluded = True
        record = self._record(usage, quota, outcome)
        tell_charged(self._metrics, await self._require_charge().journal(record))

    def _record(self, usage: Usage, quota: Micropoints, outcome: Outcome) -> UsageRecord:
        return make_record(
            self._order,
            usage,
            quota,
            endpoint=ENDPOINT,
            channel=self._channel,
            since=self._since,
            finished_at=self._metering.now(),
            searches=1 if self._order.search else 0,
            outcome=outcome,
        )

    def _require_quote(self) -> Quote:
        if self._quote is None:
            raise AssertionError("the order is quoted first")
        return self._quote

    def _require_charge(self) -> Charge:
        if self._charge is None:
            raise AssertionError("the money is reserved first")
        return self._charge
