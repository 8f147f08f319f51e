"""One response's connection, against a socket that is slow, hostile or absent."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from tollgate.runtime import stream as runtime_stream
from tollgate.runtime.connection import ApiConnection
from tollgate.runtime.stream import END, ResponseStream, make_chunk

from local.processes import free_port

ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}"
HANGS_S = 20.0
LARGE = make_chunk(b"x" * 50_000_000)  # more than the kernel takes at once
STUCK_S = 0.2  # in which a write that the kernel could take would be over
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
    api = ApiConnection(f"{host}:{port}")
    async with server, asyncio.timeout(HANGS_S):
        try:
            yield ResponseStream(api, "request-1", None)
            if api._kept is not None:
                api._kept.close()
            await served.wait()
        finally:
            server.abort_clients()  # of a test that failed: closing would wait for them


async def test_cancelled_write_goes_through() -> None:
    """A keep-alive or an answer that is called off half written must not spoil what follows."""
    got = bytearray()
    may_read = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_read.wait()
        while not got.endswith(END):
            got.extend(await reader.read(1_000_000))
        writer.write(ACCEPTED)

    async with stream_to(serve) as stream:
        opening = asyncio.create_task(stream.open(LARGE))
        await asyncio.wait([opening], timeout=STUCK_S)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        may_read.set()
        await stream.write(make_chunk(b"two"))
        await stream.close(END)

    assert bytes(got).partition(b"\r\n\r\n")[2] == LARGE + make_chunk(b"two") + END


async def test_writes_wait_for_a_slow_receiver() -> None:
    """Nothing piles up in the process: a write is over when the kernel has it, all in order."""
    chunk = make_chunk(b"x" * 50_000)
    got = bytearray()
    may_read = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_read.wait()
        while not got.endswith(END):
            got.extend(await reader.read(4096))
        writer.write(ACCEPTED)

    async with stream_to(serve) as stream:
        await stream.open(chunk)
        writing = asyncio.create_task(write_often(stream, chunk, 1000))
        await asyncio.wait([writing], timeout=STUCK_S)
        assert writing.done() is False
        also = asyncio.create_task(stream.write(make_chunk(b"between")))
        may_read.set()
        await asyncio.gather(writing, also)
        assert stream._rest is None
        await stream.close(END)

    body = bytes(got).partition(b"\r\n\r\n")[2]
    assert body.count(make_chunk(b"between")) == 1
    assert body.replace(make_chunk(b"between"), b"") == chunk * 1001 + END


async def write_often(stream: ResponseStream, chunk: bytes, times: int) -> None:
    for _ in range(times):
        await stream.write(chunk)


async def test_receiver_that_stops_reading_holds_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer's end waits for its time and no longer; who still writes then is let go."""
    monkeypatch.setattr(runtime_stream, "_ACCEPTED_WITHIN_S", STUCK_S)
    may_end = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await may_end.wait()

    async with stream_to(serve) as stream:
        writing = asyncio.create_task(stream.open(LARGE))
        await asyncio.sleep(0)
        await stream.close(END)
        await writing
        may_end.set()

    assert caplog.text.count("lost: TimeoutError") == 1


async def test_small_writes_are_not_held_back() -> None:
    """The connection has TCP_NODELAY: an event must not wait for the one after it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(END)
        writer.write(ACCEPTED)

    async with stream_to(serve) as stream:
        await stream.open(make_chunk(b"one"))
        assert stream._socket is not None
        assert stream._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        await stream.close(END)


@pytest.mark.parametrize(
    ("answer", "is_kept"),
    [
        (ACCEPTED, True),
        (b"HTTP/1.1 202 Accepted\r\nConnection: close\r\ncontent-length: 2\r\n\r\n{}", False),
        (b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", False),
        (b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}more", False),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}", False),
    ],
)
async def test_connection_is_kept_where_nothing_is_left_on_it(answer: bytes, is_kept: bool) -> None:
    """The next event is asked for on the same one, if it is sure to be in order."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(END)
        writer.write(answer)
        await reader.read()

    async with stream_to(serve) as stream:
        await stream.open(make_chunk(b"one"))
        connection = stream._socket
        assert connection is not None
        await stream.close(END)
        assert (connection.fileno() >= 0) is is_kept
        assert stream._api._kept is (connection if is_kept else None)


async def test_answer_takes_a_new_connection_where_the_kept_one_takes_nothing() -> None:
    """One that is closed between the look at it and the first write loses no answer."""
    got = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.readuntil(END))
        writer.write(ACCEPTED)

    kept, peer = socket.socketpair()
    kept.shutdown(socket.SHUT_WR)  # nothing is to be read on it, and nothing can be written
    async with stream_to(serve) as stream:
        stream._api.keep(kept)
        await stream.open(make_chunk(b"one"))
        await stream.close(END)
    peer.close()

    assert bytes(got).partition(b"\r\n\r\n")[2] == make_chunk(b"one") + END
    assert kept.fileno() == -1


async def test_write_behind_the_end_goes_nowhere() -> None:
    """What a task of this invocation still writes must not be in another one's answer."""
    behind = bytearray()
    is_ended, may_answer = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(END)
        is_ended.set()
        await may_answer.wait()
        writer.write(ACCEPTED)
        behind.extend(await reader.read())

    async with stream_to(serve) as stream:
        await stream.open(make_chunk(b"one"))
        closing = asyncio.create_task(stream.close(END))
        await is_ended.wait()
        await stream.write(make_chunk(b"before the verdict"))
        may_answer.set()
        await closing
        assert stream._api._kept is not None
        await stream.write(make_chunk(b"on a kept connection"))

    assert behind == b""


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


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1", b"nonsense\r\n\r\n", b"HTTP/1.1 2", b"x" * 70_000]
)
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
    stream = ResponseStream(ApiConnection(f"127.0.0.1:{free_port()}"), "request-1", None)

    await stream.open(make_chunk(b"one"))
    await stream.write(make_chunk(b"two"))
    await stream.close(END)

    assert caplog.text.count("the connection to the Runtime API was lost") == 1
