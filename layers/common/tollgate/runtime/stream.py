"""One streamed answer on the Runtime API: a POST, written raw.

    POST /2018-06-01/runtime/invocation/<id>/response      streaming, chunked, trailers announced
    {"statusCode": …, "multiValueHeaders": …} 00 00 00 00 00 00 00 00      one chunk
    body                                                                   a chunk a write
    0, then nothing or the two error trailers                              then the 202 is read

Hand-written because neither http.client nor any HTTP library here can send trailers. Without
asyncio's transport, since a write that the kernel takes at once, as nearly all are, is then no more
than one system call; what it does not take is sent by a task that the writer waits for.
Source: AWS, "Building a custom runtime", response streaming; the Node.js and .NET runtime clients.
"""

import asyncio
import base64
import json
import logging
import re
import socket
from collections.abc import Iterable
from contextlib import suppress

from tollgate.runtime.connection import API, USER_AGENT, ApiConnection, send_now

_log = logging.getLogger("runtime")
CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
PRELUDE_END = b"\0" * 8
PRELUDE_BYTES_MAX = 16 * 1024  # delimiter included; API Gateway looks no further
_ERROR_BYTES_MAX = 8 * 1024
_ACCEPTED_WITHIN_S = 900.0  # the longest that a function lives: it reads as slowly as its caller
_GONE = 410
_ACCEPTED = 202
_CONTENT_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
_CLOSES = re.compile(rb"(?im)^connection:\s*close")
_NO_VERDICT = (OSError, EOFError, IndexError, ValueError)
_VERDICT_BYTES_MAX = 64 * 1024
_BODILESS_STATUSES = (204, 304)
# API Gateway makes these itself, or they describe a connection that ends here.
_STRIPPED_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

type Headers = Iterable[tuple[bytes, bytes]]


def make_prelude(status: int, headers: Headers, *, is_empty: bool = False) -> bytes:
    """Return the JSON before the body, with its delimiter.

    `is_empty`: no body will follow; without a length some clients then wait for one.

    Raises: ValueError: larger than API Gateway reads.
    """
    values: dict[str, list[str]] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1").lower()
        if name not in _STRIPPED_HEADERS and not name.startswith("x-amzn-"):
            values.setdefault(name, []).append(raw_value.decode("latin-1"))
    if is_empty and status not in _BODILESS_STATUSES:
        values["content-length"] = ["0"]
    prelude = json.dumps({"statusCode": status, "multiValueHeaders": values}).encode()
    if len(prelude) + len(PRELUDE_END) > PRELUDE_BYTES_MAX:
        raise ValueError("the response's headers are larger than API Gateway takes")
    return prelude + PRELUDE_END


