"""Kept connections and ends in time, against servers over sockets that do what they should not."""

import asyncio
import binascii
import random
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from urllib.parse import urlsplit

import pytest
import trustme
from hypothesis import example, given
from hypothesis import strategies as st
from tollgate.aws import answers
from tollgate.aws import wire as module
from tollgate.aws.answers import Answer
from tollgate.aws.errors import AwsUnansweredError
from tollgate.aws.wire import Limits, Wire

from tests.fakes.scripted_server import Script, ScriptedServer, answer, hang, raw, serving, stream

LIMITS = Limits(connect_timeout_s=0.3, read_timeout_s=0.3, attempts_max=1)
PATIENT = Limits(connect_timeout_s=5.0, read_timeout_s=10.0, attempts_max=1)
CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
HEADERS = {"host": "db.example", "content-type": "application/x-amz-json-1.0"}
OK = answer(b"{}")

type Post = Callable[[], Awaitable[Answer]]


@asynccontextmanager
async def posting(
    *scripts: Script, limits: Limits = PATIENT
) -> AsyncIterator[tuple[Post, ScriptedServer, Wire]]:
    """Yield what posts, in a thread, to a server that plays `scripts`."""
    async with serving(*scripts) as server:
        where = urlsplit(server.base_url)
        wire = Wire(where.hostname or "", where.port or 0, limits)
        yield lambda: asyncio.to_thread(wire.post, HEADERS, b'{"a": 1}'), server, wire
        wire.close()


async def test_one_connection_serves_many_calls() -> None:
    """Head and body as they are told."""
    async with posting(OK) as (post, server, _):
        for _ in range(5):
            said = await post()

    assert (said.status, said.body) == (200, b"{}")
    assert said.headers["Content-Type"] == "application/json"
    assert server.connections == 1
    assert server.raw_bodies == [b'{"a": 1}'] * 5
    assert server.paths == ["/"] * 5
    assert server.headers[0] == HEADERS | {"content-length": "8"}


async def test_calls_at_once_have_connections_of_their_own() -> None:
    """As many as there are calls; those that are kept have an end."""
    together = asyncio.Barrier(15)

    async def meet(writer: asyncio.StreamWriter) -> None:
        await together.wait()
        await OK(writer)

    async with posting(meet) as (post, server, wire):
        with ThreadPoolExecutor(15) as pool:
            asyncio.get_running_loop().set_default_executor(pool)
            for _ in range(2):
                await asyncio.gather(*(post() for _ in range(15)))
            kept = len(wire._idle)

    assert kept == 10
    assert server.connections == 20


async def test_connection_that_ended_meanwhile_is_not_used() -> None:
    """As a sandbox finds it that has slept for minutes: no try fails for it."""
    ending = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    async with posting(ending, ending, OK) as (post, server, _):
        for _ in range(3):
            assert (await post()).body == b"{}"
            await asyncio.sleep(0.05)

    assert server.connections == 3


async def test_connection_that_ends_as_it_is_used_is_no_failure() -> None:
    """The server had ended it when the request came: nothing of an answer, so another one."""
    for ending in ("close", "reset"):
        async with posting(OK, raw(ending=ending), OK) as (post, server, _):
            await post()
            assert (await post()).body == b"{}"

        assert server.connections == 2


async def test_new_connection_that_ends_is_a_failure() -> None:
    """Else a server that takes and ends each would be asked without end."""
    for ending in ("close", "reset"):
        async with posting(raw(ending=ending)) as (post, server, _):
            with pytest.raises(AwsUnansweredError):
                await post()

        assert server.connections == 1


async def test_words_that_nobody_asked_for_end_a_connection() -> None:
    """They would be taken for the next call's answer."""
    twice = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", b"", b"HTTP/1.1 200", ending="")
    async with posting(twice, OK) as (post, server, _):
        await post()
        await asyncio.sleep(0.4)
        assert (await post()).headers["content-type"] == "application/json"

    assert server.connections == 2


SURPLUS = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-le"


async def test_words_behind_an_answer_end_its_connection() -> None:
    """They came with it, so no look at the socket finds them; their rest would be the next one."""
    async with posting(raw(SURPLUS, ending=""), OK) as (post, server, wire):
        assert (await post()).body == b"{}"
        assert wire._idle == []
        assert (await post()).headers["content-type"] == "application/json"

    assert server.connections == 2


