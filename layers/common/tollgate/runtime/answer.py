"""The ASGI conversation of one invocation, streamed as it goes.

waiting ── http.response.start ─▶ started ── first body ─▶ streaming ── last body ─▶ ended
  │ app raises: a 500 of its own        │ app raises: error trailers          │ app goes on:
  ▼                                     ▼                                     ▼ its own affair
"""

import asyncio
import json
import logging
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from enum import Enum, auto
from typing import Any

from tollgate.runtime.stream import (
    END,
    ResponseStream,
    make_chunk,
    make_prelude,
    make_trailers,
)

type Message = MutableMapping[str, Any]
type Send = Callable[[Message], Awaitable[None]]
type Receive = Callable[[], Awaitable[Message]]
type App = Callable[[Any, Any, Any], Awaitable[None]]

_log = logging.getLogger("runtime")
_ERROR_BODY = json.dumps(
    {
        "error": {
            "message": "The server had an error while processing your request.",
            "type": "server_error",
            "param": None,
            "code": "internal_error",
        }
    }
).encode()
_ERROR_HEADERS = [(b"content-type", b"application/json")]


class State(Enum):
    """How far the answer has come; see the module's drawing."""

    WAITING = auto()
    STARTED = auto()
    STREAMING = auto()
    ENDED = auto()


class StreamedAnswer:
    """An app, the request that it is to answer, and where the answer stands."""

    def __init__(self, app: App, scope: dict[str, Any], body: bytes) -> None:
        self._app = app
        self._scope = scope
        self._requests: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self._state = State.WAITING
        self._status = 200
        self._headers: list[tuple[bytes, bytes]] = []
        self._ended = asyncio.Event()
        self._stream: ResponseStream  # from `run` on

    async def run(self, stream: ResponseStream) -> None:
        """Run the app to its end; the answer is complete at the Runtime API when this returns.

        Never raises for the app's sake: what it raises is logged and told to the client.
        """
        self._stream = stream
        try:
            await self._app(self._scope, self._receive, self._send)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the outermost place
            # Nobody cancels this task: an app that lets its own cancellation out has failed.
            log_failure(error)
            await self._fail(type(error).__name__)
        else:
            if self._state is not State.ENDED:
                _log.error("the app returned before its response was complete")
                await self._fail("IncompleteResponse")
        await stream.wait_closed()

    async def _receive(self) -> Message:
        if self._requests:
            return self._requests.pop()
        await self._ended.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._state is State.WAITING:
            self._status = message["status"]
            self._headers = list(message.get("headers", []))
            self._state = State.STARTED
            return
        if message["type"] != "http.response.body" or self._state not in _OPEN_STATES:
            raise RuntimeError(f"unexpected {message['type']} when {self._state.name.lower()}")
        body, is_last = message.get("body", b""), not message.get("more_body")
        chunk = make_chunk(body) if body else b""
        if self._state is State.STARTED:
            prelude = make_prelude(self._status, self._headers, is_empty=is_last and not body)
            self._state = State.STREAMING
            await self._stream.open(make_chunk(prelude) + chunk)
        elif chunk:
            await self._stream.write(chunk)
        if is_last:
            await self._end(END)

    async def _end(self, end: bytes) -> None:
        self._state = State.ENDED
        try:
            await self._stream.close(end)
        finally:
            self._ended.set()  # not before: at http.disconnect apps cancel what still sends

    async def _fail(self, error_type: str) -> None:
        """Tell the client: as a 500 if nothing has gone out, else in the trailers."""
        if self._state is State.STREAMING:
            await self._end(make_trailers(error_type, "the response broke off"))
        elif self._state is not State.ENDED:
            prelude = make_prelude(500, _ERROR_HEADERS)
            await self._stream.open(make_chunk(prelude) + make_chunk(_ERROR_BODY))
            await self._end(END)


_OPEN_STATES = (State.STARTED, State.STREAMING)


def log_failure(error: BaseException) -> None:
    """Log where an error arose, without its text: that could quote a request's body."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    _log.error("the app raised %s in %s", type(error).__name__, where[-1], extra={"trace": where})
