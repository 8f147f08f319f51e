"""A function for the runtime's tests: what it does is the request's path. No test in here."""

import os
import socket

from mangum import Mangum

calls = 0


def wait_for_test() -> None:
    """Tell the test that this point is reached, and wait until it says to go on."""
    with socket.create_connection(("127.0.0.1", int(os.environ["TEST_CONTROL_PORT"]))) as control:
        control.sendall(b".")
        control.recv(1)


async def app(scope, receive, send):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Answer by path; see each branch."""
    global calls  # noqa: PLW0603 - shows that the process lives on
    calls += 1
    path = scope["path"]
    if path == "/raise-before":
        raise ValueError("secret words")
    headers = [(b"Content-Type", b"text/plain"), (b"x-calls", str(calls).encode())]
    headers += [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"content-length", b"99")]
    if path == "/large-headers":
        headers.append((b"x-large", b"x" * 20_000))
    status = 204 if path == "/no-content" else 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if path == "/return-early":
        return
    if path in ("/empty", "/no-content"):
        await send({"type": "http.response.body", "body": b""})
        return
    await _send_body(path, (await receive())["body"], receive, send)


async def _send_body(path, body, receive, send):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
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


handler = Mangum(app, lifespan="off")


def plain_handler(event, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Not an HTTP function."""
    if event.get("fail"):
        raise ValueError("failed")
    return {"got": event, "id": context.aws_request_id}