@pytest.mark.parametrize("status", [b"101", b"102", b"103", b"199", b"204", b"304"])
async def test_answer_without_a_body_is_none(status: bytes) -> None:
    """The true one may come behind it, and would be taken for the next call's."""
    bare = raw(b"HTTP/1.1 " + status + b" Odd\r\ncontent-length: 2\r\n\r\n", ending="hang")
    async with posting(bare) as (post, _, wire):
        with pytest.raises(AwsUnansweredError):
            await post()

        assert wire._idle == []


async def test_server_that_lets_go_on_is_waited_for() -> None:
    """Nobody asked it to; the answer comes behind it."""
    patient = raw(b"HTTP/1.1 100 Continue\r\n\r\n", b"", WHOLE, ending="")
    async with posting(patient) as (post, server, _):
        for _ in range(2):
            assert (await post()).body == b'{"a": 1}'

    assert server.connections == 1


@pytest.mark.parametrize(
    "lines",
    [
        b"content-length: 0\r\ncontent-length: 2",
        b"content-length: 2\r\ntransfer-encoding: chunked",
        b"content-length: 2\r\ntransfer-encoding: gzip, chunked",
        b"transfer-encoding: identity",
        b"content-length: +2",
        b"content-length: 0_2",
        b"content-length: 2\r\njunk\r\nconnection: close",
    ],
)
async def test_answer_that_ends_in_two_places_is_none(lines: bytes) -> None:
    """Whoever reads it otherwise than its server takes a rest of it for the next answer."""
    said = b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n{}"
    async with posting(raw(said, ending="hang")) as (post, _, wire):
        with pytest.raises(AwsUnansweredError):
            await post()

        assert wire._idle == []


async def test_damaged_answer_ends_its_connection() -> None:
    """By the checksum: where the next one begins on it, nobody knows."""
    body = '{"a": "ü"}'.encode()
    right, wrong = (f"x-amz-crc32: {binascii.crc32(body) + off}\r\n" for off in (0, 1))
    scripts = answer(body, head=right), answer(body, head=wrong), answer(body, head=right)
    async with posting(*scripts) as (post, server, wire):
        assert (await post()).body == body
        with pytest.raises(AwsUnansweredError):
            await post()
        assert wire._idle == []
        assert (await post()).body == body

    assert server.connections == 2