def make_chunk(data: bytes) -> bytes:
    """Return `data` (not empty: that would end the body) in chunked framing."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def make_trailers(error_type: str, message: str) -> bytes:
    """Return the end of a body that failed: the error as Lambda records it, on single lines."""
    error = {"errorType": error_type, "errorMessage": message[: _ERROR_BYTES_MAX // 4]}
    body = base64.b64encode(json.dumps(error).encode())
    return (
        b"0\r\nLambda-Runtime-Function-Error-Type: Function.%b\r\n"
        b"Lambda-Runtime-Function-Error-Body: %b\r\n\r\n" % (error_type.encode(), body)
    )


END = b"0\r\n\r\n"


class ResponseStream:
    """One POST. After the connection is lost, writes are swallowed: the app must run to its end.

    What was begun goes through though the caller be cancelled: half a chunk would spoil the answer,
    and without the answer's end /next is asked too early, and Lambda ends the process.
    """

    def __init__(self, api: ApiConnection, invoke_id: str, invocation_id: str | None) -> None:
        """`invocation_id`: echoed if Lambda sent one."""
        self._api = api
        self._invoke_id = invoke_id
        self._invocation_id = invocation_id
        self._socket: socket.socket | None = None
        self._is_lost = False
        self._rest: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open(self, first: bytes) -> None:
        """Send the head with the first bytes of the body, framed, in one write."""
        framed = self._head() + first
        try:
            self._socket, taken_bytes = self._api.begin_answer(framed)
        except OSError as error:
            self._lose(error)
            return
        await self._send_rest_of(framed, taken_bytes)

    async def write(self, framed: bytes) -> None:
        """Send bytes that are already framed; waits while the receiver is slower."""
        while self._rest is not None:
            await asyncio.shield(self._rest)
        if self._socket is None or self._is_lost:
            return
        try:
            taken_bytes = send_now(self._socket, framed)
        except OSError as error:
            self._lose(error)
            return
        await self._send_rest_of(framed, taken_bytes)

    async def close(self, end: bytes) -> None:
        """Send the body's end and read what Lambda says of it."""
        self._closing = asyncio.create_task(self._finish(end))
        await asyncio.shield(self._closing)

    async def wait_closed(self) -> None:
        """Wait until the answer is accepted, or is known to be lost."""
        if self._closing is not None:
            await self._closing

    async def _send_rest_of(self, framed: bytes, taken_bytes: int) -> None:
        if self._socket is not None and taken_bytes < len(framed):
            rest = memoryview(framed)[taken_bytes:]
            self._rest = asyncio.create_task(self._send_rest(self._socket, rest))
            await asyncio.shield(self._rest)

    async def _send_rest(self, connection: socket.socket, rest: memoryview) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(connection, rest)
        except OSError as error:
            self._lose(error)
        finally:
            self._rest = None

    async def _finish(self, end: bytes) -> None:
        try:
            async with asyncio.timeout(_ACCEPTED_WITHIN_S):
                await self.write(end)
        except TimeoutError as error:  # the receiver has stopped reading
            self._lose(error)
        if self._rest is not None:
            await self._rest
        connection, self._socket = self._socket, None  # nothing may be written behind the end
        if connection is None:
            return
        if not self._is_lost and await self._is_accepted(connection):
            self._api.keep(connection)
        else:
            connection.close()

    def _head(self) -> bytes:
        lines = [
            f"POST {API}/invocation/{self._invoke_id}/response HTTP/1.1",
            f"Host: {self._api.address}",
            f"User-Agent: {USER_AGENT}",
            "Lambda-Runtime-Function-Response-Mode: streaming",
            "Transfer-Encoding: chunked",
            "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
            f"Content-Type: {CONTENT_TYPE}",
        ]
        if self._invocation_id:
            lines.append(f"Lambda-Runtime-Invocation-Id: {self._invocation_id}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def _is_accepted(self, connection: socket.socket) -> bool:
        """Return whether the answer was accepted, and the connection can be kept."""
        try:
            async with asyncio.timeout(_ACCEPTED_WITHIN_S):
                head, is_whole = await _read_verdict(connection)
            status = int(head.split(maxsplit=2)[1])
        except _NO_VERDICT as error:
            self._lose(error)
            return False
        if status == _GONE:
            _log.warning("the answer came after the invocation's time-out")
        elif status != _ACCEPTED:
            _log.error("the Runtime API answered %s to the response", status)
        return status == _ACCEPTED and is_whole and _CLOSES.search(head) is None

    def _lose(self, error: Exception) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        _log.error("the connection to the Runtime API was lost: %s", type(error).__name__)
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # whoever waits to write is let go


async def _read_verdict(connection: socket.socket) -> tuple[bytes, bool]:
    """Return an answer's head, and whether nothing of it is left to be read.

    Not read to the connection's end: closing may be left to us.
    """
    loop, raw = asyncio.get_running_loop(), b""
    while len(raw) < _VERDICT_BYTES_MAX:
        data = await loop.sock_recv(connection, _VERDICT_BYTES_MAX)
        if not data:
            raise EOFError
        raw += data
        head, has_ended, body = raw.partition(b"\r\n\r\n")
        length = _CONTENT_LENGTH.search(head)
        if has_ended and len(body) >= (int(length[1]) if length else 0):
            return head, length is not None and len(body) == int(length[1])
    raise ValueError("an answer larger than any of the Runtime API's")
