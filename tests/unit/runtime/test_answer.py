"""The ASGI conversation, with a stream that only remembers what it was given."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tollgate.runtime.answer import App, StreamedAnswer
from tollgate.runtime.connection import ApiConnection
from tollgate.runtime.stream import END, ResponseStream, make_chunk, make_prelude

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


def piece(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


class RememberedStream(ResponseStream):
    """Keeps each write apart; `close` waits until `may_close`."""

    def __init__(self) -> None:
        super().__init__(ApiConnection("127.0.0.1:1"), "request-1", None)
        self.writes: list[bytes] = []
        self.is_closing = asyncio.Event()
        self.may_close = asyncio.Event()
        self.may_close.set()

    async def open(self, first: bytes) -> None:
        self.writes.append(first)

    async def write(self, framed: bytes) -> None:
        self.writes.append(framed)

    async def close(self, end: bytes) -> None:
        self.writes.append(end)
        self.is_closing.set()
        await self.may_close.wait()


async def run(app: App, body: bytes = b"") -> list[bytes]:
    """Return the writes that an app makes."""
    stream = RememberedStream()
    await StreamedAnswer(app, {}, body).run(stream)
    return stream.writes


def send_all(*messages: dict[str, Any]) -> App:
    """Return an app that sends these."""

    async def app(_scope: Any, _receive: Any, send: Callable[[Any], Any]) -> None:
        for message in messages:
            await send(message)

    return app


PRELUDE = make_chunk(make_prelude(200, []))


async def test_prelude_leaves_with_the_first_body() -> None:
    """One write for head, prelude and first chunk; each later body is a write; empty ones none."""
    bodies = [piece(b"one"), piece(b""), piece(b"two"), piece(b"", more=False)]

    writes = await run(send_all(START, *bodies))

    assert writes == [PRELUDE + make_chunk(b"one"), make_chunk(b"two"), END]


async def test_empty_first_body_sends_the_prelude() -> None:
    """An app that only wants its status seen gets it seen, and no chunk of length zero."""
    writes = await run(send_all(START, piece(b""), piece(b"one", more=False)))

    assert writes == [PRELUDE, make_chunk(b"one"), END]


async def test_prelude_waits_for_the_first_body() -> None:
    """The status can still become a 500 while the app has sent its start only."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send(START)
        raise ValueError

    prelude, _, body = (await run(app))[0].partition(b"\0" * 8)

    assert b'"statusCode": 500' in prelude
    assert json.loads(body.split(b"\r\n")[2]) == {
        "error": {
            "message": "The server had an error while processing your request.",
            "type": "server_error",
            "param": None,
            "code": "internal_error",
        }
    }


@pytest.mark.parametrize(
    "messages",
    [
        [piece(b"body before start")],
        [START, START],
        [{"type": "http.response.trailers"}],
        [],
        [START],
    ],
)
async def test_broken_conversation_before_a_byte_is_a_500(messages: list[dict[str, Any]]) -> None:
    """An app that does not speak ASGI, or says nothing, is answered for."""
    writes = await run(send_all(*messages))

    assert b'"statusCode": 500' in writes[0]
    assert writes[1:] == [END]


@pytest.mark.parametrize("messages", [[START], []])
async def test_broken_conversation_after_a_byte_is_in_the_trailers(
    messages: list[dict[str, Any]],
) -> None:
    """A second start, or a return without the last body, ends the stream as failed."""
    _, end = await run(send_all(START, piece(b"one"), *messages))

    assert end.startswith(b"0\r\nLambda-Runtime-Function-Error-Type: Function.")


async def test_message_after_the_last_body_changes_nothing() -> None:
    """The answer is out: the app's mistake is logged and stays its own."""
    writes = await run(send_all(START, piece(b"one", more=False), piece(b"two")))

    assert writes == [PRELUDE + make_chunk(b"one"), END]


async def test_request_comes_once_then_the_disconnect() -> None:
    """The body is one message; the next receive waits until the answer has been accepted."""
    stream = RememberedStream()
    stream.may_close.clear()
    received: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        received.append(await receive())
        waiting = asyncio.create_task(receive())
        sending = asyncio.create_task(send_both(send))
        await stream.is_closing.wait()
        await asyncio.sleep(0)  # the receiver's chance to come too early
        received.append(waiting.done())
        stream.may_close.set()
        received.append(await waiting)
        await sending

    async def send_both(send: Any) -> None:
        await send(START)
        await send(piece(b"one", more=False))

    await StreamedAnswer(app, {}, b"asked").run(stream)

    request = {"type": "http.request", "body": b"asked", "more_body": False}
    assert received == [request, False, {"type": "http.disconnect"}]
