"""A vendor that behaves as badly as its script says, over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
COMPLETION = b'{"choices": [{"index": 0, "message": {"content": "hi"}}]}'
PAUSE, PAUSE_S = b"", 0.2

type Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class ScriptedServer:
    """Runs its scripts one after another, a request each; the last one stays."""

    scripts: list[Script]
    base_url: str = ""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    raw_bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while not writer.is_closing():
                    await self._take(reader)
                    await self._play(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _take(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request, *lines = head.strip().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        self.paths.append(request.split()[1])
        self.headers.append(headers)
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        self.raw_bodies.append(raw)
        is_json = headers.get("content-type") == "application/json"
        self.bodies.append(json.loads(raw) if is_json else {})
        self.asked.set()

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Run the next script, but stop it where the client hangs up."""
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        playing = asyncio.ensure_future(script(writer))
        watching = asyncio.ensure_future(self._watch(reader))
        try:
            await asyncio.wait({playing, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (playing, watching):
                task.cancel()
            await asyncio.gather(playing, watching, return_exceptions=True)

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        """Return once the client has hung up; a next request stays in the reader."""
        # A read would notice too, but it might take the next request's first byte.
        while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)
        self.hung_up.set()


@asynccontextmanager
async def serving(*scripts: Script) -> AsyncIterator[ScriptedServer]:
    """Serve `scripts` on a free port of 127.0.0.1."""
    state = ScriptedServer(scripts=list(scripts))
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(state.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    state.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield state
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def answer(
    body: bytes = b"", *, status: int = 200, content_type: str = "application/json", head: str = ""
) -> Script:
    """Answer with a whole body. `head`: further header lines, each ended by CRLF."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"HTTP/1.1 {status} Said\r\ncontent-type: {content_type}\r\n"
            f"content-length: {len(body)}\r\n{head}\r\n".encode()
        )
        writer.write(body)
        await writer.drain()

    return script


def error(status: int, message: str = "no", *, head: str = "", **fields: object) -> Script:
    """Answer with OpenAI's error object."""
    body = json.dumps({"error": {"message": message, **fields}}).encode()
    return answer(body, status=status, head=head)


def stream(
    *pieces: bytes, content_type: str = "text/event-stream", ending: str = "whole", head: str = ""
) -> Script:
    """Stream `pieces`, then end: "whole", "hang", "close" in the middle, "reset", or "open".

    After `PAUSE` among them the client has read what came before.
    """

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(
            f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n"
            f"transfer-encoding: chunked\r\n{head}\r\n".encode()
        )
        for piece in pieces:
            await _write(writer, piece and b"%x\r\n%b\r\n" % (len(piece), piece))
        await _end(writer, ending)

    return script


async def _write(writer: asyncio.StreamWriter, piece: bytes) -> None:
    if piece == PAUSE:
        await asyncio.sleep(PAUSE_S)
    writer.write(piece)
    await writer.drain()


async def _end(writer: asyncio.StreamWriter, ending: str) -> None:
    if ending == "whole":
        writer.write(b"0\r\n\r\n")
    elif ending == "hang":
        await asyncio.Event().wait()
    elif ending == "reset":
        writer.transport.abort()
    elif ending == "close":
        writer.close()


def raw(*pieces: bytes, ending: str = "close") -> Script:
    """Send `pieces`, which need not be HTTP, then end; both as `stream` does."""

    async def script(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            await _write(writer, piece)
        await _end(writer, ending)

    return script


async def hang(writer: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


async def comment_for_ever(writer: asyncio.StreamWriter) -> None:
    """Send comments and nothing else."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    while True:
        writer.write(b": still there\n\n")
        await writer.drain()
        await asyncio.sleep(0.01)
