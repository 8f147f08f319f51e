"""One HTTP answer on its way out: in time, in pieces, each piece whole."""

import asyncio
from collections.abc import Callable, Generator, Mapping
from types import coroutine
from typing import Any

from starlette.types import Message, Send

PIECE_BYTES = 256 * 1024  # what the transport has to copy of a large answer at a time


class SendError(Exception):
    """The answer cannot be sent any further; the cause is the transport's or a TimeoutError."""


class Wire:
    """The way to the caller. The lock keeps a comment from overtaking the status line.

    A caller that does not read must not hold the request beyond the Lambda's time: its money is
    settled after the answer. So all sends together have what is left of that, and not each. All
    methods raise SendError.
    """

    def __init__(self, send: Send, send_s: float) -> None:
        """`send_s`: seconds from now in which everything must be sent."""
        self._loop = asyncio.get_running_loop()
        now_s = self._loop.time()
        self._send = send
        self._ends_at_s = now_s + send_s
        self._lock = asyncio.Lock()
        self._last_write_s = now_s
        self.is_started = False

    @property
    def silent_s(self) -> float:
        """Seconds since anything was sent."""
        return self._loop.time() - self._last_write_s

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Begin the answer."""
        self.is_started = True
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._pass_on({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, body: bytes, headers: Callable[[], Mapping[str, str]]) -> None:
        """Send a piece, behind status 200 and `headers` if it is the first."""
        async with self._lock:
            if not self.is_started:
                await self.start(200, headers())
            self._last_write_s = self._loop.time()
            await self._send_body(body, more_body=True)

    async def end(self, body: bytes = b"") -> None:
        """Send the last piece."""
        await self._send_body(body, more_body=False)

    async def _send_body(self, body: bytes, *, more_body: bool) -> None:
        """Send a body, in pieces if it is large: nothing else comes between them."""
        for start in range(0, max(1, len(body)), PIECE_BYTES):
            end = start + PIECE_BYTES
            is_more = more_body or end < len(body)
            piece = body[start:end]
            await self._pass_on({"type": "http.response.body", "body": piece, "more_body": is_more})

    async def _pass_on(self, message: Message) -> None:
        """Send a message. A timer is set where its first step waits for the caller: seldom."""
        steps = self._send(message).__await__()
        try:
            waited_for = next(steps)
        except StopIteration:
            return
        except OSError as error:
            raise SendError from error
        try:
            async with asyncio.timeout_at(self._ends_at_s):
                await _go_on(steps, waited_for)
        except (OSError, TimeoutError) as error:
            raise SendError from error


@coroutine
def _go_on(steps: Generator[Any, Any], waited_for: Any) -> Generator[Any, Any]:
    """Await what has been begun: first what its first step waits for, then the rest."""
    while True:
        try:
            yield waited_for
        except BaseException as error:  # noqa: BLE001 - it is handed on
            thrown: BaseException | None = error
        else:
            thrown = None
        try:
            waited_for = next(steps) if thrown is None else steps.throw(thrown)
        except StopIteration:
            return
