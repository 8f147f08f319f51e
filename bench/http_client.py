"""Who asks a gateway that is a server of its own: one kept connection, every read stamped.

Raw, because a client library's own work would be part of every figure.
"""

import asyncio
import re
import time
from collections.abc import Callable

from bench.arrivals import Arrivals, WrongAnswerError

_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
ANSWERED_WITHIN_S = 300.0
_LAST_READS = 4  # the seven bytes of an end lie in no more

type Watch = Callable[[int], None]


class HttpClient(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        """`headers`: sent with each request, besides those that HTTP needs."""
        self._port = port
        self._headers = headers
        self._transport: asyncio.Transport | None = None
        self._arrivals = Arrivals()
        self._done: asyncio.Future[None] | None = None
        self._watch: Watch | None = None
        self._bytes = 0

    async def ask(self, body: bytes, watch: Watch | None = None) -> Arrivals:
        """Send a chat request; return its answer when it is complete.

        `watch` is told, at each read, how many bytes have come.
        """
        if self._transport is None or self._transport.is_closing():
            loop = asyncio.get_running_loop()
            self._transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", self._port)
        self._arrivals, self._watch, self._bytes = Arrivals(), watch, 0
        self._done = asyncio.get_running_loop().create_future()
        request = self._head(len(body)) + body
        self._arrivals.asked_s = time.perf_counter()
        self._transport.write(request)
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            await self._done
        return self._arrivals

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _head(self, length: int) -> bytes:
        lines = [
            "POST /v1/chat/completions HTTP/1.1",
            f"Host: 127.0.0.1:{self._port}",
            "Content-Type: application/json",
            f"Content-Length: {length}",
            *(f"{name}: {value}" for name, value in self._headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def data_received(self, data: bytes) -> None:
        """Stamp a read; see whether it is the last."""
        self._arrivals.reads.append((time.perf_counter(), data))
        self._bytes += len(data)
        if self._watch is not None:
            self._watch(self._bytes)
        if self._done is not None and not self._done.done() and self._is_complete():
            self._done.set_result(None)

    def connection_lost(self, _: Exception | None) -> None:
        """Give up an answer that is under way."""
        self._transport = None
        if self._done is not None and not self._done.done():
            self._done.set_exception(WrongAnswerError(f"cut: {self._arrivals.raw[:600]!r}"))

    def _is_complete(self) -> bool:
        """Return whether the chunked body has ended, or all of a told length has come."""
        tail = b"".join(data for _, data in self._arrivals.reads[-_LAST_READS:])
        if tail.endswith(b"\r\n0\r\n\r\n"):
            return True
        head, end, _ = self._arrivals.reads[0][1].partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        return length is not None and self._bytes == len(head + end) + int(length[1])
