"""A function for the gateway's tests: what it does is the request's path. No test in here."""

import asyncio
import json
import os
import signal

from mangum import Mangum


async def app(scope, receive, send):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Answer with the event, slowly, never, or by dying."""
    path = scope["path"]
    body = (await receive())["body"]
    if path.endswith("/die"):
        os.kill(os.getpid(), signal.SIGKILL)
    if path.endswith("/sleep"):
        await asyncio.sleep(60)
    headers = [(b"content-type", b"application/json"), (b"x-pid", str(os.getpid()).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if path.endswith("/die-later"):
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await asyncio.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    if path.endswith("/slow"):
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.sleep(0.5)
    answer = {"event": scope["aws.event"], "length": len(body)}
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


handler = Mangum(app, lifespan="off")


def malformed(event, context):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Not what API Gateway wants."""
    return {"answer": 5}