class Scrambler:
    """Answers each request with its own words, after whatever may come between; seeded."""

    def __init__(self) -> None:
        self._dice = random.Random(7)
        self.done: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until one of the two ends it."""
        with suppress(OSError, asyncio.IncompleteReadError), closing(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                [length] = re.findall(rb"content-length: (\d+)", head)
                whole = b"HTTP/1.1 200 OK\r\ncontent-length: %b\r\n\r\n" % length
                whole += await reader.readexactly(int(length))
                if not await self._answer(writer, whole):
                    return

    async def _answer(self, writer: asyncio.StreamWriter, whole: bytes) -> bool:
        """Say it, or something else; return whether the connection goes on."""
        kinds = ["at once"] * 8 + ["late", "in parts", "after 103", "twice", "cut", "reset", "hung"]
        kind = self._dice.choice(kinds)
        self.done[kind] += 1
        before = b"HTTP/1.1 103 Early Hints\r\n\r\n" if kind == "after 103" else b""
        middle = self._dice.randrange(1, len(whole)) if kind in ("in parts", "cut") else 0
        if kind == "reset":
            writer.transport.abort()
            return False
        for part in (before, whole[:middle]):
            writer.write(part)
            await writer.drain()
        await asyncio.sleep({"late": 0.15, "hung": 0.4}.get(kind, 0.01 if before or middle else 0))
        if kind != "cut":
            writer.write(whole[middle:] * (2 if kind == "twice" else 1))
            await writer.drain()
        return kind not in ("cut", "hung")


async def test_every_answer_is_its_own_calls() -> None:
    """Whatever the server does, and however many call at once: one's answer is never another's."""
    scrambler = Scrambler()
    limits = Limits(connect_timeout_s=0.05, read_timeout_s=0.1, attempts_max=1)
    server = await asyncio.start_server(scrambler.serve, "127.0.0.1", 0)
    wire = Wire("127.0.0.1", server.sockets[0].getsockname()[1], limits)

    def call(caller: int) -> int:
        """Return how many calls had an answer."""
        answered = 0
        for number in range(100):
            words = b'{"call": %d, "of": %d, "%b": 0}' % (number, caller, b"x" * caller)
            with suppress(AwsUnansweredError):
                assert wire.post(HEADERS, words).body == words
                answered += 1
        return answered

    try:
        answered = await asyncio.gather(*(asyncio.to_thread(call, caller) for caller in range(6)))
    finally:
        wire.close()
        server.close()
        server.close_clients()

    assert len(scrambler.done) == 8
    assert sum(answered) > 60


async def test_failure_lets_go_of_all_that_is_kept() -> None:
    """Those beside it are as old, and likely as dead."""
    together = asyncio.Barrier(3)

    async def meet(writer: asyncio.StreamWriter) -> None:
        await together.wait()
        await OK(writer)

    async with posting(meet, meet, meet, hang, OK, limits=LIMITS) as (post, _, wire):
        await asyncio.gather(*(post() for _ in range(3)))
        assert len(wire._idle) == 3
        with pytest.raises(AwsUnansweredError):
            await post()

        assert wire._idle == []


async def test_fresh_is_a_new_connection() -> None:
    """Whatever is kept."""
    async with posting(OK) as (post, server, wire):
        await post()
        await asyncio.to_thread(wire.post, HEADERS, b"", is_fresh=True)

    assert server.connections == 2


async def test_closed_wire_keeps_nothing() -> None:
    """Calls that are under way end well, and close their connection."""
    async with posting(OK) as (post, server, wire):
        await post()
        wire.close()
        for _ in range(2):
            await post()

        assert wire._idle == []
    assert server.connections == 3


async def test_server_that_says_it_will_close_is_believed() -> None:
    """And one of HTTP/1.0 means it."""
    old = raw(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}", ending="")
    async with posting(answer(b"{}", head="connection: close\r\n"), old, OK) as (post, server, _):
        for _ in range(3):
            await post()

    assert server.connections == 3


async def drip(writer: asyncio.StreamWriter) -> None:
    """Say a byte now and then, always before anybody's time for one is over."""
    for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n" + b" " * 5000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_interim(writer: asyncio.StreamWriter) -> None:
    """Say that it goes on, for ever."""
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "script",
    [hang, drip, drip_interim, stream(b"{", ending="hang"), stream(*[b" ", b""] * 30)],
)
async def test_every_call_ends_in_time(script: Script) -> None:
    """A server that hangs, at any point, or says a byte now and then."""
    async with posting(script, limits=LIMITS) as (post, _, wire):
        began = time.monotonic()
        with pytest.raises(AwsUnansweredError):
            await post()

        assert LIMITS.read_timeout_s <= time.monotonic() - began < LIMITS.attempt_s + 0.5
        assert wire._idle == []


def test_server_that_does_not_read_ends_in_time() -> None:
    """The request is larger than what the kernels hold between the two."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = Wire("127.0.0.1", listener.getsockname()[1], LIMITS)
        began = time.monotonic()
        with pytest.raises(AwsUnansweredError):
            wire.post(HEADERS, b" " * 32_000_000)

        assert time.monotonic() - began < LIMITS.attempt_s + 0.5


def test_server_that_takes_no_connection_ends_in_time() -> None:
    """Its queue is full, as behind a network that swallows what is sent."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = [_knock(port) for _ in range(4)]
        began = time.monotonic()
        with pytest.raises(AwsUnansweredError):
            Wire("127.0.0.1", port, LIMITS).post(HEADERS, b"")

        assert time.monotonic() - began < LIMITS.attempt_s + 0.5
        for filler in fillers:
            filler.close()


def _knock(port: int) -> socket.socket:
    knocking = socket.socket()
    knocking.setblocking(False)
    with suppress(BlockingIOError):
        knocking.connect(("127.0.0.1", port))
    return knocking


