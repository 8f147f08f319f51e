"""When a request is sent a second time."""

import httpx
import pytest
from tollgate.upstream.connections import RESEND_WITHIN_S, ConnectionWatch, send_or_resend

BREAKS = [httpx.RemoteProtocolError("x"), httpx.ReadError("x"), httpx.WriteError("x")]


class Line:
    """Sends with one outcome after another, over a new connection where `is_new`.

    A request is `is_sent` whole or not, and its outcome comes `after_s` seconds later.
    """

    def __init__(
        self,
        *outcomes: httpx.HTTPError | int,
        is_new: bool = False,
        is_sent: bool = True,
        after_s: float = 0.0,
    ) -> None:
        self._now_s = 0.0
        self.watch = ConnectionWatch(lambda: self._now_s)
        self.sent = 0
        self._outcomes = outcomes
        self._is_new, self._is_sent = is_new, is_sent
        self._after_s = after_s

    async def send(self) -> httpx.Response:
        if self._is_new:
            self.watch.note_connecting()
        if self._is_sent:
            self.watch.note_sent()
        self._now_s += self._after_s
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
    line = Line(error, 200, after_s=RESEND_WITHIN_S)

    assert (await line.status(), line.sent) == (200, 2)


@pytest.mark.parametrize("error", BREAKS)
async def test_connection_of_its_own_is_not(error: httpx.HTTPError) -> None:
    """Its request may have been served."""
    line = Line(error, 200, is_new=True)

    with pytest.raises(type(error)):
        await line.status()
    assert line.sent == 1


@pytest.mark.parametrize("error", BREAKS)
async def test_pooled_connection_that_breaks_later_is_not(error: httpx.HTTPError) -> None:
    """A vendor that has had the request for a while may have worked for it."""
    line = Line(error, 200, after_s=RESEND_WITHIN_S + 0.1)

    with pytest.raises(type(error)):
        await line.status()
    assert line.sent == 1


async def test_request_that_nobody_has_whole_is_sent_again() -> None:
    """However long the upload took until the line broke."""
    line = Line(BREAKS[1], 200, is_sent=False, after_s=60.0)

    assert (await line.status(), line.sent) == (200, 2)


async def test_nothing_is_sent_three_times() -> None:
    """Nor is what failed otherwise, or was answered."""
    twice = Line(BREAKS[0], BREAKS[1])
    refused = Line(httpx.ConnectError("x"), 200)
    answered = Line(500, 200)

    with pytest.raises(httpx.ReadError):
        await twice.status()
    with pytest.raises(httpx.ConnectError):
        await refused.status()
    assert await answered.status() == 500
    assert (twice.sent, refused.sent, answered.sent) == (2, 1, 1)
