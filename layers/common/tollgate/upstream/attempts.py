"""One channel asked once, up to its first event or its whole body; and all that can go wrong."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import httpx

from tollgate.core.catalog import Timeouts
from tollgate.core.completion_form import split_completion
from tollgate.core.json_text import dump, parse_object
from tollgate.errors import (
    UpstreamBrokenError,
    UpstreamError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
)
from tollgate.upstream.channels import read_retry_after_s
from tollgate.upstream.connections import ConnectionWatch, send_or_resend
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.refusals import judge_error, judge_event
from tollgate.upstream.sse import ServerEvent
from tollgate.upstream.streams import AnswerBytes, EventStream
from tollgate.upstream.transport import WATCH
from tollgate.upstream.vendor_requests import AnswerShape, VendorRequest
from tollgate.upstream.vendors import Vendor

ERROR_BYTES_MAX = 256 * 1024
# OpenAI's two codes, and the type of pydantic, which many servers answer with.
_UNKNOWN_FIELD_WORDS = frozenset({"unsupported_parameter", "unknown_parameter", "extra_forbidden"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One channel's try at one request.

    `budget_s`: seconds that are left for it in all; `share_s`: that the other channels leave it to
    begin in. `secrets` must not be repeated to the caller;
    `renamed`: the model's name at this channel, and the one that the caller is told.
    """

    http: httpx.AsyncClient
    vendor: Vendor
    channel: str
    request: VendorRequest
    shape: AnswerShape
    timeouts: Timeouts
    budget_s: float
    share_s: float
    secrets: tuple[str, ...] = field(repr=False)
    renamed: tuple[str, str]

    async def open_stream(self) -> EventStream:
        """Return the stream once its answer has begun, made of a whole one where that came.

        Raises: ChannelFailedError; UpstreamRefusedError: the vendor refuses this request.
        """
        async with self._answer() as (answer, stack, timer):
            if not await self._is_whole(answer, timer):
                return await self._begin_stream(answer, stack, timer)
            whole = await self._read_whole(answer, timer)
            stream = self._new_stream(answer)
            chunks = [dump(chunk).decode() for chunk in split_completion(whole)]
            stream.replay(ServerEvent(data=data) for data in [*chunks, "[DONE]"])
            return stream

    async def complete(self) -> dict[str, object]:
        """Return the whole answer, a JSON object with the list that it must have.

        Raises as `open_stream`.
        """
        async with self._answer() as (answer, _, timer):
            return await self._read_whole(answer, timer)

    async def open_either(self) -> EventStream | dict[str, object]:
        """Return the stream once its answer has begun, or a whole answer sent in its place."""
        async with self._answer() as (answer, stack, timer):
            if await self._is_whole(answer, timer):
                return await self._read_whole(answer, timer)
            return await self._begin_stream(answer, stack, timer)

    async def _is_whole(self, answer: AnswerBytes, timer: asyncio.Timeout) -> bool:
        """Whether JSON came where events were asked for; what is called so is waited for as such.

        The vendor may have billed for it: it is served, and no other channel asked. Where it turns
        out to be events, their first one has its limit again.
        """
        first_byte_at_s, silence_s = timer.when(), math.inf
        if answer.is_named_json:
            timer.reschedule(None)
            silence_s = self._opening_s
        is_json = await answer.is_json(silence_s)
        if not is_json:
            timer.reschedule(first_byte_at_s)
        return is_json

    def _new_stream(self, answer: AnswerBytes) -> EventStream:
        return EventStream(
            self.channel,
            answer,
            decoder=self.vendor.open_decoder(self.shape.event_bytes_max),
            silence_s=self.timeouts.between_bytes_s,
            secrets=self.secrets,
            renamed=self.renamed,
        )

    async def _begin_stream(
        self, answer: AnswerBytes, stack: AsyncExitStack, timer: asyncio.Timeout
    ) -> EventStream:
        stream = self._new_stream(answer)
        await stream.begin(
            self._judge_event,
            self.shape.opens,
            lambda: timer.reschedule(None),
            silence_s=self._opening_s,
        )
        stack.pop_all()
        return stream

    async def _read_whole(self, answer: AnswerBytes, timer: asyncio.Timeout) -> dict[str, object]:
        timer.reschedule(None)
        body = await answer.read_all(
            bytes_max=self.shape.whole_bytes_max, silence_s=self._opening_s
        )
        return self._read_completion(body)

    def _read_completion(self, body: bytes) -> dict[str, object]:
        try:
            raw = dict(self.vendor.read_answer(parse_object(body)))
        except ValueError as error:
            raise ChannelFailedError("unavailable", is_resting=False) from error
        failure = self._judge_event("message", raw)
        if failure is not None:
            raise failure
        if not self.shape.has_items(raw):
            raise ChannelFailedError("unavailable", is_resting=False)
        return raw

    @asynccontextmanager
    async def _answer(
        self,
    ) -> AsyncIterator[tuple[AnswerBytes, AsyncExitStack, asyncio.Timeout]]:
        """Yield the answer's bytes, what closes them, and the timer of the first byte."""
        deadline_s = asyncio.get_running_loop().time() + self._total_s
        try:
            async with (
                asyncio.timeout_at(deadline_s) as timer,
                AsyncExitStack() as stack,
            ):
                response = await self._send(timer, deadline_s)
                stack.push_async_callback(response.aclose)
                answer = AnswerBytes(response, deadline_s=deadline_s)
                await self._check(response, answer)
                yield answer, stack, timer
        except (TimeoutError, httpx.TimeoutException, UpstreamTimeoutError) as error:
            raise ChannelFailedError("timeout") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ChannelFailedError("unavailable") from error
        except UpstreamBrokenError as error:
            raise ChannelFailedError("unavailable", is_resting=False) from error

    @property
    def _opening_s(self) -> float:
        """The longest silence, either way, while another channel may still be asked."""
        return min(self.timeouts.between_bytes_s, self.share_s)

    @property
    def _total_s(self) -> float:
        return min(self.timeouts.total_s, self.budget_s)

    async def _check(self, response: httpx.Response, answer: AnswerBytes) -> None:
        """Raise what an answer other than 2xx stands for."""
        if response.is_success:
            return
        body = b""
        with contextlib.suppress(UpstreamError):
            body = await answer.read_all(bytes_max=ERROR_BYTES_MAX)
        status, error = self.vendor.read_error(response.status_code, response.headers, body)
        verdict = judge_error(
            status,
            error,
            retry_after_s=read_retry_after_s(response.headers, time.time()),
            secrets=self.secrets,
            renamed=self.renamed,
        )
        raise self._spare_caller(verdict)

    def _judge_event(
        self, event: str, raw: Mapping[str, object]
    ) -> ChannelFailedError | UpstreamRefusedError | None:
        verdict = judge_event(event, raw, secrets=self.secrets, renamed=self.renamed)
        return verdict and self._spare_caller(verdict)

    def _spare_caller(
        self, verdict: ChannelFailedError | UpstreamRefusedError
    ) -> ChannelFailedError | UpstreamRefusedError:
        """Return a refusal as the channel's fault where it is of a field that we have added.

        Or of one into which we have put the caller's value, if it is the name that is refused.
        """
        if not isinstance(verdict, UpstreamRefusedError):
            return verdict
        name = (verdict.param or "").partition(".")[0]
        is_name_refused = bool({verdict.code, verdict.error_type} & _UNKNOWN_FIELD_WORDS)
        ours = self.request.own_fields | (self.request.own_names if is_name_refused else set())
        if name not in ours:
            return verdict
        return ChannelFailedError("configuration", status=verdict.status, is_resting=False)

    async def _send(self, timer: asyncio.Timeout, deadline_s: float) -> httpx.Response:
        watch = _Watch(timer, first_byte_s=self.timeouts.first_byte_s, deadline_s=deadline_s)
        return await send_or_resend(lambda: self._send_once(watch), watch)

    async def _send_once(self, watch: "_Watch") -> httpx.Response:
        limits = {"connect": self.timeouts.connect_s, "write": self._opening_s}
        # Not by the client's `build_request`, which parses the address and merges headers anew.
        request = httpx.Request(
            "POST",
            _parse_url(self.request.url),
            headers=self.request.headers,
            content=self.request.content,
            extensions={"timeout": limits, WATCH: watch},
        )
        return await self.http.send(request, stream=True)


@lru_cache(maxsize=256)
def _parse_url(url: str) -> httpx.URL:
    return httpx.URL(url)


class _Watch(ConnectionWatch):
    """Starts the wait for the first byte once the request has been sent."""

    def __init__(self, timer: asyncio.Timeout, *, first_byte_s: float, deadline_s: float) -> None:
        super().__init__()
        self._timer = timer
        self._first_byte_s = first_byte_s
        self._deadline_s = deadline_s

    def note_sent(self) -> None:
        """Start the wait."""
        super().note_sent()
        now_s = asyncio.get_running_loop().time()
        self._timer.reschedule(min(now_s + self._first_byte_s, self._deadline_s))
