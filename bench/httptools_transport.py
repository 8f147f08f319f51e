"""What an HTTP client of one's own on httptools' parser would bring: a reference, not to be used.

No TLS, no time-outs, no errors, one connection: only the way that bytes take.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import httptools
import httpx


class HttptoolsTransport(httpx.AsyncBaseTransport):
    """Sends one request at a time over one connection that is kept."""

    def __init__(self) -> None:
        self._connection: _Connection | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and return the answer once its head has come."""
        if self._connection is None:
            loop = asyncio.get_running_loop()
            url = request.url
            _, self._connection = await loop.create_connection(
                _Connection, url.host, url.port or 80
            )
        connection = self._connection
        lines = [b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
        lines += [b"%b: %b" % pair for pair in request.headers.raw]
        connection.send(b"\r\n".join([*lines, b"", request.content]))
        await connection.wait()
        return httpx.Response(connection.status, headers=connection.headers, stream=connection)

    async def aclose(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()


class _Connection(asyncio.Protocol, httpx.AsyncByteStream):
    def send(self, request: bytes) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._is_whole = False
        self._waiter: asyncio.Future[None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(request)

    async def wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if self.status and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self._is_whole = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self._pieces:
                piece = b"".join(self._pieces)
                self._pieces.clear()
                yield piece
            elif self._is_whole:
                return
            else:
                await self.wait()

    def close(self) -> None:
        self._transport.close()
