"""A function for the runtime's tests: what it does is the request's path. No test in here."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from mangum import Mangum
from snapshot_restore_py import register_after_restore, register_before_snapshot
from starlette.responses import StreamingResponse

type Receive = Callable[[], Awaitable[Any]]
type Send = Callable[[Any], Awaitable[None]]
type Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

calls = 0
pooled: list[Connection] = []
hooks: list[str] = []
register_before_snapshot(lambda: hooks.append("before snapshot"))
register_after_restore(lambda: hooks.append("after restore"))


def wait_for_test() -> None:
    """Tell the test that this point is reached, and wait until it says to go on."""
    with socket.create_connection(("127.0.0.1", int(os.environ["TEST_CONTROL_PORT"]))) as control:
        control.sendall(b".")
        control.recv(1)


signal.signal(signal.SIGUSR1, lambda *_: wait_for_test())


async def app(scope: Any, receive: Receive, send: Send) -> None:
    """Answer by path: either from the table, or `first `, the path's deed, the request's body."""
    global calls  # noqa: PLW0603 - shows that the process lives on
    calls += 1
    path = scope["path"]
    if answer := ANSWERS.get(path):
        await answer(scope, receive, send)
        return
    body = (await receive())["body"]
    await send(make_start())
    await send({"type": "http.response.body", "body": b"first ", "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    if path == "/wait":
        wait_for_test()
    if path == "/raise-after":
        raise ValueError("secret words")
    await send({"type": "http.response.body", "body": body, "more_body": False})
    if path == "/work-after":
        assert (await receive())["type"] == "http.disconnect"
        wait_for_test()
    if path == "/raise-at-the-end":
        raise ValueError("secret words")


def make_start(status: int = 200, *more: tuple[bytes, bytes]) -> dict[str, Any]:
    """Return the head of an answer, with headers of every kind."""
    headers = [(b"Content-Type", b"text/plain"), (b"x-calls", str(calls).encode())]
    headers += [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"content-length", b"99")]
    return {"type": "http.response.start", "status": status, "headers": [*headers, *more]}


async def raise_before(_scope: Any, _receive: Receive, _send: Send) -> None:
    """Fail before anything is sent."""
    raise ValueError("secret words")


async def cancelled(_scope: Any, _receive: Receive, _send: Send) -> None:
    """Let a cancellation out."""
    raise asyncio.CancelledError


async def wait_before(_scope: Any, _receive: Receive, send: Send) -> None:
    """Say nothing until the test says to go on."""
    wait_for_test()
    await send(make_start())
    await send({"type": "http.response.body", "body": b"late"})


async def return_early(_scope: Any, _receive: Receive, send: Send) -> None:
    """Return without a body."""
    await send(make_start())


async def large_headers(_scope: Any, _receive: Receive, send: Send) -> None:
    """Send more headers than API Gateway takes."""
    await send(make_start(200, (b"x-large", b"x" * 20_000)))
    await send({"type": "http.response.body", "body": b"never seen"})


async def empty(_scope: Any, _receive: Receive, send: Send) -> None:
    """Send a body of no bytes."""
    await send(make_start())
    await send({"type": "http.response.body", "body": b""})


async def no_content(_scope: Any, _receive: Receive, send: Send) -> None:
    """Send a status that has no body."""
    await send(make_start(204))
    await send({"type": "http.response.body", "body": b""})


async def starlette(scope: Any, receive: Receive, send: Send) -> None:
    """Stream as Starlette does, which stops sending when it hears of a disconnect."""

    async def words() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    await StreamingResponse(words())(scope, receive, send)


async def describe_scope(scope: Any, receive: Receive, send: Send) -> None:
    """Answer with what the app was told of the request."""
    seen = {
        "method": scope["method"],
        "query": scope["query_string"].decode(),
        "body": (await receive())["body"].decode(),
        "event_path": scope["aws.event"]["path"],
        "remaining_ms": scope["aws.context"].get_remaining_time_in_millis(),
    }
    await send(make_start())
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


async def echo_over_pool(_scope: Any, _receive: Receive, send: Send) -> None:
    """Answer with what comes back over a connection that only the first call makes."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)

    if not pooled:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        pooled.append(await asyncio.open_connection(*server.sockets[0].getsockname()))
    reader, writer = pooled[0]
    writer.write(b"call %d of one connection\n" % calls)
    await send(make_start())
    await send({"type": "http.response.body", "body": (await reader.readline()).strip()})


async def cancel_last_send(_scope: Any, _receive: Receive, send: Send) -> None:
    """Give up waiting for the last body to be sent."""
    await send(make_start())
    sending = asyncio.create_task(_send(send, {"type": "http.response.body", "body": b"whole"}))
    await asyncio.to_thread(wait_for_test)
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending


async def _send(send: Send, message: Any) -> None:
    await send(message)


ANSWERS: dict[str, Callable[[Any, Receive, Send], Awaitable[None]]] = {
    "/raise-before": raise_before,
    "/cancelled": cancelled,
    "/wait-before": wait_before,
    "/return-early": return_early,
    "/large-headers": large_headers,
    "/empty": empty,
    "/no-content": no_content,
    "/starlette": starlette,
    "/scope": describe_scope,
    "/pooled": echo_over_pool,
    "/cancel-last-send": cancel_last_send,
}

handler = Mangum(app, lifespan="off")


def plain_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Not an HTTP function."""
    if event.get("fail"):
        raise ValueError("failed")
    return {"got": event, "id": context.aws_request_id}


def hooked_handler(_event: Any, _context: Any) -> list[str]:
    """Tell which hooks of SnapStart have run."""
    return hooks
