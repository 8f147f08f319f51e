"""A large request body that is never copied as a whole: views in, small buffers out."""

from collections.abc import AsyncIterator, Sequence

PIECE_BYTES = 64 * 1024  # the transport copies what it is given: of a large body, so much at a time


class Pieces:
    """A body in pieces. It can be sent again: each iteration begins anew."""

    def __init__(self, pieces: Sequence[bytes | memoryview]) -> None:
        """`pieces` follow one another without anything between them."""
        self._pieces = pieces
        self._length = sum(len(piece) for piece in pieces)

    def __len__(self) -> int:
        """Return the body's bytes."""
        return self._length

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body in buffers of `PIECE_BYTES`, the last one shorter."""
        buffer = bytearray()
        for piece in self._pieces:
            at = 0
            while at < len(piece):
                taken = piece[at : at + PIECE_BYTES - len(buffer)]
                buffer += taken
                at += len(taken)
                if len(buffer) == PIECE_BYTES:
                    yield bytes(buffer)
                    buffer.clear()
        if buffer:
            yield bytes(buffer)
