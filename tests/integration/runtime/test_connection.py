"""One response's connection, against a socket that is slow, hostile or absent."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from tollgate.runtime.stream import END, ResponseStream, make_chunk

from local.processes import free_port

ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}"
type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def stream_to(serve: Serve) -> AsyncIterator[ResponseStream]:
    """Give a stream whose Runtime API is `serve`; closes what that leaves open."""
    served = asyncio.Event()

    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            served.set()

    server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        yield ResponseStream(f"{host}:{port}", "request-1", None)
        await served.wait()


async def test_cancelled_opening_goes_through() -> None:
    """A keep-alive that is called off while the connection is made must not lose the answer."""
    got = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.readuntil(END))
        writer.write(ACCEPTED)

    async with stream_to(serve) as stream:
        opening = asyncio.create_task(stream.open(make_chunk(b"one")))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await stream.write(make_chunk(b"two"))
        await stream.close(END)

    assert bytes(got).partition(b"\r\n\r\n")[2] == make_chunk(b"one") + make_chunk(b"two") + END


async def test_writes_wait_for_a_slow_receiver() -> None:
    """What waits in the process stays small, however much the app sends, and all of it arrives."""
    chunk = make_chunk(b"x" * 50_000)
    got = bytearray()
    waiting_bytes = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not got.endswith(END):
            got.extend(await reader.read(4096))
        writer.write(ACCEPTED)

    async with stream_to(serve) as stream:
        await stream.open(chunk)
        assert stream._writer is not None
        for _ in range(200):
            await stream.write(chunk)
            waiting_bytes.append(stream._writer.transport.get_write_buffer_size())
        await stream.close(END)

    assert max(waiting_bytes) <= 64 * 1024
    assert bytes(got).partition(b"\r\n\r\n")[2] == chunk * 201 + END


async def test_small_writes_are_not_held_back() -> None:
    """The connection has TCP_NODELAY: an event must not wait for the one after it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(END)
        writer.write(ACCEPTED)

    async with stream_to(serve) as stream:
        await stream.open(make_chunk(b"one"))
        assert stream._writer is not None
        connection = stream._writer.get_extra_info("socket")
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        await stream.close(END)


async def test_writes_after_a_reset_are_swallowed(caplog: pytest.LogCaptureFixture) -> None:
    """The app is not told that nobody listens: it must run to its end. The log says it once."""
    is_reset = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(make_chunk(b"one"))
        writer.transport.abort()
        is_reset.set()

    async with stream_to(serve) as stream:
        await stream.open(make_chunk(b"one"))
        await is_reset.wait()
        for _ in range(3):
            await stream.write(make_chunk(b"two"))
            await asyncio.sleep(0)
        await stream.close(END)

    assert caplog.text.count("the connection to the Runtime API was lost") == 1


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1", b"nonsense\r\n\r\n", b"HTTP/1.1 2"])
async def test_no_verdict_is_logged_and_survived(
    caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    """A connection that ends without a status is a lost one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(END)
        writer.write(answer)

    async with stream_to(serve) as stream:
        await stream.open(make_chunk(b"one"))
        await stream.close(END)

    assert "the connection to the Runtime API was lost" in caplog.text


async def test_absent_runtime_api_is_logged_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing listens: every write is swallowed, and said once."""
    stream = ResponseStream(f"127.0.0.1:{free_port()}", "request-1", None)

    await stream.open(make_chunk(b"one"))
    await stream.write(make_chunk(b"two"))
    await stream.close(END)

    assert caplog.text.count("the connection to the Runtime API was lost") == 1
