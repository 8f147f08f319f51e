"""The metered answer: starts when the outcome is known, stays alive, settles at the end.

A stream is kept alive by comments; a whole answer by whitespace before it, where its caller asked
for that: the first of it commits status 200, so that an error comes as a body under it.

Settling is done here and nowhere else, in the response's own `__call__`: a background task never
runs when a send fails, and a generator's `finally` is cancelled at its first await.

An answer that cannot be sent to its end, because its caller has gone or does not read, is left
without one: the runtime tells by its trailers. An error behind half a body would be part of it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Protocol

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tollgate.core.metrics import RequestMetrics
from tollgate.metering.jobs import Job
from tollgate.web.errors import JSON_HEADERS, answer_error, log_if_ours
from tollgate.web.metrics import find_metrics, note_error
from tollgate.web.requests import find_budget_s, find_request_time, find_send_s, wants_padding
from tollgate.web.services import utc_now
from tollgate.web.wire import SendError, Wire

_log = logging.getLogger("tollgate.web")
STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
KEEPALIVE_FRAME = b": keep-alive\n\n"
KEEPALIVE_SPACE = b" "


class StartJob(Protocol):
    """Makes the job of an order; see `Metering.start`."""

    def __call__(
        self,
        budget_s: Callable[[], float],
        since: datetime,
        *,
        is_padded: bool,
        metrics: RequestMetrics,
    ) -> Job:
        """Return the job; nothing has happened yet."""


def make_metered_response(
    request: Request, start: StartJob, *, is_stream: bool, keepalive_s: float
) -> "MeteredResponse":
    """Return the response to a request whose order is read: how long it has, how its caller waits.

    `keepalive_s`: see `MeteredResponse`.

    Raises: InvalidRequestError: see `wants_padding`.
    """
    is_padded = wants_padding(request) and not is_stream and keepalive_s > 0
    is_silent = not (is_stream or is_padded) or keepalive_s == 0
    job = start(
        find_budget_s(request.scope, is_silent=is_silent),
        find_request_time(request.scope, utc_now()),
        is_padded=is_padded,
        metrics=find_metrics(request.scope),
    )
    return MeteredResponse(job, is_stream=is_stream, keepalive_s=keepalive_s, is_padded=is_padded)


class MeteredResponse(Response):
    """Runs one job: sends what it yields, or its error, and closes it whatever happens."""

    def __init__(
        self, job: Job, *, is_stream: bool, keepalive_s: float, is_padded: bool = False
    ) -> None:
        """`keepalive_s`: the silence after which a comment is sent; 0: never.

        `is_padded`: a whole answer is kept alive too, by spaces before it.
        """
        super().__init__()
        self._job = job
        self._is_stream = is_stream
        self._keepalive_s = keepalive_s if is_stream or is_padded else 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer, then settle: also when the caller has gone or the server is cancelled."""
        wire = Wire(send, find_send_s(scope))
        try:
            if self._is_stream:
                await self._stream(wire, _FirstByte(scope))
            else:
                await self._answer(wire)
        except SendError as error:
            _log_unsent(error)
        except Exception as error:  # noqa: BLE001 - the last row of the error table
            note_error(scope, error)
            await _send_error(wire, error, is_stream=self._is_stream)
        finally:
            with anyio.CancelScope(shield=True):
                await self._job.close()

    async def _answer(self, wire: Wire) -> None:
        def headers() -> Mapping[str, str]:
            return JSON_HEADERS | self._job.headers

        async with _KeepAlive(wire, self._keepalive_s, headers, KEEPALIVE_SPACE):
            body = await self._job.completion()
        if not wire.is_started:
            await wire.start(200, headers())
        await wire.end(body)

    async def _stream(self, wire: Wire, first_byte: "_FirstByte") -> None:
        def headers() -> Mapping[str, str]:
            return STREAM_HEADERS | self._job.headers

        beat = _KeepAlive(wire, self._keepalive_s, headers, KEEPALIVE_FRAME)
        async with beat, aclosing(self._job.frames()) as frames:
            async for frame in frames:
                first_byte.note()
                await wire.write(frame, headers)
        await wire.end()


class _FirstByte:
    """How long a stream's caller waited for what was asked for: keep-alives do not count."""

    def __init__(self, scope: Scope) -> None:
        self._since = find_request_time(scope, utc_now())
        self._metrics = find_metrics(scope)

    def note(self) -> None:
        """Call it before each frame; the first one counts."""
        if self._metrics.first_byte_ms is None:
            waited_s = (utc_now() - self._since).total_seconds()
            self._metrics.first_byte_ms = max(0, int(waited_s * 1000))


async def _send_error(wire: Wire, error: Exception, *, is_stream: bool) -> None:
    """Send the error as an answer of its own, or as the end of one that has begun."""
    log_if_ours(error)
    answer = answer_error(error)
    try:
        if wire.is_started:
            await wire.end(answer.frame if is_stream else answer.body)
        else:
            await wire.start(answer.status, JSON_HEADERS | answer.headers)
            await wire.end(answer.body)
    except SendError as failure:
        _log_unsent(failure)


def _log_unsent(error: SendError) -> None:
    is_slow = isinstance(error.__cause__, TimeoutError)
    reason = "its caller does not read" if is_slow else "its caller has gone"
    _log.warning("an answer was not sent to its end: %s", reason)


class _KeepAlive:
    """Sends `filler` whenever nothing was sent for `keepalive_s`, also as the first piece."""

    def __init__(
        self,
        wire: Wire,
        keepalive_s: float,
        headers: Callable[[], Mapping[str, str]],
        filler: bytes,
    ) -> None:
        self._wire = wire
        self._keepalive_s = keepalive_s
        self._headers = headers
        self._filler = filler
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_over = False

    async def __aenter__(self) -> None:
        if self._keepalive_s > 0:
            self._set_timer(self._keepalive_s)

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _set_timer(self, after_s: float) -> None:
        """Look again later. A timer, since a task would cost each request more than it."""
        self._timer = asyncio.get_running_loop().call_later(max(0.01, after_s), self._look)

    def _look(self) -> None:
        left_s = self._keepalive_s - self._wire.silent_s
        if left_s > 0:
            self._set_timer(left_s)
        else:
            self._task = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        with suppress(SendError):  # the answer will meet it too
            await self._wire.write(self._filler, self._headers)
            if not self._is_over:
                self._set_timer(self._keepalive_s)
