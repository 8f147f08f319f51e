"""What goes out, and what becomes of a send that has to wait."""

import asyncio
from typing import Any

import pytest
from tollgate.web.wire import SendError, Wire

IN_TIME_S, TOO_SHORT_S = 30.0, 0.01


class Caller:
    """Takes a message after so many waits; then `fails`, if that is given."""

    def __init__(self, *, waits: int = 0, fails: Exception | None = None) -> None:
        self.taken: list[Any] = []
        self.left: list[type[BaseException]] = []
        self._waits = waits
        self._fails = fails

    async def send(self, message: Any) -> None:
        try:
            for _ in range(self._waits):
                await asyncio.sleep(0.005)
        except BaseException as error:
            self.left.append(type(error))
            raise
        if self._fails is not None:
            raise self._fails
        self.taken.append(message)


@pytest.mark.parametrize("waits", [0, 1, 3])
async def test_messages_are_sent_however_often_they_wait(waits: int) -> None:
    """Each is complete when the next one begins."""
    caller = Caller(waits=waits)
    wire = Wire(caller.send, IN_TIME_S)

    await wire.write(b"one", dict)
    await wire.end(b"two")

    assert [message.get("body") for message in caller.taken] == [None, b"one", b"two"]


@pytest.mark.parametrize("waits", [0, 1, 3])
async def test_broken_connection_is_a_send_error(waits: int) -> None:
    """At the first step of a send or at a later one."""
    failure = BrokenPipeError()

    with pytest.raises(SendError) as caught:
        await Wire(Caller(waits=waits, fails=failure).send, IN_TIME_S).end(b"one")
    assert caught.value.__cause__ is failure


async def test_send_beyond_the_time_is_ended() -> None:
    """Its cause tells that the caller does not read; the task goes on and may settle."""
    caller = Caller(waits=1000)

    with pytest.raises(SendError) as caught:
        await Wire(caller.send, TOO_SHORT_S).end(b"one")
    task = asyncio.current_task()
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert caller.left == [asyncio.CancelledError]
    assert task is not None
    assert task.cancelling() == 0


async def test_cancelled_send_is_cancelled() -> None:
    """And no send error: the server ends the request."""
    caller = Caller(waits=1000)
    sending = asyncio.create_task(Wire(caller.send, IN_TIME_S).end(b"one"))
    await asyncio.sleep(0.01)
    sending.cancel()

    with pytest.raises(asyncio.CancelledError):
        await sending
    assert caller.left == [asyncio.CancelledError]
