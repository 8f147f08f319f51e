"""Images from order to settled charge. `web.responses` sends what this yields.

    ImageJob.completion()    one JSON object                              then close()
    ImageJob.frames()        partial images, then a completed event each   then close()

An image is sold when it has come: a whole answer without one is no answer, and of a stream that
breaks off the completed images are charged. The journal is written before the last of them is sent.
Only a preview is not sold; every other event with an image is one that was made.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime

from tollgate.core.image_form import (
    ImageForm,
    has_image,
    keep_partial,
    reshape_event,
    reshape_images,
    split_into_events,
)
from tollgate.core.image_tally import ImageTally
from tollgate.core.image_usage import image_usage_json
from tollgate.core.json_text import dump, parse_object, with_quota
from tollgate.core.metrics import RequestMetrics
from tollgate.core.prices import Usage
from tollgate.core.units import Micropoints
from tollgate.errors import UpstreamBrokenError, UpstreamError, UpstreamUnavailableError
from tollgate.ledger.model import Ask, Outcome
from tollgate.metering.charge import Charge
from tollgate.metering.chat import Metering
from tollgate.metering.image_orders import ImageOrder, quote_image_order
from tollgate.metering.jobs import answered_by, make_record, make_reservation, tell_charged
from tollgate.upstream.client import Completion, EventStream
from tollgate.upstream.image_calls import ImageCall
from tollgate.upstream.sse import ServerEvent

_NAMELESS = "message"  # what an event without a name is called
_PARTIAL = ".partial_image"
_COMPLETED_KINDS = {"edits": "image_edit.completed"}


class ImageJob:
    """One image request while it is served, a `Job`."""

    def __init__(
        self,
        metering: Metering,
        order: ImageOrder,
        budget_s: Callable[[], float],
        since: datetime | None = None,
        *,
        is_padded: bool = False,
        metrics: RequestMetrics | None = None,
    ) -> None:
        """See `Metering.start`."""
        self._is_padded = is_padded
        self._metrics = metrics or RequestMetrics()
        self._metering = metering
        self._order = order
        self._budget_s = budget_s
        self._since = since or metering.now()
        self._now = int(self._since.timestamp())
        self._charge: Charge | None = None
        self._tally: ImageTally | None = None
        self._channel = ""
        self._is_concluded = False

    @property
    def headers(self) -> dict[str, str]:
        """Who has answered. Nothing is lowered for images: they are paid for, or refused."""
        return answered_by(self._channel)

    async def completion(self) -> bytes:
        """Serve the order as one JSON object.

        Raises: any TollgateError; nothing is charged then.
        """
        call = await self._reserve()
        form, quota = await self._take_whole(await self._metering.upstream.complete(call))
        tally = self._require_tally()
        payload = {**form.head, "data": form.items}
        if tally.is_shown:
            payload["usage"] = image_usage_json(tally.usage)
        return self._with_quota(dump(payload), quota)

    async def frames(self) -> AsyncGenerator[bytes]:
        """Serve the order as SSE frames, each event as soon as it has come.

        Raises: any TollgateError. Images that were completed before are charged.
        """
        call = await self._reserve()
        answer = await self._metering.upstream.open_either(call)
        if isinstance(answer, Completion):
            for frame in await self._whole_as_frames(answer):
                yield frame
            return
        async with aclosing(answer):
            self._channel = answer.channel
            try:
                async for frame in self._relay(answer):
                    yield frame
            except UpstreamError as error:
                answer.note_broken(error)
                self._metrics.note_failure(answer.channel)
                await self._conclude_broken()
                raise
            answer.note_complete()

    async def close(self) -> None:
        """End the hold: settle, or charge the images that came, or release."""
        if self._charge is None:
            return
        try:
            await self._conclude_broken()
        finally:
            await self._charge.close()

    async def _reserve(self) -> ImageCall:
        """Count, hold all that the request can cost, and return the upstream call."""
        order = self._order
        self._metering.upstream.look()
        quote = await asyncio.to_thread(quote_image_order, order)
        self._tally = ImageTally(quote)
        # No part of an image can be had for less: it is held whole, or refused.
        ask = Ask(worst=quote.worst, floor=quote.worst, least=quote.worst, is_limited=True)
        reservation = make_reservation(order, ask, self._since)
        self._charge = Charge(
            self._metering.ledger, reservation, self._budget_s, metrics=self._metrics
        )
        await self._charge.reserve()
        return ImageCall(
            model=order.model,
            task=order.task,
            body=order.body.upstream,
            is_stream=order.is_stream,
            is_padded=self._is_padded,
            budget_s=self._budget_s,
            metrics=self._metrics,
        )

    async def _take_whole(self, answer: Completion) -> tuple[ImageForm, Micropoints]:
        self._channel = answer.channel
        form = reshape_images(answer.body, now=self._now)
        if form is None:
            raise UpstreamUnavailableError
        self._require_tally().add(form)
        quota = await self._price()
        await self._journal(quota, "complete")
        return form, quota

    async def _whole_as_frames(self, answer: Completion) -> list[bytes]:
        """Return a whole answer as the events that were asked for; the last has the usage."""
        form, quota = await self._take_whole(answer)
        tally = self._require_tally()
        usage = tally.usage if tally.is_shown else None
        events = split_into_events(form, self._completed_kind)
        return self._completed_frames(events, usage, quota, is_named=True)

    async def _relay(self, events: EventStream) -> AsyncIterator[bytes]:
        """Yield the frames of each event, until all images are there or the upstream ends."""
        async for event in events:
            if event.data.strip() == "[DONE]":
                break
            raw = _parse_event(event.data)
            failure = events.find_error(event, raw)
            if failure:
                raise failure
            for frame in await self._take_event(event, raw):
                yield frame
            if self._is_concluded:
                return
        if not self._require_tally().made:
            raise UpstreamBrokenError
        await self._journal(await self._price(), "complete")

    async def _take_event(self, event: ServerEvent, raw: Mapping[str, object]) -> list[bytes]:
        """Return what the caller gets of an event: a preview, images, or nothing."""
        if not _is_partial(event, raw):
            return await self._complete(event, raw)
        if not has_image(raw):
            return []
        self._require_tally().add_partial()
        kept = keep_partial(raw)
        return [_frame(event.event, _one_line(event.data, raw) if kept is raw else dump(kept))]

    async def _complete(self, event: ServerEvent, raw: Mapping[str, object]) -> list[bytes]:
        """Return an event's images as completed ones, their quota all that was made so far."""
        form = reshape_event(raw, kind=self._completed_kind, now=self._now)
        if form is None:
            return []
        tally = self._require_tally()
        usage = tally.add(form)
        quota = await self._price()
        if tally.is_complete:
            await self._journal(quota, "complete")
        is_named = event.event != _NAMELESS
        return self._completed_frames(form.items, usage, quota, is_named=is_named)

    def _completed_frames(
        self,
        events: Sequence[dict[str, object]],
        usage: Usage | None,
        quota: Micropoints,
        *,
        is_named: bool,
    ) -> list[bytes]:
        """Return a frame an event; the last has the usage."""
        if usage is not None:
            events[-1]["usage"] = image_usage_json(usage)
        name = self._completed_kind if is_named else _NAMELESS
        return [_frame(name, self._with_quota(dump(event), quota)) for event in events]

    @property
    def _completed_kind(self) -> str:
        return _COMPLETED_KINDS.get(self._order.task, "image_generation.completed")

    def _with_quota(self, body: bytes, quota: Micropoints) -> bytes:
        return body if self._order.name.is_official else with_quota(body, quota)

    async def _conclude_broken(self) -> None:
        """Charge the images that came of an answer that will not be finished."""
        if self._tally is not None and self._tally.made and not self._is_concluded:
            await self._journal(await self._price(), "broken")

    async def _price(self) -> Micropoints:
        return await self._require_charge().cover(self._require_tally().cost)

    async def _journal(self, quota: Micropoints, outcome: Outcome) -> None:
        self._is_concluded = True
        record = make_record(
            self._order,
            self._require_tally().usage,
            quota,
            endpoint=f"images.{self._order.task}",
            channel=self._channel,
            since=self._since,
            finished_at=self._metering.now(),
            outcome=outcome,
        )
        tell_charged(self._metrics, await self._require_charge().journal(record))

    def _require_tally(self) -> ImageTally:
        if self._tally is None:
            raise AssertionError("the order is quoted first")
        return self._tally

    def _require_charge(self) -> Charge:
        if self._charge is None:
            raise AssertionError("the money is reserved first")
        return self._charge


def _parse_event(data: str) -> Mapping[str, object]:
    try:
        return parse_object(data)
    except ValueError as error:
        raise UpstreamBrokenError from error


def _is_partial(event: ServerEvent, raw: Mapping[str, object]) -> bool:
    """Whether an event is a preview by every name that it has."""
    names = [event.event] if event.event != _NAMELESS else []
    kind = raw.get("type")
    names += [kind] if isinstance(kind, str) else []
    return bool(names) and all(name.endswith(_PARTIAL) for name in names)


def _one_line(data: str, raw: Mapping[str, object]) -> bytes:
    """Return an event's data as it came; what the vendor spread over lines is put on one."""
    return dump(raw) if "\n" in data else data.encode(errors="replace")


def _frame(event: str, body: bytes) -> bytes:
    """Return an SSE frame, named as the upstream named it: "message" is no name."""
    return b"%bdata: %b\n\n" % (
        b"" if event == _NAMELESS else b"event: %b\n" % event.encode(),
        body,
    )
