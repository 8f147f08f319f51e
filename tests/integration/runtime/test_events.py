"""How events are asked for: on a connection that is kept, and made anew where it is not."""

import asyncio
import json
import socket
from collections.abc import Mapping

import pytest
from tollgate.runtime.connection import ApiConnection, NoEventError

from local.processes import free_port
from tests.fakes.scripted_server import (
    PAUSE,
    Script,
    ScriptedServer,
    answer,
    error,
    raw,
    serving,
    stream,
)

EVENT = b'{"a": 1}'
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n" + EVENT


def connection_to(server: ScriptedServer) -> ApiConnection:
    return ApiConnection(server.base_url.removeprefix("http://").removesuffix("/v1"))


async def ask(api: ApiConnection) -> tuple[Mapping[str, str], bytes]:
    """Return the next event; asking blocks its thread."""
    return await asyncio.to_thread(api.next_event)


def close(api: ApiConnection) -> None:
    """Close what is kept, as the process's end does."""
    if api._kept is not None:
        api._kept.close()


async def test_event_comes_with_its_headers() -> None:
    """Names are lower case, whatever their sender writes."""
    async with serving(answer(EVENT, head="Lambda-Runtime-Aws-Request-Id: 1\r\n")) as server:
        api = connection_to(server)
        headers, body = await ask(api)
        close(api)

    assert headers["lambda-runtime-aws-request-id"] == "1"
    assert json.loads(body) == {"a": 1}
    assert server.paths == ["/2018-06-01/runtime/invocation/next"]


async def test_event_may_come_in_chunks() -> None:
    """Go's server, which AWS's emulator has, sends a larger one so."""
    async with serving(stream(EVENT[:3], EVENT[3:])) as server:
        api = connection_to(server)
        bodies = [(await ask(api))[1] for _ in range(2)]
        close(api)

    assert bodies == [EVENT, EVENT]
    assert server.connections == 1


@pytest.mark.parametrize(
    "first",
    [[answer(EVENT, head="connection: close\r\n")], [raw(WHOLE)], [answer(EVENT), raw()]],
    ids=["as it said", "without a word", "when it is asked"],
)
async def test_closed_connection_is_made_anew(first: list[Script]) -> None:
    """Whenever its peer closes it, as long as that has not begun to answer."""
    async with serving(*first, answer(EVENT)) as server:
        api = connection_to(server)
        bodies = [(await ask(api))[1] for _ in range(2)]
        close(api)

    assert bodies == [EVENT, EVENT]
    assert server.connections == 2


async def test_connection_on_which_more_came_is_not_used() -> None:
    """What nobody has asked for would be taken for the next answer."""
    more = b"HTTP/1.1 408 Late\r\n\r\n"
    async with serving(raw(WHOLE, PAUSE, more, ending="open"), answer(EVENT)) as server:
        api = connection_to(server)
        await ask(api)
        assert api._kept is not None
        await asyncio.to_thread(api._kept.recv, 1, socket.MSG_PEEK)
        assert (await ask(api))[1] == EVENT
        close(api)

    assert server.connections == 2


@pytest.mark.parametrize(
    "script",
    [
        error(403),
        error(500),
        raw(b"nonsense\r\n\r\n"),
        raw(b""),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{"),
    ],
)
async def test_anything_else_is_no_event(script: Script) -> None:
    """A refusal, or an answer that is none."""
    async with serving(script) as server:
        api = connection_to(server)
        with pytest.raises(NoEventError):
            await ask(api)
        assert api._kept is None


async def test_nobody_listens_is_no_event() -> None:
    """Without a Runtime API there is nothing to wait for."""
    with pytest.raises(NoEventError, match="ConnectionRefusedError"):
        await ask(ApiConnection(f"127.0.0.1:{free_port()}"))
