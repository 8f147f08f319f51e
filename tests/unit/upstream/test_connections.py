"""When a request is sent a second time."""

import httpx
import pytest
from tollgate.upstream.connections import ConnectionWatch, send_or_resend

BREAKS = [httpx.RemoteProtocolError("x"), httpx.ReadError("x"), httpx.WriteError("x")]


class Line:
    """Sends with one outcome after another, over a new connection where `is_new`."""

    def __init__(self, *outcomes: httpx.HTTPError | int, is_new: bool) -> None:
        self.watch = ConnectionWatch()
        self.sent = 0
        self._outcomes = outcomes
        self._is_new = is_new

    async def send(self) -> httpx.Response:
        events = ["http11.send_request_headers.started"]
        for event in ["connection.connect_tcp.started"] * self._is_new + events:
            await self.watch(event, {})
        outcome = self._outcomes[self.sent]
        self.sent += 1
        if isinstance(outcome, httpx.HTTPError):
            raise outcome
        return httpx.Response(outcome)

    async def status(self) -> int:
        return (await send_or_resend(self.send, self.watch)).status_code


@pytest.mark.parametrize("error", BREAKS)
async def test_pooled_connection_that_was_closed_is_replaced(error: httpx.HTTPError) -> None:
    """The request goes out once more."""
    line = Line(error, 200, is_new=False)

    assert (await line.status(), line.sent) == (200, 2)


@pytest.mark.parametrize("error", BREAKS)
async def test_connection_of_its_own_is_not(error: httpx.HTTPError) -> None:
    """Its request may have been served."""
    line = Line(error, 200, is_new=True)

    with pytest.raises(type(error)):
        await line.status()
    assert line.sent == 1


async def test_nothing_is_sent_three_times() -> None:
    """Nor is what failed otherwise, or was answered."""
    twice = Line(BREAKS[0], BREAKS[1], is_new=False)
    refused = Line(httpx.ConnectError("x"), 200, is_new=False)
    answered = Line(500, 200, is_new=False)

    with pytest.raises(httpx.ReadError):
        await twice.status()
    with pytest.raises(httpx.ConnectError):
        await refused.status()
    assert await answered.status() == 500
    assert (twice.sent, refused.sent, answered.sent) == (2, 1, 1)
