"""A vendor in a thread that behaves, for each request, as a choice by its path and body says."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from tests.fakes.scripted_server import Script

type Choose = Callable[[str, Mapping[str, Any]], Script]
type Drops = Callable[[str, Mapping[str, Any]], bool]


def _never(path: str, body: Mapping[str, Any]) -> bool:
    """Keep every connection."""
    del path, body
    return False


@contextmanager
def serving_choices(choose: Choose, drops: Drops = _never) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1 and yield the address; connections are kept.

    `drops` tells of a request on a connection that had one before whether it finds it closed.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(_start(choose, drops), loop).result()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(choose: Choose, drops: Drops) -> asyncio.Server:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_kept = False
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing() and not reader.at_eof():
                path, body = await _read_request(reader)
                if is_kept and drops(path, body):
                    break
                await _play(choose(path, body), reader, writer)
                is_kept = True
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    return await asyncio.start_server(accept, "127.0.0.1", 0, backlog=1000)


async def _stop(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, Any]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    request, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return request.split()[1], json.loads(body)


async def _play(script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Run the script until its end, or until the client has hung up."""
    playing = asyncio.ensure_future(script(writer))
    hung_up = asyncio.ensure_future(_watch(reader))
    await asyncio.wait({playing, hung_up}, return_when=asyncio.FIRST_COMPLETED)
    for task in (playing, hung_up):
        task.cancel()
    await asyncio.gather(playing, hung_up, return_exceptions=True)


async def _watch(reader: asyncio.StreamReader) -> None:
    """Return once the client has hung up; a next request stays in the reader."""
    while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.01)
