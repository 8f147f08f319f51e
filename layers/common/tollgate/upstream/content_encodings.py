"""A body out of its content encoding, in bounded steps: a bomb is cut off where its size shows.

No encoding is ever asked for; some vendors, and proxies before them, compress all the same.
Hand-written because httpx decompresses a whole piece at once, and one encoding inside another: a
few kilobytes would come out as gigabytes before anybody could count them.
"""

import zlib
from collections.abc import AsyncIterator, Iterator

import httpx

PIECE_BYTES_MAX = 256 * 1024
_WINDOWS = {
    "gzip": zlib.MAX_WBITS | 16,
    "x-gzip": zlib.MAX_WBITS | 16,
    "deflate": zlib.MAX_WBITS,
}
_PLAIN = frozenset({"", "identity"})


def read_pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """Iterate the body as it comes, decompressed; no piece of what was compressed is large.

    Iterating raises httpx.HTTPError, of which httpx.DecodingError: it is not in the encoding that
    it names, or that is neither gzip nor deflate, or there is more than one.
    """
    encoding: str = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in _PLAIN:
        return _read_packed(response, encoding)
    if not isinstance(response.stream, httpx.AsyncByteStream):
        raise TypeError("the body cannot be read asynchronously")
    return aiter(response.stream)  # and not `aiter_raw`, a layer more for each piece


async def _read_packed(response: httpx.Response, encoding: str) -> AsyncIterator[bytes]:
    if encoding not in _WINDOWS:
        raise httpx.DecodingError("an encoding that was not asked for")
    decompressor = zlib.decompressobj(_WINDOWS[encoding])
    async for packed in response.aiter_raw():
        for piece in _decompress(decompressor, packed):
            yield piece


def _decompress(decompressor: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    """Yield what `packed` holds, at most `PIECE_BYTES_MAX` at a time.

    Raises: httpx.DecodingError.
    """
    try:
        while packed and not decompressor.eof:
            piece = decompressor.decompress(packed, PIECE_BYTES_MAX)
            packed = decompressor.unconsumed_tail
            if piece:
                yield piece
    except zlib.error as error:
        raise httpx.DecodingError("not in the encoding that it names") from error
