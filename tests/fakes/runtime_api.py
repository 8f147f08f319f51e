"""A Runtime API that keeps the raw bytes of what a runtime posts, and answers as it is told.

Like Lambda's it answers 403 to a /next that comes before the last response was accepted.
"""

import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

INVOCATION_ID = "invocation-1"
_NO_LINGER = struct.pack("ii", 1, 0)  # closing then resets the connection


class _ResetError(Exception):
    """Ends a connection with a reset."""


@dataclass(slots=True, kw_only=True)
class Posted:
    """One POST: its head, its body's raw framing as read, and when each read came."""

    path: str
    headers: dict[str, str]
    raw: bytes = b""
    is_complete: bool = False

    @property
    def chunks(self) -> list[bytes]:
        """Return the chunks of the body; fails on any framing that is not HTTP/1.1's."""
        found: list[bytes] = []
        rest = self.raw
        while True:
            size_line, _, rest = rest.partition(b"\r\n")
            size = int(size_line, 16)
            if size == 0:
                return found
            found.append(rest[:size])
            assert rest[size : size + 2] == b"\r\n"
            rest = rest[size + 2 :]

    @property
    def trailers(self) -> dict[str, str]:
        """Return what follows the last chunk."""
        _, _, tail = self.raw.rpartition(b"\r\n0\r\n")
        assert tail.endswith(b"\r\n")
        lines = tail.decode().strip().splitlines()
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def prelude(self) -> dict[str, Any]:
        """Return the prelude: the first chunk, ended by eight NULs, of two keys."""
        first = self.chunks[0]
        assert first.endswith(b"}" + b"\0" * 8)
        assert first.count(b"\0") == 8
        prelude: dict[str, Any] = json.loads(first[:-8])
        assert set(prelude) == {"statusCode", "multiValueHeaders"}
        return prelude


@dataclass(slots=True)
class FakeRuntimeApi:
    """Serves events in order; `log` has what happened: restore, next, post, chunk, complete.

    `verdicts`: statuses for the next responses, 202 where there is none. `may_answer`: cleared, it
    holds them back. `closes`: whether connections are closed behind an answer, without saying so;
    `closes_behind_event`: the same behind an event. `connections`: how many there were.
    `may_restore`: cleared, it holds back the answer to /restore/next, as a snapshot does.
    `lives_ms`: the function's time-out. `chunks_before_reset`: the connection of a response is
    reset after so many chunks.
    """

    events: Queue[dict[str, Any] | None] = field(default_factory=Queue)
    posts: list[Posted] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    verdicts: list[int] = field(default_factory=list)
    has_invocation_id: bool = True
    may_answer: threading.Event = field(default_factory=threading.Event)
    may_restore: threading.Event = field(default_factory=threading.Event)
    closes: bool = True
    closes_behind_event: bool = False
    connections: int = 0
    lives_ms: int = 60_000
    chunks_before_reset: int | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)
    _listener: socket.socket | None = None
    _threads: list[threading.Thread] = field(default_factory=list)
    _is_answer_due: bool = False

    def __post_init__(self) -> None:
        self.may_answer.set()
        self.may_restore.set()

    def start(self) -> str:
        """Listen on a free port; return host:port."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=self._accept, args=(self._listener,))
        thread.start()
        self._threads.append(thread)
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def stop_serving(self) -> None:
        """Refuse connections, and close the one that waits for an event."""
        assert self._listener is not None
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.events.put(None)

    def stop(self) -> None:
        """Stop listening; whoever waits for an event is let go."""
        self.stop_serving()
        self.may_answer.set()
        self.may_restore.set()
        for _ in range(8):
            self.events.put(None)
        for thread in self._threads:
            thread.join(10)

    def note(self, what: str) -> None:
        """Add to the log and wake who waits for it."""
        with self.changed:
            self.log.append(what)
            self.changed.notify_all()

    def wait_for(self, is_there: Any, seconds: float = 30.0) -> None:
        """Wait until `is_there()`; fail with the log if it does not come."""
        with self.changed:
            assert self.changed.wait_for(is_there, seconds), self.log

    def is_early_next_seen(self) -> bool:
        """Return whether /next came while a response was open; gives it a moment to come."""
        with self.changed:
            return self.changed.wait_for(lambda: "early next" in self.log, 0.3)

    def answer(self, event: dict[str, Any]) -> Posted:
        """Hand out an event; return what was posted for it, once that is complete."""
        known = len(self.posts)
        self.events.put(event)
        self.wait_for(lambda: len(self.posts) > known and self.posts[known].is_complete)
        return self.posts[known]

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            try:
                while self._serve_one(stream):
                    pass
            except _ResetError:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                self.note("reset")
        if self.closes_behind_event:
            self.note("closed")

    def _serve_one(self, stream: Any) -> bool:
        try:
            method, path, _ = stream.readline().decode().split()
        except (ValueError, OSError):
            return False
        headers = {}
        while line := stream.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if method == "GET":
            return (
                self._next(stream) if path.endswith("/invocation/next") else self._restore(stream)
            )
        return self._take_post(stream, Posted(path=path, headers=headers))

    def _restore(self, stream: Any) -> bool:
        self.note("restore")
        self.may_restore.wait(60)
        stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        stream.flush()
        return True

    def _next(self, stream: Any) -> bool:
        if self._is_answer_due:
            self.note("early next")
            stream.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}")
            stream.flush()
            return True
        self.note("next")
        event = self.events.get()
        if event is None:
            return False
        self._is_answer_due = True
        body = json.dumps(event).encode()
        head = [
            "HTTP/1.1 200 OK",
            "Lambda-Runtime-Aws-Request-Id: request-1",
            f"Lambda-Runtime-Deadline-Ms: {int(time.time() * 1000) + self.lives_ms}",
            "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:x:1:function:f",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        if self.has_invocation_id:
            head.append(f"Lambda-Runtime-Invocation-Id: {INVOCATION_ID}")
        stream.write("\r\n".join([*head, "", ""]).encode() + body)
        stream.flush()
        return not self.closes_behind_event

    def _take_post(self, stream: Any, posted: Posted) -> bool:
        self.posts.append(posted)
        self.note("post")
        if posted.headers.get("transfer-encoding") == "chunked":
            self._read_chunks(stream, posted)
        else:
            posted.raw = stream.read(int(posted.headers.get("content-length", 0)))
        posted.is_complete = True
        self.note("complete")
        self.may_answer.wait(60)
        status = self.verdicts.pop(0) if self.verdicts else 202
        self._is_answer_due = False
        stream.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n".encode() + b"{}")
        stream.flush()
        return not self.closes

    def _read_chunks(self, stream: Any, posted: Posted) -> None:
        count = 0
        while True:
            size_line = stream.readline()
            posted.raw += size_line
            size = int(size_line, 16)
            if size == 0:
                break
            posted.raw += stream.read(size + 2)
            self.note("chunk")
            count += 1
            if count == self.chunks_before_reset:
                self._is_answer_due = False
                raise _ResetError
        while (line := stream.readline()) != b"\r\n":
            posted.raw += line
        posted.raw += b"\r\n"
