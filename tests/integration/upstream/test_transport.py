"""httpx on aiohttp, over real sockets: what comes of an answer, an error, a connection."""

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpx
import pytest
import trustme
from tollgate.upstream.pieces import Pieces
from tollgate.upstream.transport import WATCH, AiohttpTransport, DirectClient, NoHttpError

from tests.fakes.scripted_server import DONE, PAUSE, Script, answer, hang, raw, serving, stream

EVENTS = [b"data: %b\n\n" % (b"%d" % n * 200) for n in range(2000)]


class Watch:
    """What a request was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.sent = asyncio.Event()

    def note_connecting(self) -> None:
        self.told.append("connecting")

    def note_sent(self) -> None:
        self.told.append("sent")
        self.sent.set()


@asynccontextmanager
async def client(tls: ssl.SSLContext | None = None) -> AsyncIterator[httpx.AsyncClient]:
    made = AiohttpTransport(
        tls=tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), connections_max=2, idle_s=60
    )
    async with asyncio.timeout(20), DirectClient(made) as http:
        yield http


def post(http: httpx.AsyncClient, url: str, watch: Watch | None = None) -> httpx.Request:
    return http.build_request("POST", url, content=b"{}", extensions={WATCH: watch or Watch()})


def closing(head: bytes, *pieces: bytes) -> Script:
    """Answer with these bytes and close, however the head says that it would end."""
    return raw(head + b"".join(pieces))


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
LONGER = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\n"
FRAMED = [b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS]


@pytest.mark.parametrize(
    ("script", "is_broken"),
    [
        (stream(*EVENTS), False),
        (closing(CHUNKED, *FRAMED), True),
        (closing(LONGER, *EVENTS), True),
        (closing(TO_THE_END, *EVENTS), False),
        (raw(CHUNKED, *FRAMED, PAUSE, b"ZZ\r\n", ending="hang"), True),
    ],
)
@pytest.mark.parametrize("pause_s", [0.0, 0.02])
async def test_all_that_came_is_read_before_the_break(
    script: Script, pause_s: float, *, is_broken: bool
) -> None:
    """Also by a reader that was busy when the connection broke."""
    body, is_error = b"", False
    async with serving(script) as server, client() as http:
        response = await http.send(post(http, server.base_url), stream=True)
        await asyncio.sleep(5 * pause_s)
        async with aclosing(response):
            try:
                async for piece in response.aiter_raw():
                    body += piece
                    await asyncio.sleep(pause_s)
            except httpx.RemoteProtocolError:
                is_error = True

    assert body == b"".join(EVENTS)
    assert is_error is is_broken


@pytest.mark.parametrize("pieces", [2000, 200_000])
async def test_reading_goes_on_after_a_pause(pieces: int) -> None:
    """A body that is more than is kept for a busy reader: many bytes, or many chunks."""
    piece = b"x" * (4_000_000 // pieces)
    chunked = CHUNKED + b"%x\r\n%b\r\n" % (len(piece), piece) * pieces + b"0\r\n\r\n"
    async with serving(raw(chunked)) as server, client() as http:
        response = await http.send(post(http, server.base_url), stream=True)
        await asyncio.sleep(0.2)
        sizes = []
        async for read in response.aiter_raw():
            sizes.append(len(read))
            await asyncio.sleep(0)
        await response.aclose()

    assert sum(sizes) == len(piece) * pieces
    assert max(sizes) < sum(sizes) / 2  # it was not all taken in at once


async def test_cookies_stay_with_their_answer() -> None:
    """The next request may be another caller's."""
    bake = answer(b"{}", head="set-cookie: session=one; path=/\r\n")
    async with serving(bake) as server, client() as http:
        for _ in range(2):
            response = await http.send(post(http, server.base_url))
            assert response.headers["set-cookie"] == "session=one; path=/"

    assert len(server.headers) == 2
    assert all("cookie" not in headers for headers in server.headers)


