"""Large bodies in small buffers."""

import pytest
from tollgate.upstream.pieces import PIECE_BYTES, Pieces


async def collect(pieces: Pieces) -> list[bytes]:
    return [buffer async for buffer in pieces]


@pytest.mark.parametrize(
    "sizes",
    [[], [0], [1], [PIECE_BYTES], [PIECE_BYTES + 1], [3, 0, PIECE_BYTES, 5, 2 * PIECE_BYTES]],
)
async def test_all_bytes_in_full_buffers(sizes: list[int]) -> None:
    """Nothing is lost or repeated where pieces and buffers end; the length is right."""
    source = bytes(range(256)) * (sum(sizes) // 256 + 1)
    views, at = [], 0
    for size in sizes:
        views.append(memoryview(source)[at : at + size])
        at += size

    buffers = await collect(Pieces(views))

    assert b"".join(buffers) == source[: sum(sizes)]
    assert len(Pieces(views)) == sum(sizes)
    assert all(len(buffer) == PIECE_BYTES for buffer in buffers[:-1])


async def test_it_can_be_sent_again() -> None:
    """The next channel gets the same body, also where the first broke off."""
    pieces = Pieces([b"a", b"b" * PIECE_BYTES])
    async for _ in pieces:
        break

    assert b"".join(await collect(pieces)) == b"a" + b"b" * PIECE_BYTES
