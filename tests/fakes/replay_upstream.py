"""An upstream that answers with recorded bytes, cut anywhere, over a real socket."""

import json
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.recordings import Recording

type Turn = Callable[[Recording], bytes]


def make_replay_app(recordings: Sequence[Recording], turn: Turn | None = None) -> Starlette:
    """Return an app with OpenAI's paths under `/<recording>` for each recording.

    `turn`: makes the body for a caller who asks for a stream where a whole answer was recorded, or
    the reverse; without it the recording is sent whatever is asked for.
    """
    by_name = {recording.name: recording for recording in recordings}

    async def answer(request: Request) -> Response:
        recording = by_name[request.path_params["name"]]
        content_type, body = recording.content_type, recording.body
        asked = await _asks_for_stream(request)
        if turn and recording.is_chat and recording.status == 200 and asked != recording.is_stream:
            content_type = "text/event-stream" if asked else "application/json"
            body = turn(recording)
        headers = {"content-type": content_type} if content_type else {}
        if not (content_type or "").startswith("text/event-stream"):
            return Response(body, recording.status, headers)
        return StreamingResponse(_cut(recording.name, body), recording.status, headers)

    paths = ["chat/completions", "images/generations", "images/edits"]
    return Starlette(
        routes=[Route(f"/{{name}}/{path}", answer, methods=["POST"]) for path in paths]
    )


async def _asks_for_stream(request: Request) -> bool:
    if not request.headers.get("content-type", "").startswith("application/json"):
        return False
    return bool(json.loads(await request.body()).get("stream"))


async def _cut(seed: str, body: bytes) -> AsyncIterator[bytes]:
    """Yield the body in pieces of 1 to 700 bytes, the same ones each time."""
    cuts = random.Random(seed)
    position = 0
    while position < len(body):
        step = cuts.randint(1, 700)
        yield body[position : position + step]
        position += step


@contextmanager
def serve_in_thread(app: Starlette) -> Iterator[str]:
    """Serve `app` on a free port of 127.0.0.1; yields its base URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