async def test_redirects_are_not_followed() -> None:
    """A POST with a key must not wander."""
    away = answer(b"{}", status=307, head="location: http://127.0.0.1:1/\r\n")
    async with serving(away) as server, client() as http:
        response = await http.send(post(http, server.base_url))

    assert (response.status_code, len(server.headers)) == (307, 1)


async def test_connection_is_kept_after_a_whole_answer() -> None:
    """And the second request is told that it did not have to make one."""
    first, second = Watch(), Watch()
    async with serving(answer(b"{}")) as server, client() as http:
        for watch in (first, second):
            assert (await http.send(post(http, server.base_url, watch))).read() == b"{}"

    assert server.connections == 1
    assert first.told == ["connecting", "sent"]
    assert second.told == ["sent"]


async def test_closing_an_answer_hangs_up() -> None:
    """The vendor must not go on generating."""
    async with serving(stream(DONE, ending="hang")) as server, client() as http:
        response = await http.send(post(http, server.base_url), stream=True)
        await response.aclose()

        await server.hung_up.wait()


async def test_whole_answer_that_is_not_waited_for_hangs_up() -> None:
    """Whoever gives up while the body is read leaves no connection behind."""
    async with serving(stream(DONE, ending="hang")) as server, client() as http:
        sending = asyncio.create_task(http.send(post(http, server.base_url)))
        await asyncio.sleep(0.1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await sending

        await server.hung_up.wait()
    assert caught.tb is not None  # which holds the answer: it was closed, and not only forgotten


async def test_body_is_sent_when_the_server_has_taken_it() -> None:
    """The wait for the first byte must not begin while megabytes are still on their way."""
    watch, taken = Watch(), asyncio.Event()

    async def take_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await taken.wait()
        await reader.readexactly(8_000_000)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take_slowly, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    body = Pieces([bytes(8_000_000)])
    async with server, client() as http:
        request = http.build_request("POST", url, content=body, extensions={WATCH: watch})
        sending = asyncio.create_task(http.send(request))
        await asyncio.sleep(0.1)
        assert not watch.sent.is_set()
        taken.set()
        assert (await sending).status_code == 200
    assert watch.told == ["connecting", "sent"]


async def test_answer_may_come_before_the_body_is_sent() -> None:
    """What is written of it after that starts no wait, and spoils nothing."""
    watch = Watch()

    async def answer_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhi")
        await reader.readexactly(8_000_000)
        writer.write(b" !")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer_at_once, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, client() as http:
        request = http.build_request(
            "POST",
            url,
            content=Pieces([bytes(8_000_000)]),
            headers={"content-length": "8000000"},
            timeout=httpx.Timeout(None, write=0.3),
            extensions={WATCH: watch},
        )
        response = await http.send(request, stream=True)
        assert "sent" not in watch.told
        assert await response.aread() == b"hi !"
    assert watch.told == ["connecting"]


async def test_server_that_takes_nothing_has_a_time_limit() -> None:
    """For each piece of the body, of which this one takes none."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        async with client() as http:
            request = http.build_request(
                "POST",
                f"http://127.0.0.1:{deaf.getsockname()[1]}",
                content=Pieces([bytes(20_000_000)]),
                timeout=httpx.Timeout(None, write=0.2),
            )
            with pytest.raises(httpx.WriteTimeout):
                await http.send(request)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:9", httpx.ConnectError),
        ("http://no-such-host.invalid", httpx.ConnectError),
        ("ftp://127.0.0.1", httpx.UnsupportedProtocol),
    ],
)
async def test_no_connection(url: str, expected: type[httpx.TransportError]) -> None:
    """An address where nobody is, and one that is none."""
    async with client() as http:
        with pytest.raises(expected):
            await http.send(post(http, url))


@pytest.mark.parametrize(
    "script",
    [
        raw(b""),
        raw(b"SSH-2.0-OpenSSH\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 100_000 + b"\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot hexadecimal\r\n"),
    ],
)
async def test_answer_that_is_no_http(script: Script) -> None:
    """Or none at all: httpx's error for it, which a pooled connection is forgiven."""
    async with serving(script) as server, client() as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.send(post(http, server.base_url))


@pytest.mark.parametrize(
    ("bytes_", "is_answer"), [(b"", False), (b"HTTP/1.1 200 OK\r\nx: y\r\n", True), (b"SSH", True)]
)
async def test_what_has_begun_to_answer_is_told_from_what_has_not(
    bytes_: bytes, *, is_answer: bool
) -> None:
    """A vendor that has answered has had the request, which is not sent again."""
    async with serving(raw(bytes_)) as server, client() as http:
        with pytest.raises(httpx.RemoteProtocolError) as raised:
            await http.send(post(http, server.base_url))
    assert isinstance(raised.value, NoHttpError) is is_answer


async def test_reset_is_a_read_error() -> None:
    """A connection that is reset while the answer is waited for."""

    async def reset(writer: asyncio.StreamWriter) -> None:
        linger = b"\1\0\0\0\0\0\0\0"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
        await asyncio.sleep(0)

    async with serving(reset) as server, client() as http:
        with pytest.raises(httpx.ReadError):
            await http.send(post(http, server.base_url))


async def test_header_that_cannot_be_sent() -> None:
    """An operator's key with a line end in it fails here, and is in no message."""
    async with serving(answer()) as server, client() as http:
        request = http.build_request("POST", server.base_url, headers={"authorization": "a\nb: c"})
        with pytest.raises(httpx.LocalProtocolError) as raised:
            await http.send(request)
    assert "b: c" not in str(raised.value)
    assert server.paths == []


async def test_connecting_has_one_time_limit() -> None:
    """For TLS too, with a server that takes the connection and says nothing."""
    async with serving(hang) as server, client() as http:
        request = http.build_request(
            "POST",
            server.base_url.replace("http:", "https:"),
            timeout=httpx.Timeout(None, connect=0.2),
        )
        with pytest.raises(httpx.ConnectTimeout):
            await http.send(request)


async def test_place_in_the_pool_is_part_of_connecting() -> None:
    """Two connections at most here, and both taken."""
    async with serving(hang) as server, client() as http:
        taken = [asyncio.create_task(http.send(post(http, server.base_url))) for _ in range(2)]
        while server.connections < 2:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
        request = http.build_request(
            "POST", server.base_url, timeout=httpx.Timeout(None, connect=0.2)
        )
        with pytest.raises(httpx.ConnectTimeout):
            await http.send(request)
        for task in taken:
            task.cancel()
        await asyncio.wait(taken)
        await server.hung_up.wait()


async def test_address_goes_out_as_it_is_written() -> None:
    """Bedrock's are signed, escapes and all; and no cookie goes back."""
    cookie = answer(b"{}", head="set-cookie: a=b\r\n")
    async with serving(cookie) as server, client() as http:
        for _ in range(2):
            await http.send(post(http, f"{server.base_url}/model/claude%3A0/x?y=%2F"))
            http.cookies.clear()

    assert server.paths == ["/v1/model/claude%3A0/x?y=%2F"] * 2
    assert "cookie" not in server.headers[1]


async def test_tls_trusts_the_given_authorities_only() -> None:
    """Neither the system's, nor none."""
    authority = trustme.CA()
    trusting, other = ssl.create_default_context(), ssl.create_default_context()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(trusting)

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=served)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, client(trusting) as trusts, client(other) as refuses:
        assert (await trusts.send(post(trusts, url))).text == "hi"
        with pytest.raises(httpx.ConnectError):
            await refuses.send(post(refuses, url))


def test_import_leaves_new_contexts_as_they_were() -> None:
    """They have the system's authorities again, and aiohttp's own two were made without."""
    code = (
        "import ssl\n"
        "before = ssl.create_default_context().cert_store_stats()\n"
        "import tollgate.upstream.transport\n"
        "from aiohttp import connector\n"
        "made = connector._SSL_CONTEXT_VERIFIED.cert_store_stats()['x509']\n"
        "print(ssl.create_default_context().cert_store_stats() == before, made)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.split() == ["True", "0"]