@pytest.mark.parametrize(
    "script",
    [
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"),
        raw(b"HTTP/1.1 200 OK\r\n\r\n{}"),
        raw(b"HTTP/1.1 400 Bad\r\ncontent-"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{}", ending="hang"),
        raw(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 5000, ending="hang"),
        raw(b"x" * 100_000, ending="hang"),
        raw(b"garbage\r\n\r\n"),
        raw(b"HTTP/1.1 999999 Odd\r\n\r\n"),
        *(raw(CHUNKS + size + b"\r\n{}") for size in (b"-1", b"-5", b"-" + b"f" * 20, b"f" * 20)),
        stream(b"{}", ending="close"),
        stream(b"{}", ending="reset"),
    ],
)
async def test_answer_that_is_none(script: Script) -> None:
    """Cut, too long, or no HTTP: nobody takes it for one."""
    async with posting(script) as (post, _, wire):
        with pytest.raises(AwsUnansweredError):
            await post()

        assert wire._idle == []


async def test_size_of_an_answer_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told or not, to the byte."""
    monkeypatch.setattr(answers, "BYTES_MAX", 1000)
    for make in (answer, stream):
        async with posting(make(b"x" * 1000), make(b"x" * 1001)) as (post, _, _):
            assert len((await post()).body) == 1000
            with pytest.raises(AwsUnansweredError):
                await post()


def pour(head: bytes, words: bytes) -> Script:
    """Say `head` and then `words`, as fast as they are read, without end."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(words * 1000)
            await writer.drain()

    return script


@pytest.mark.parametrize(
    "script", [pour(CHUNKS + b"-1\r\n", b" "), pour(b"", b"HTTP/1.1 100 Continue\r\n\r\n")]
)
async def test_what_is_read_has_a_limit(monkeypatch: pytest.MonkeyPatch, script: Script) -> None:
    """Also where a size below nothing means all, and where no answer ever begins."""
    monkeypatch.setattr(answers, "BYTES_MAX", 10_000)
    limits = Limits(connect_timeout_s=1.0, read_timeout_s=1.0, attempts_max=1)
    async with posting(script, limits=limits) as (post, _, _):
        with pytest.raises(AwsUnansweredError, match="ValueError"):
            await post()


async def test_chunks_are_read() -> None:
    """AWS tells the length; whoever does not is understood, and its connection kept."""
    async with posting(stream(b'{"a"', b": 1}")) as (post, server, _):
        for _ in range(2):
            assert (await post()).body == b'{"a": 1}'

    assert server.connections == 1


class _Pair(Wire):
    """A wire whose other end says `said` and closes."""

    def __init__(self, said: bytes) -> None:
        super().__init__("", 0, LIMITS)
        self._said = said

    def _connect(self, _: module._Clock) -> module._Connection:
        ours, self._theirs = socket.socketpair()
        self._theirs.sendall(self._said)
        self._theirs.shutdown(socket.SHUT_WR)
        return module._Connection(ours)

    def close(self) -> None:
        super().close()
        self._theirs.close()


WHOLE = b'HTTP/1.1 200 OK\r\ncontent-type: x\r\ncontent-length: 8\r\n\r\n{"a": 1}'
CHUNKED = CHUNKS + b'3\r\n{"a\r\n5\r\n": 1}\r\n0\r\n\r\n'
PIECES = st.sampled_from(
    [
        *(WHOLE, CHUNKED, CHUNKS, b"\r\n", b"\r\n\r\n", b"\x00", b"content-length:"),
        *(b"-1", b"-ffffffffffffffffff", b"ffffffffffffffffff\r\n", b"0\r\n"),
    ]
)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            PIECES,
            st.builds(lambda text, at: text[:at], PIECES, st.integers(0, 80)),
        ),
        max_size=5,
    ).map(b"".join)
)
@example(WHOLE)
@example(CHUNKED)
@example(CHUNKS + b"-ffffffffffffffffff\r\n")
def test_whatever_comes_is_an_answer_or_none(said: bytes) -> None:
    """No other error, nothing left open, and never a part for the whole."""
    with closing(_Pair(said)) as wire:
        try:
            body = wire.post(HEADERS, b"").body
        except AwsUnansweredError:
            assert said not in (WHOLE, CHUNKED)
        else:
            assert said not in (WHOLE, CHUNKED) or body == b'{"a": 1}'


