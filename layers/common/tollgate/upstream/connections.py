"""When a request is sent a second time: only where a pooled connection had been closed before it.

A server may close an idle connection at any time, and the client learns of it by sending. A request
that broke a connection of its own may have been served, and paid for: that one is not repeated.
"""

from collections.abc import Awaitable, Callable

import httpx


class ConnectionWatch:
    """Hears from httpcore whether a request had to make its connection; an httpx `trace`.

    Source: https://www.encode.io/httpcore/extensions/#trace
    """

    is_new_connection = False

    async def __call__(self, event: str, info: object) -> None:
        """Called with names such as `connection.connect_tcp.started`."""
        del info
        if event == "connection.connect_tcp.started":
            self.is_new_connection = True


async def send_or_resend(
    send: Callable[[], Awaitable[httpx.Response]], watch: ConnectionWatch
) -> httpx.Response:
    """Send, and once more where a pooled connection turns out to have been closed.

    `send`: makes and sends the request, with `watch` as its trace.
    Raises: httpx.HTTPError.
    """
    try:
        return await send()
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        if watch.is_new_connection:
            raise
    return await send()
