"""One streamed answer on the Runtime API: a POST over a connection of its own, written raw.

    POST /2018-06-01/runtime/invocation/<id>/response      streaming, chunked, trailers announced
    {"statusCode": …, "multiValueHeaders": …} 00 00 00 00 00 00 00 00      one chunk
    body                                                                   a chunk a write
    0, then nothing or the two error trailers                              then the 202 is read

Hand-written because neither http.client nor any HTTP library here can send trailers.
Source: AWS, "Building a custom runtime", response streaming; the Node.js and .NET runtime clients.
"""

import asyncio
import base64
import json
import logging
import re
from collections.abc import Iterable

_log = logging.getLogger("runtime")
CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
PRELUDE_END = b"\0" * 8
PRELUDE_BYTES_MAX = 16 * 1024  # delimiter included; API Gateway looks no further
_ERROR_BYTES_MAX = 8 * 1024
_ACCEPTED_WITHIN_S = 60.0
_GONE = 410
_ACCEPTED = 202
_CONTENT_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
_NO_VERDICT = (OSError, EOFError, asyncio.LimitOverrunError, IndexError, ValueError)
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

    Its begin and its end go through though the caller be cancelled: without the one the invocation
    has no answer, without the other /next is asked too early, and Lambda ends the process.
    """

    def __init__(self, address: str, invoke_id: str, invocation_id: str | None) -> None:
        """`address`: the Runtime API's host:port; `invocation_id`: echoed if Lambda sent one."""
        self._address = address
        self._invoke_id = invoke_id
        self._invocation_id = invocation_id
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._is_lost = False
        self._opening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open(self, first: bytes) -> None:
        """Connect and send the head with the first bytes of the body, framed, in one write."""
        self._opening = asyncio.create_task(self._connect(first))
        await asyncio.shield(self._opening)

    async def write(self, framed: bytes) -> None:
        """Send bytes that are already framed; waits while the receiver is slower."""
        if self._opening is not None and not self._opening.done():
            await asyncio.shield(self._opening)
        await self._put(framed)

    async def close(self, end: bytes) -> None:
        """Send the body's end and read what Lambda says of it."""
        self._closing = asyncio.create_task(self._finish(end))
        await asyncio.shield(self._closing)

    async def wait_closed(self) -> None:
        """Wait until the answer is accepted, or is known to be lost."""
        if self._closing is not None:
            await self._closing

    async def _connect(self, first: bytes) -> None:
        host, _, port = self._address.rpartition(":")
        try:
            self._reader, self._writer = await asyncio.open_connection(host, int(port))
        except OSError as error:
            self._lose(error)
            return
        await self._put(self._head() + first)

    async def _put(self, framed: bytes) -> None:
        if self._is_lost or self._writer is None:
            return
        try:
            self._writer.write(framed)
            await self._writer.drain()
        except OSError as error:
            self._lose(error)

    async def _finish(self, end: bytes) -> None:
        try:
            async with asyncio.timeout(_ACCEPTED_WITHIN_S):
                await self.write(end)
        except TimeoutError as error:  # the receiver has stopped reading
            self._lose(error)
        if self._writer is None or self._reader is None:
            return
        if not self._is_lost:
            await self._read_verdict(self._reader)
        self._writer.close()

    def _head(self) -> bytes:
        lines = [
            f"POST /2018-06-01/runtime/invocation/{self._invoke_id}/response HTTP/1.1",
            f"Host: {self._address}",
            "User-Agent: tollgate-runtime",
            "Lambda-Runtime-Function-Response-Mode: streaming",
            "Transfer-Encoding: chunked",
            "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
            f"Content-Type: {CONTENT_TYPE}",
            "Connection: close",
        ]
        if self._invocation_id:
            lines.append(f"Lambda-Runtime-Invocation-Id: {self._invocation_id}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def _read_verdict(self, reader: asyncio.StreamReader) -> None:
        try:
            async with asyncio.timeout(_ACCEPTED_WITHIN_S):
                status = await _read_status(reader)
        except _NO_VERDICT as error:
            self._lose(error)
            return
        if status == _GONE:
            _log.warning("the answer came after the invocation's time-out")
        elif status != _ACCEPTED:
            _log.error("the Runtime API answered %s to the response", status)

    def _lose(self, error: Exception) -> None:
        self._is_lost = True
        _log.error("the connection to the Runtime API was lost: %s", type(error).__name__)


async def _read_status(reader: asyncio.StreamReader) -> int:
    """Read one answer, but not to the connection's end: closing may be left to us."""
    head = await reader.readuntil(b"\r\n\r\n")
    if length := _CONTENT_LENGTH.search(head):
        await reader.readexactly(int(length[1]))
    return int(head.split(maxsplit=2)[1])