@pytest.mark.parametrize("text", [WHOLE, CHUNKED.removesuffix(b"0\r\n\r\n")])
def test_no_part_is_taken_for_the_whole(text: bytes) -> None:
    """Cut after any byte of it; what ends chunks is no part of it."""
    for end in range(len(text)):
        with closing(_Pair(text[:end])) as wire, pytest.raises(AwsUnansweredError):
            wire.post(HEADERS, b"")


@contextmanager
def serving_tls(authority: trustme.CA, name: str) -> Iterator[int]:
    """Answer two requests of each connection, and close it; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    with suppress(OSError), context.wrap_socket(plain, server_side=True) as opened:
                        for _ in range(2):
                            opened.recv(10_000)
                            opened.sendall(WHOLE)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_tls_is_kept_and_looked_at() -> None:
    """The handshake's tickets are no end of a connection; the server's end of it is."""
    authority = trustme.CA()
    context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    with serving_tls(authority, "localhost") as port:
        wire = Wire("localhost", port, PATIENT, tls=context)
        sockets = []
        for _ in range(4):
            assert wire.post(HEADERS, b"").body == b'{"a": 1}'
            sockets.append(wire._idle[0])
            time.sleep(0.05)
        wire.close()

    assert sockets[0] is sockets[1]
    assert sockets[1] is not sockets[2]
    assert sockets[2] is sockets[3]


@contextmanager
def meeting_tls(serve: Callable[[ssl.SSLSocket], None]) -> Iterator[Wire]:
    """Yield a wire whose one connection `serve` has the other end of."""
    authority = trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(theirs)
    ours = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())

    def accept() -> None:
        plain, _ = listener.accept()
        with suppress(OSError), theirs.wrap_socket(plain, server_side=True) as opened:
            serve(opened)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        with closing(Wire("localhost", listener.getsockname()[1], PATIENT, tls=ours)) as wire:
            yield wire
        thread.join()


def test_words_in_an_answers_last_record_end_its_connection() -> None:
    """TLS has taken them off the socket, and hands them out by and by."""
    head = CHUNKS + b"%x\r\n" % 60_000
    # The reader's 65 536 bytes end in the midst of the last record, and with them the answer.
    tail = b" " * 848 + b"\r\n%x\r\n" % 5521 + b" " * 5521 + b"\r\n0\r\n\r\n"
    records = [head, b" " * 10_000, *[b" " * 16_384] * 3, tail + b"HTTP/1.1 200 OK\r\n" * 500]

    def serve(opened: ssl.SSLSocket) -> None:
        opened.recv(10_000)
        for record in records:
            assert opened.send(record) == len(record)
        opened.recv(10_000)

    with meeting_tls(serve) as wire:
        assert len(wire.post(HEADERS, b"").body) == 65_521
        for connection in wire._idle:
            assert not connection.is_quiet()
        wire.close()


@pytest.mark.parametrize(
    ("authority", "name"), [(trustme.CA(), "localhost"), (None, "other.example")]
)
def test_other_servers_are_not_believed(authority: trustme.CA | None, name: str) -> None:
    """Neither another authority's certificate nor one for another name."""
    trusted = trustme.CA()
    context = ssl.create_default_context(cadata=trusted.cert_pem.bytes().decode())
    with serving_tls(authority or trusted, name) as port:
        wire = Wire("localhost", port, PATIENT, tls=context)
        with pytest.raises(AwsUnansweredError):
            wire.post(HEADERS, b"a secret")


def test_server_that_shakes_no_hands_ends_in_time() -> None:
    """TCP is there and TLS never comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        wire = Wire("127.0.0.1", port, LIMITS, tls=ssl.create_default_context())
        began = time.monotonic()
        with pytest.raises(AwsUnansweredError):
            wire.post(HEADERS, b"")

        assert time.monotonic() - began < LIMITS.attempt_s + 0.5


def test_name_that_is_nowhere() -> None:
    """Is no answer."""
    with pytest.raises(AwsUnansweredError):
        Wire("nowhere.invalid", 443, LIMITS).post(HEADERS, b"")
