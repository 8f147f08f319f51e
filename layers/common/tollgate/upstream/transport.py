"""httpx on aiohttp's parser, which is C: a chunk costs a fourth of what httpcore and h11 take.

    httpx.AsyncClient ──▶ AiohttpTransport ──▶ aiohttp.ClientSession: pool, TLS, HTTP/1.1
                               │ aiohttp's errors ──▶ httpx's, by `_ERRORS`
                               └ what a `RequestWatch` is told

The adapter `httpx-aiohttp` is not used: it tells nobody whether a connection is new or when the
request is sent, takes a broken connection for a time-out, lets some of aiohttp's errors through,
and writes addresses anew, which breaks a signature of them. docs/decisions/0008 has the figures.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any, Protocol

import httpx
from yarl import URL


@contextmanager
def _without_authorities() -> Iterator[None]:
    """Make new TLS contexts empty, so that they trust nobody.

    aiohttp makes two when it is imported, and reading the system's authorities for them takes as
    long as all the rest of it. Neither is used here.
    """
    ssl.SSLContext.set_default_verify_paths = lambda _: None  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # the class inherits it again


with _without_authorities():
    import aiohttp
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.http_exceptions import HttpProcessingError

WATCH = "tollgate.watch"  # the request's extension that holds a RequestWatch
_CHUNKED = "transfer-encoding"  # aiohttp sets it itself


class NoHttpError(httpx.RemoteProtocolError):
    """Bytes came that are no HTTP, or not all of an answer's head."""


_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, NoHttpError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    (aiohttp.ClientError, httpx.ReadError),
    (TimeoutError, httpx.WriteTimeout),  # of ours: the only one that is not aiohttp's
    (OSError, httpx.ReadError),
    (ValueError, httpx.LocalProtocolError),  # a header that cannot be sent
)


class RequestWatch(Protocol):
    """Hears of one request's way."""

    def note_connecting(self) -> None:
        """No connection of the pool could be used: one is being made."""

    def note_sent(self) -> None:
        """All of the body has been sent, and no answer has come yet."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """One pool of connections. Made anywhere, used by one event loop."""

    def __init__(self, *, tls: ssl.SSLContext, connections_max: int, idle_s: float) -> None:
        """`idle_s`: how long an unused connection is kept."""
        self._tls = tls
        self._connections_max = connections_max
        self._idle_s = idle_s
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and return the answer once its head has come.

        Of the request's time-outs two are kept: "connect" for all that comes before the request is
        sent, the wait for a place in the pool included, and "write" for each piece of its body.

        Raises: httpx.TransportError.
        """
        limits: Mapping[str, float | None] = request.extensions.get("timeout", {})
        with _errors_of_httpx():
            async with asyncio.timeout(None) as timer:
                upload = _Upload(request, timer, limits.get("write"))
                answer = await self._open_session().request(
                    request.method,
                    URL(str(request.url), encoded=True),
                    headers=[one for one in request.headers.multi_items() if one[0] != _CHUNKED],
                    data=upload if _has_body(request) else None,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, connect=limits.get("connect")),
                    trace_request_ctx=request.extensions.get(WATCH),
                )
                upload.note_answer()
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    def _open_session(self) -> aiohttp.ClientSession:
        """Return the session; made late, since it belongs to the loop that runs then."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(
                    ssl=self._tls, limit=self._connections_max, keepalive_timeout=self._idle_s
                ),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[_make_trace()],
                middlewares=[_send_once],
            )
        return self._session

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


class DirectClient(httpx.AsyncClient):
    """A client that hands each request to its transport and does no more.

    No cookie of one caller's answer is sent with the next one's request, and no redirect is
    followed: a POST with a key must not wander. httpx's own way to the transport takes as long as
    half of the transport.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        """Trust nothing of the environment; set no time-outs: each request brings its own."""
        super().__init__(transport=transport, trust_env=False, timeout=None)
        self._direct = transport

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: object = None,  # noqa: ARG002 - nothing here has any
        follow_redirects: object = None,  # noqa: ARG002
    ) -> httpx.Response:
        """Send; read the answer's body unless it is to be streamed. Raises as the transport."""
        response = await self._direct.handle_async_request(request)
        response.request = request
        if not stream:
            async with aclosing(response):
                await response.aread()
        return response


class _Connection(ResponseHandler):
    """Tells the reader of an answer that what follows is no HTTP, and goes on only if it stopped.

    aiohttp 3.14.5 closes the connection and leaves the reader waiting; and with each chunk that is
    taken it goes on reading, which takes a third of what it does for a chunk.
    """

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        super().set_exception(exc, *cause)
        if isinstance(exc, HttpProcessingError) and self._payload is not None:
            self._payload.set_exception(aiohttp.ClientPayloadError())

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's
        if self._reading_paused:
            super().resume_reading(resume_parser)


class _Connector(aiohttp.TCPConnector):
    """Makes such connections. `_factory` has no public name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_Connection, loop=self._loop)  # type: ignore[assignment]


def _make_trace() -> aiohttp.TraceConfig:
    async def tell_connecting(_: object, context: object, __: object) -> None:
        watch: RequestWatch | None = getattr(context, "trace_request_ctx", None)
        if watch is not None:
            watch.note_connecting()

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(tell_connecting)
    return trace


async def _send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send, and hide from aiohttp what it would send a second time for: that is ours to decide."""
    with _errors_of_httpx():
        return await send(request)


def _has_body(request: httpx.Request) -> bool:
    length: str | None = request.headers.get("content-length")
    return length not in (None, "0") or _CHUNKED in request.headers


class _Upload:
    """A request's body on its way. When more is asked for, what went before has been sent."""

    def __init__(
        self, request: httpx.Request, timer: asyncio.Timeout, piece_s: float | None
    ) -> None:
        """`piece_s`: most seconds that the server may take for a piece; None: any."""
        self._stream = request.stream
        self._watch: RequestWatch | None = request.extensions.get(WATCH)
        self._timer: asyncio.Timeout | None = timer
        self._piece_s = piece_s

    def note_answer(self) -> None:
        """The server has answered, though it may not have read all: let go of the timer."""
        self._timer = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if not isinstance(self._stream, httpx.AsyncByteStream):
            raise TypeError("the body cannot be read asynchronously")
        async for piece in self._stream:
            self._expect_within(self._piece_s)
            yield piece
        self._expect_within(None)
        if self._watch is not None and self._timer is not None:
            self._watch.note_sent()

    def _expect_within(self, seconds: float | None) -> None:
        if self._timer is not None:
            now_s = asyncio.get_running_loop().time()
            self._timer.reschedule(None if seconds is None else now_s + seconds)


class _Body(httpx.AsyncByteStream):
    """The bytes of one answer as they come: all that have come since the last ones."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._answer.content
        with _errors_of_httpx():
            try:
                while piece := await content.readany():
                    yield piece
            except (aiohttp.ClientError, OSError):  # what came before it is still here
                content.set_exception(None)  # type: ignore[arg-type]
                if piece := content.read_nowait():
                    yield piece
                raise

    async def aclose(self) -> None:
        """Hang up, unless all has been read: then the connection is in the pool again."""
        self._answer.close()


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError, ValueError) as error:
        found = next(ours for theirs, ours in _ERRORS if isinstance(error, theirs))
        if not isinstance(getattr(error, "message", ""), str):
            found = NoHttpError  # it has disconnected within an answer's head
        raise found(type(error).__name__) from error
