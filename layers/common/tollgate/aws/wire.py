"""POSTs over kept connections, each with an end in time, whatever the server does or does not.

    post ▶ a kept connection ─ ended meanwhile? ▶ the next one … ▶ a new one
         ▶ head and body in one send ▶ the answer, whole ▶ the connection is kept

A sandbox of Lambda's sleeps for minutes, and servers end what is idle: a connection that has ended
while nobody looked is no failure, and costs no try. `http.client`'s connection is not used: it
sends head and body apart, and knows no end in time.
"""

import http.client
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tollgate.aws.answers import Answer, read_answer
from tollgate.aws.errors import AwsUnansweredError

_IDLE_MAX = 10  # as many as billing reads at once; more are used, and not kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """For how long and how often a call is tried.

    Args:
        connect_timeout_s: seconds for TCP and TLS together.
        read_timeout_s: seconds of silence; what comes in pieces has both times in all.
        attempts_max: tries, the first one counted.
    """

    connect_timeout_s: float
    read_timeout_s: float
    attempts_max: int

    @property
    def attempt_s(self) -> float:
        """The longest that one try takes."""
        return self.connect_timeout_s + self.read_timeout_s


class Wire:
    """Connections to one server. Threads may share it; each call has one to itself."""

    def __init__(
        self, host: str, port: int, limits: Limits, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """`tls`: None for a database on this machine."""
        self._host = host
        self._port = port
        self._limits = limits
        self._tls = tls
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()
        self._is_open = True

    def post(self, headers: Mapping[str, str], body: bytes, *, is_fresh: bool = False) -> Answer:
        """Send `body` to `/` and return the answer.

        `is_fresh`: on a new connection, since a failure says little good of those that are kept.

        Raises: AwsUnansweredError: in the limits' time there was no answer.
        """
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        head = f"POST / HTTP/1.1\r\n{''.join(lines)}content-length: {len(body)}\r\n\r\n"
        request = head.encode() + body
        clock = _Clock(self._limits)
        try:
            kept = None if is_fresh else self._take()
            if kept is not None:
                with suppress(ConnectionError, ssl.SSLError):  # else it ended just as it was used
                    return self._exchange(kept, request, clock)
            return self._exchange(self._connect(clock), request, clock)
        except (OSError, http.client.HTTPException, OverflowError, ValueError) as error:
            raise AwsUnansweredError(type(error).__name__) from error

    def close(self) -> None:
        """Close what is idle, and keep nothing from now on; calls go on."""
        self._is_open = False
        self._drop_idle()

    def __del__(self) -> None:
        """Close what is idle: a client that is only let go of leaves nothing open."""
        self._drop_idle()

    def _take(self) -> "_Connection | None":
        """Return a kept connection on which nothing has happened since, or None."""
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None or connection.is_quiet():
                return connection
            connection.close()

    def _exchange(self, connection: "_Connection", request: bytes, clock: "_Clock") -> Answer:
        try:
            answer, is_kept = connection.exchange(request, clock)
        except BaseException:
            connection.close()
            self._drop_idle()
            raise
        with self._lock:
            is_kept = is_kept and self._is_open and len(self._idle) < _IDLE_MAX
            if is_kept:
                self._idle.append(connection)
        if not is_kept:
            connection.close()
        return answer

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _connect(self, clock: "_Clock") -> "_Connection":
        """Return a new connection, to the first of the server's addresses that takes one.

        How long a name takes to be found is the system's to say; the rest has what that leaves.
        """
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        failure: OSError = ConnectionError("no address")
        for family, kind, protocol, _, address in found:
            try:
                return self._reach(socket.socket(family, kind, protocol), address, clock)
            except OSError as error:
                failure = error
        raise failure

    def _reach(self, plain: socket.socket, address: Any, clock: "_Clock") -> "_Connection":
        opened = plain
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            plain.settimeout(clock.connecting_s())
            plain.connect(address)
            if self._tls is not None:
                plain.settimeout(clock.connecting_s())
                opened = self._tls.wrap_socket(plain, server_hostname=self._host)
        except BaseException:
            plain.close()
            raise
        return _Connection(opened)


class _Clock:
    """What is left of one try, which begins now."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._began_s = time.monotonic()

    def connecting_s(self) -> float:
        """Return the seconds for the connection. Raises: TimeoutError: none."""
        return self._left(self._limits.connect_timeout_s)

    def waiting_s(self) -> float:
        """Return the seconds for the next read or write. Raises: TimeoutError: none."""
        return min(self._limits.read_timeout_s, self._left(self._limits.attempt_s))

    def _left(self, of_s: float) -> float:
        left_s = self._began_s + of_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s


class _Connection:
    """One connection, for one exchange at a time."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._poll = select.poll()
        self._poll.register(opened, select.POLLIN)

    def is_quiet(self) -> bool:
        """Return whether nothing has come, be it the end, since the last answer was read."""
        opened = self._socket
        is_pending = isinstance(opened, ssl.SSLSocket) and opened.pending()
        return not is_pending and not self._poll.poll(0)

    def exchange(self, request: bytes, clock: _Clock) -> tuple[Answer, bool]:
        """Return the answer, and whether the connection can be used again.

        Raises: OSError; HTTPException; OverflowError; ValueError.
        """
        self._socket.settimeout(clock.waiting_s())
        self._socket.sendall(request)
        return read_answer(self._socket, clock.waiting_s)

    def close(self) -> None:
        """Close the connection, without a word to the server."""
        self._socket.close()
