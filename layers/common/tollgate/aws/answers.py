"""One answer off a socket: whole and beyond doubt, or none.

Nothing in an answer names its request. So a connection is used again only behind an answer whose
end is certain, with nothing after it; else a rest of it would be taken for the next call's answer.
Reading HTTP is the standard library's, on a socket whose every read has what is left of the time:
its own time-outs begin anew with each byte. It bears with much: with a second length, with words
after the answer, with 103. What it bears with and AWS never says is refused here.
"""

import binascii
import http.client
import io
import re
import socket
from collections.abc import Buffer, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

# DynamoDB's largest answer is a page of a megabyte, a few times as much in JSON.
BYTES_MAX = 16 * 1024 * 1024
_BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
_END = re.compile(r"[0-9]+|chunked", re.IGNORECASE)  # of a body: as its one header tells it


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server said; `headers` by any case of their names."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def read_answer(source: socket.socket, waiting_s: Callable[[], float]) -> tuple[Answer, bool]:
    """Return the whole answer, and whether the connection can be used again.

    `waiting_s`: seconds for the next read; it raises TimeoutError where none are left.

    Raises: OSError; HTTPException; OverflowError; ValueError.
    """
    incoming = cast("socket.socket", _Incoming(source, waiting_s))
    with http.client.HTTPResponse(incoming, method="POST") as response:
        reader = cast("_Reader", response.fp)
        response.begin()
        _check_head(response)
        # Of a told length `read()` notices that it was cut; of chunks only so much is asked for.
        body = response.read(BYTES_MAX + 1) if response.chunked else response.read()
        if len(body) > BYTES_MAX:
            raise ValueError("the answer is too large")
        _check_sum(response.headers, body)
        answer = Answer(status=response.status, headers=response.headers, body=body)
        is_whole = response.isclosed() and not reader.has_rest
        return answer, is_whole and not response.will_close


class _Incoming(io.RawIOBase):
    """The bytes of one answer, read with what is left of the time; what `http.client` reads."""

    def __init__(self, source: socket.socket, waiting_s: Callable[[], float]) -> None:
        self._source = source
        self._waiting_s = waiting_s
        self._left = 2 * BYTES_MAX  # with heads and the sizes of chunks
        self.is_over = False

    def makefile(self, _mode: str) -> "_Reader":
        """Return what reads it, as a socket does."""
        return _Reader(self, 65_536)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read what has come, at least a byte unless it is the end."""
        if self.is_over:
            return 0
        self._source.settimeout(self._waiting_s())
        count = self._source.recv_into(buffer)
        self._left -= count
        if self._left < 0:
            raise ValueError("the answer is too large")
        return count


class _Reader(io.BufferedReader):
    """Buffers what comes; knows in the end whether there was more than has been read."""

    raw: _Incoming
    has_rest = False

    def close(self) -> None:
        """Look what is left, without waiting for more, and close."""
        if not self.closed:
            self.raw.is_over = True
            self.has_rest = bool(self.peek(1))
        super().close()


def _check_head(response: http.client.HTTPResponse) -> None:
    """Refuse what may end elsewhere than it seems, or is no answer yet, as 103 is none."""
    headers = response.headers
    ends = headers.get_all("content-length", []) + headers.get_all("transfer-encoding", [])
    is_told = len(ends) == 1 and _END.fullmatch(ends[0].strip()) and not headers.defects
    if not is_told or (response.length is None and not response.chunked):
        raise ValueError("the answer does not say, in one word, where it ends")
    if response.status < HTTPStatus.OK or response.status in _BODILESS:
        raise ValueError("the answer has no body")
    if (response.length or 0) > BYTES_MAX:
        raise ValueError("the answer is too large")


def _check_sum(headers: http.client.HTTPMessage, body: bytes) -> None:
    """Compare the body with DynamoDB's checksum of it, where there is one."""
    checksum = headers.get("x-amz-crc32")
    if checksum is not None and int(checksum) != binascii.crc32(body):
        raise ValueError("the checksum is wrong")
