"""Lambda's Runtime API as a stub: gives an event to whoever waits, and stamps what comes back.

It runs in the process that measures, on its event loop, so that nothing is between the two. The
real runtime and AWS's Web Adapter both speak to it; for the latter it is the Extensions API too,
whose /event/next waits for ever. `local.runtime_api` is the one for serving; this one leaves the
chunks' framing as it came.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Callable

from bench.arrivals import Arrivals, WrongAnswerError

_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
_CHUNKED = re.compile(rb"(?im)^transfer-encoding:\s*chunked")
_END = re.compile(rb"(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n$")
_ARN = "arn:aws:lambda:us-east-1:000000000000:function:bench"
_LIVES_MS = 900_000
_ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
ANSWERED_WITHIN_S = 300.0

type Watch = Callable[[int], None]


class RuntimeApiStub:
    """The API of one sandbox. `waits` is set while the runtime waits for an event."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.waited_at_s = 0.0  # when /next was last asked
        self.failure: bytes | None = None
        self.watch: Watch | None = None
        self._arrivals = Arrivals()
        self._waiting: _Connection | None = None
        self._answered: asyncio.Future[None] | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen on a free port; return host:port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def invoke(self, event: bytes, watch: Watch | None = None) -> Arrivals:
        """Hand out an event; return its answer when that is complete.

        `watch` is told, at each read, how many bytes have come. The runtime may still be at work
        then: `waits` tells.
        """
        await self.waits.wait()
        waiting = self._waiting
        if waiting is None:
            raise WrongAnswerError("nobody waits for an event")
        self.waits.clear()
        self._arrivals, self.watch = Arrivals(), watch
        self._answered = asyncio.get_running_loop().create_future()
        reply = _event_reply(event)
        self._arrivals.asked_s = time.perf_counter()
        waiting.write(reply)
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            await self._answered
        return self._arrivals

    def take_next(self, connection: "_Connection") -> None:
        """Note that the runtime waits for an event."""
        self._waiting, self.waited_at_s = connection, time.perf_counter()
        self.waits.set()

    def take_data(self, data: bytes, bytes_so_far: int) -> None:
        """Note a read of the answer's body."""
        self._arrivals.reads.append((time.perf_counter(), data))
        if self.watch is not None:
            self.watch(bytes_so_far)

    def take_end(self) -> None:
        """Note that the answer is complete."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)

    def take_error(self, body: bytes) -> None:
        """Note that init or an invocation failed; whoever waits is told."""
        self.failure = body
        self.waits.set()
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(WrongAnswerError(body[:600].decode()))


def _event_reply(event: bytes) -> bytes:
    """Return the answer to /next."""
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Lambda-Runtime-Aws-Request-Id: {uuid.uuid4()}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {int(time.time() * 1000) + _LIVES_MS}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: {_ARN}\r\n"
        f"Lambda-Runtime-Trace-Id: Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}\r\n"
        f"Content-Length: {len(event)}\r\n\r\n"
    )
    return head.encode() + event


class _Connection(asyncio.Protocol):
    """One of the runtime's connections: a head, then its body, then the next head."""

    def __init__(self, api: RuntimeApiStub) -> None:
        self._api = api
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._path: str | None = None  # of the request whose body is being read
        self._length: int | None = None  # of that body; None: chunked
        self._bytes = 0
        self._tail = b""

    def write(self, data: bytes) -> None:
        """Send bytes to the runtime."""
        if self._transport is not None:
            self._transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Go on with the head or the body."""
        if self._path is not None:
            self._take_body(data)
            return
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if end:
            self._buffer = b""
            self._begin(head, rest)

    def _begin(self, head: bytes, rest: bytes) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split()
        if method == "GET" and target.endswith("/invocation/next"):
            self._api.take_next(self)
        elif method == "POST":
            self._path, self._bytes, self._tail = target, 0, b""
            length = _LENGTH.search(head)
            self._length = None if _CHUNKED.search(head) else int(length[1]) if length else 0
            if rest or self._length == 0:
                self._take_body(rest)

    def _take_body(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._path is not None and self._path.endswith("/response"):
            self._api.take_data(data, self._bytes)
        self._tail = (self._tail + data)[-8192:]
        if self._length is None:
            is_complete = self._tail.endswith(b"\r\n\r\n") and _END.search(self._tail) is not None
        else:
            is_complete = self._bytes >= self._length
        if is_complete:
            self._finish()

    def _finish(self) -> None:
        path, self._path = self._path or "", None
        if path.endswith("/register"):
            self.write(
                b"HTTP/1.1 200 OK\r\nLambda-Extension-Identifier: bench\r\n"
                b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
            )
        elif path.endswith("/error"):
            self.write(_ACCEPTED)
            self._api.take_error(self._tail)
        else:
            self.write(_ACCEPTED)
            self._api.take_end()
