"""Compressed bodies, as large as they may be, and no larger at a time."""

import gzip
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
from tollgate.upstream.content_encodings import PIECE_BYTES_MAX, read_pieces

TEXT = b"a vendor's answer " * 50_000
BOMB = gzip.compress(bytes(64 * 1024 * 1024))


class Pieces(httpx.AsyncByteStream):
    def __init__(self, body: bytes, size: int) -> None:
        self._pieces = [body[at : at + size] for at in range(0, len(body), size)]
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.read += len(piece)
            yield piece


def respond(body: bytes, encoding: str | None, *, size: int = 65_536) -> httpx.Response:
    headers = {} if encoding is None else {"content-encoding": encoding}
    return httpx.Response(200, headers=headers, stream=Pieces(body, size))


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (None, TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("X-GZip ", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
    ],
)
@pytest.mark.parametrize("size", [1000, 65_536, 10_000_000])
async def test_body_comes_out_whole(encoding: str | None, body: bytes, size: int) -> None:
    """In whatever pieces it came."""
    pieces = [piece async for piece in read_pieces(respond(body, encoding, size=size))]

    assert b"".join(pieces) == TEXT


async def test_a_bomb_comes_in_small_pieces() -> None:
    """64 MB out of 64 KB: who counts them can stop after any of them."""
    sizes = [len(piece) async for piece in read_pieces(respond(BOMB, "gzip"))]

    assert sum(sizes) == 64 * 1024 * 1024
    assert max(sizes) <= PIECE_BYTES_MAX


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "gzip,identity", "x"])
async def test_what_was_not_asked_for_is_refused_unread(encoding: str) -> None:
    """One encoding in another multiplies, and others need libraries that are not there."""
    response = respond(gzip.compress(BOMB), encoding)

    with pytest.raises(httpx.DecodingError):
        await anext(read_pieces(response))
    assert isinstance(response.stream, Pieces)
    assert response.stream.read == 0


@pytest.mark.parametrize("body", [b"plain", b"\x1f\x8b\x08\x00garbage that is none"])
async def test_what_is_not_in_its_encoding_is_refused(body: bytes) -> None:
    """An error of the HTTP library's, like every other of the transport."""
    with pytest.raises(httpx.DecodingError):
        [piece async for piece in read_pieces(respond(body, "gzip"))]


async def test_what_follows_the_end_is_left() -> None:
    """Bytes behind the compressed body are no part of it."""
    pieces = [piece async for piece in read_pieces(respond(gzip.compress(b"a") + b"junk", "gzip"))]

    assert b"".join(pieces) == b"a"
