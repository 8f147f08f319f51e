"""When a request is sent a second time: only where a pooled connection had been closed before it.

A server may close an idle connection at any time, and the client learns of it by sending: at once,
and without a byte of an answer. A request that broke a connection of its own, or one that had taken
it and then was silent for a while, may have been served, and paid for: that one is not repeated.
"""

import time
from collections.abc import Awaitable, Callable

import httpx

from tollgate.upstream.transport import NoHttpError

RESEND_WITHIN_S = 1.0  # a line that was closed before says so within a round trip


class ConnectionWatch:
    """Hears how far a request has come; a `transport.RequestWatch`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds."""
        self._clock = clock
        self._is_new_connection = False
        self._sent_at_s: float | None = None

    def note_connecting(self) -> None:
        """Remember that no pooled connection was used."""
        self._is_new_connection = True

    def note_sent(self) -> None:
        """Remember when all of the request was out."""
        self._sent_at_s = self._clock()

    def was_closed_before(self, error: httpx.HTTPError) -> bool:
        """Whether `error` is that of a pooled connection that nobody had read the request from."""
        if self._is_new_connection:
            return False
        if self._sent_at_s is None:  # nobody has the whole of it
            return True
        is_soon = self._clock() - self._sent_at_s <= RESEND_WITHIN_S
        return is_soon and not isinstance(error, NoHttpError)


async def send_or_resend(
    send: Callable[[], Awaitable[httpx.Response]], watch: ConnectionWatch
) -> httpx.Response:
    """Send, and once more where a pooled connection turns out to have been closed.

    `send`: makes and sends the request, watched by `watch`.
    Raises: httpx.HTTPError.
    """
    try:
        return await send()
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
        if not watch.was_closed_before(error):
            raise
    return await send()
