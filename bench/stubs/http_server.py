"""The least of an HTTP/1.1 server: a thread a connection, one request after the other.

Blocking sockets and `time.sleep`, because an event loop's timers round up to a millisecond, which
is what a paced stream is paced by. No server library leaves the framing to its caller.
"""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

_READ_BYTES = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; names of `headers` are lower-case."""

    path: str
    headers: dict[str, str]
    body: bytes


type Answer = Callable[[Request, socket.socket], None]


def serve(listener: socket.socket, answer: Answer) -> None:
    """Let `answer` write to each request's connection, until the process ends."""
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve_one, args=(connection, answer), daemon=True).start()


def _serve_one(connection: socket.socket, answer: Answer) -> None:
    rest = b""
    with connection:
        try:
            while (found := _read_request(connection, rest)) is not None:
                request, rest = found
                answer(request, connection)
        except OSError:
            return  # the peer has closed


def _read_request(connection: socket.socket, rest: bytes) -> tuple[Request, bytes] | None:
    """Return a request and what came after it, or None at the connection's end."""
    while b"\r\n\r\n" not in rest:
        data = connection.recv(_READ_BYTES)
        if not data:
            return None
        rest += data
    head, _, body = rest.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    pieces, left = [body], int(headers.get("content-length", "0")) - len(body)
    while left > 0:
        data = connection.recv(_READ_BYTES)
        if not data:
            return None
        pieces.append(data)
        left -= len(data)
    whole = b"".join(pieces)
    end = len(whole) + min(left, 0)
    request = Request(path=first.split()[1], headers=headers, body=whole[:end])
    return request, whole[end:]
