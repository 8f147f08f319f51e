"""The process's connection to the Runtime API: events come on it, and the answers leave on it.

    GET /next ── an event ─▶ kept ── POST of the answer, its 202 ─▶ kept ─▶ GET /next …
                              │ closed by the peer meanwhile                │ not to be kept
                              ▼                                             ▼
                              a new one                                     closed

AWS's own client keeps one too, behind libcurl, which cannot stream and does not let a signal's
handler run while it waits: that is why it asks in a thread of its own, which costs more than the
asking. A socket's own methods let handlers run (PEP 475). The reading is http.client's; its
requests are not used, since they cannot end in trailers.

AWS's guide to custom runtimes has the connection closed behind a streamed answer; AWS's clients for
Node.js (RAPIDClient.js) and Rust (lambda-runtime-api-client) keep it, and so does this one.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse

API = "/2018-06-01/runtime"
USER_AGENT = "tollgate-runtime"


class NoEventError(Exception):
    """The Runtime API gave no event; the process cannot go on."""


class ApiConnection:
    """A connection that is made when it is needed, and made anew when it was closed."""

    def __init__(self, address: str) -> None:
        """`address`: the Runtime API's host:port."""
        host, _, port = address.rpartition(":")
        self.address = address
        self._peer = (host, int(port))
        self._kept: socket.socket | None = None

    def next_event(self) -> tuple[Mapping[str, str], bytes]:
        """Wait for the next event, however long; return its headers, in lower case, and its body.

        Raises: NoEventError.
        """
        try:
            kept = self._take_kept()
            if kept is not None:
                with suppress(ConnectionError):  # closed just now, before anything came
                    return self._ask(kept)
            return self._ask(self._connect())
        except (OSError, HTTPException) as error:
            raise NoEventError(f"{type(error).__name__}: {error}") from error

    def begin_answer(self, data: bytes) -> tuple[socket.socket, int]:
        """Send an answer's first bytes; return its non-blocking socket and how many were taken.

        `keep` it or close it afterwards. Raises: OSError: there is no connection.
        """
        kept = self._take_kept()
        if kept is not None:
            with suppress(ConnectionError):  # closed just now, before anything was taken
                return _begin_on(kept, data)
        return _begin_on(self._connect(), data)

    def keep(self, connection: socket.socket) -> None:
        """Keep a connection on which nothing is under way for what comes next."""
        self._kept = connection

    def _take_kept(self) -> socket.socket | None:
        """Return the connection that was kept, if its peer has neither closed it nor said more."""
        kept, self._kept = self._kept, None
        if kept is None:
            return None
        kept.setblocking(False)
        try:
            kept.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return kept
        except OSError:
            pass  # reset
        kept.close()
        return None

    def _connect(self) -> socket.socket:
        """Connect, at once: the Runtime API is on this machine."""
        made = socket.create_connection(self._peer)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def _ask(self, connection: socket.socket) -> tuple[Mapping[str, str], bytes]:
        request = (
            f"GET {API}/invocation/next HTTP/1.1\r\n"
            f"Host: {self.address}\r\nUser-Agent: {USER_AGENT}\r\n\r\n"
        )
        is_kept = False
        try:
            connection.setblocking(True)
            connection.sendall(request.encode("latin-1"))
            answer = HTTPResponse(connection, method="GET")
            answer.begin()
            body = answer.read()
            if answer.status != HTTPStatus.OK:
                raise NoEventError(f"the answer was {answer.status}")
            is_kept = not answer.will_close
        finally:
            if is_kept:
                self.keep(connection)
            else:
                connection.close()
        return {name.lower(): value for name, value in answer.headers.items()}, body


def _begin_on(connection: socket.socket, data: bytes) -> tuple[socket.socket, int]:
    connection.setblocking(False)
    try:
        return connection, send_now(connection, data)
    except OSError:
        connection.close()
        raise


def send_now(connection: socket.socket, data: bytes) -> int:
    """Send what the kernel takes at once; return how many bytes that is. Raises: OSError."""
    try:
        return connection.send(data)
    except BlockingIOError:
        return 0
