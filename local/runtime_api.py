"""Lambda's Runtime API for one sandbox, over a real socket.

    GET  …/invocation/next            waits for an event
    POST …/invocation/<id>/response   buffered, or streaming: chunks as they come, error trailers
    POST …/invocation/<id>/error      POST …/init/error

HTTP is h11's: a server library that hides chunks and trailers would hide what is to be shown.
Source: AWS, "Using the Lambda runtime API" and "Building a custom runtime".
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum, auto

import h11

_READ_BYTES = 65536
_BUFFERED_BYTES_MAX = 6 * 1024 * 1024 + 100
_PREFIX = "/2018-06-01/runtime/"


class Kind(Enum):
    """What part of an answer has come."""

    BUFFERED = auto()
    CHUNK = auto()
    END = auto()
    ERROR = auto()
    LOST = auto()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer; `data` of an END is the error that its trailers told, if any."""

    kind: Kind
    data: bytes = b""


@dataclass(slots=True, kw_only=True)
class Invocation:
    """One event for a sandbox, and the answer's parts as they come; the last is no CHUNK."""

    event: bytes
    deadline_s: float
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    invocation_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    parts: asyncio.Queue[Part] = field(default_factory=asyncio.Queue)
    is_answered: bool = False

    def put(self, kind: Kind, data: bytes = b"") -> None:
        """Add a part; whoever reads them may be gone."""
        self.is_answered = self.is_answered or kind is not Kind.CHUNK
        self.parts.put_nowait(Part(kind, data))


class RuntimeApi:
    """The API of one sandbox. `ready` is set whenever the runtime waits for an event."""

    def __init__(self, function_arn: str) -> None:
        self._arn = function_arn
        self._events: asyncio.Queue[Invocation] = asyncio.Queue()
        self._current: Invocation | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.ready = asyncio.Event()
        self.init_error: bytes | None = None

    async def start(self) -> str:
        """Listen on a free port; return host:port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def invoke(self, invocation: Invocation) -> None:
        """Hand the runtime its next event."""
        self.ready.clear()
        self._current = invocation
        self._events.put_nowait(invocation)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        connection = _Connection(reader, writer)
        try:
            while (request := await connection.request()) is not None:
                await self._answer(connection, request)
                if not connection.is_reusable():
                    break
        except (OSError, h11.RemoteProtocolError):
            pass  # the runtime has closed; a stream cut short was noted where it was read
        finally:
            writer.close()

    async def _answer(self, connection: "_Connection", request: h11.Request) -> None:
        target = request.target.decode().removeprefix(_PREFIX)
        if target == "invocation/next":
            await connection.drain_body()
            await self._answer_next(connection)
        elif target.endswith("/response"):
            await self._take_response(connection, request, target.split("/")[1])
        elif target.endswith("/error"):
            body = await connection.read_body()
            self._take_error(target, body)
            await connection.respond(202, b'{"status":"OK"}')
        else:
            await connection.drain_body()
            await connection.respond(404, b"{}")

    async def _answer_next(self, connection: "_Connection") -> None:
        if self._current is not None and not self._current.is_answered:
            await connection.respond(403, b'{"errorType":"InvalidStateTransition"}')
            return
        self._current = None
        self.ready.set()
        invocation = await self._events.get()
        headers = [
            ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(int(invocation.deadline_s * 1000))),
            ("Lambda-Runtime-Invoked-Function-Arn", self._arn),
            ("Lambda-Runtime-Trace-Id", f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}"),
            ("Lambda-Runtime-Invocation-Id", invocation.invocation_id),
            ("Content-Type", "application/json"),
        ]
        await connection.respond(200, invocation.event, headers)

    async def _take_response(
        self, connection: "_Connection", request: h11.Request, request_id: str
    ) -> None:
        invocation, headers = self._current, dict(request.headers)
        if invocation is None or invocation.request_id != request_id or invocation.is_answered:
            await connection.drain_body()
            await connection.respond(410, b'{"errorType":"InvokeTimeout"}')
            return
        if headers.get(b"lambda-runtime-function-response-mode") == b"streaming":
            await self._take_stream(connection, invocation)
        else:
            body = await connection.read_body()
            is_too_large = len(body) > _BUFFERED_BYTES_MAX
            invocation.put(Kind.ERROR if is_too_large else Kind.BUFFERED, body)
            if is_too_large:
                await connection.respond(413, b'{"errorType":"ResponseSizeTooLarge"}')
                return
        await connection.respond(202, b'{"status":"OK"}')

    async def _take_stream(self, connection: "_Connection", invocation: Invocation) -> None:
        try:
            async for data in connection.body():
                invocation.put(Kind.CHUNK, data)
        finally:
            if not connection.is_body_complete and not invocation.is_answered:
                invocation.put(Kind.LOST)
        invocation.put(
            Kind.END, connection.trailers.get(b"lambda-runtime-function-error-type", b"")
        )

    def _take_error(self, target: str, body: bytes) -> None:
        if target == "init/error":
            self.init_error = body
        elif self._current is not None and not self._current.is_answered:
            self._current.put(Kind.ERROR, body)


class _Connection:
    """One HTTP/1.1 connection of the runtime's, in h11's terms."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=1024 * 1024)
        self.trailers: dict[bytes, bytes] = {}
        self.is_body_complete = False

    async def request(self) -> h11.Request | None:
        """Return the next request, or None when the peer has closed."""
        event = await self._event()
        self.is_body_complete = False
        return event if isinstance(event, h11.Request) else None

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; afterwards `trailers` holds what followed it."""
        while True:
            event = await self._event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self.trailers = dict(event.headers)
                self.is_body_complete = True
                return
            else:
                raise ConnectionResetError("the body broke off")

    async def read_body(self) -> bytes:
        """Return the whole body."""
        return b"".join([data async for data in self.body()])

    async def drain_body(self) -> None:
        """Read the body away."""
        await self.read_body()

    async def respond(
        self, status: int, body: bytes, headers: list[tuple[str, str]] | None = None
    ) -> None:
        """Answer the request."""
        fields = [*(headers or [("Content-Type", "application/json")])]
        fields.append(("Content-Length", str(len(body))))
        response = h11.Response(status_code=status, headers=fields)
        pieces = [self._http.send(response), self._http.send(h11.Data(data=body))]
        pieces.append(self._http.send(h11.EndOfMessage()))
        self._writer.write(b"".join(piece or b"" for piece in pieces))
        with contextlib.suppress(OSError):
            await self._writer.drain()

    def is_reusable(self) -> bool:
        """Go on to the next request of the connection, if there may be one."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        return False

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(_READ_BYTES))
        return event
