"""An upstream that answers with recorded bytes, cut anywhere, over a real socket."""

import random
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.recordings import Recording


def make_replay_app(recordings: Sequence[Recording]) -> Starlette:
    """Return an app with `/<recording>/chat/completions` for each recording."""
    by_name = {recording.name: recording for recording in recordings}

    async def answer(request: Request) -> Response:
        recording = by_name[request.path_params["name"]]
        headers = {"content-type": recording.content_type} if recording.content_type else {}
        if not recording.is_stream:
            return Response(recording.body, recording.status, headers)
        return StreamingResponse(_cut(recording), recording.status, headers)

    return Starlette(routes=[Route("/{name}/chat/completions", answer, methods=["POST"])])


async def _cut(recording: Recording) -> AsyncIterator[bytes]:
    """Yield the body in pieces of 1 to 700 bytes, the same ones each time."""
    cuts = random.Random(recording.name)
    position = 0
    while position < len(recording.body):
        step = cuts.randint(1, 700)
        yield recording.body[position : position + step]
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
