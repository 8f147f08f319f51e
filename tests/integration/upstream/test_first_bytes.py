"""What an answer's first bytes make of it, and how long they are waited for."""

import asyncio
import json

import pytest
from tollgate.errors import UpstreamRefusedError, UpstreamTimeoutError

from tests.fakes.models import make_timeouts
from tests.fakes.scripted_server import (
    CHUNK,
    COMPLETION,
    DONE,
    Script,
    answer,
    serving,
    stream,
)
from tests.integration.upstream.world import EXPECTED, pair, world

BOM = b"\xef\xbb\xbf"
TYPES = ["text/event-stream", "text/plain", "", "application/vnd.amazon.eventstream"]


def paced(content_type: str, *steps: bytes | float, last: bytes = b"") -> Script:
    """Write the pieces, sleep the seconds; then write `last` for ever, if it is given."""

    async def script(writer: asyncio.StreamWriter) -> None:
        named = f"content-type: {content_type}\r\n" if content_type else ""
        writer.write(f"HTTP/1.1 200 OK\r\n{named}connection: close\r\n\r\n".encode())
        for step in steps:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            else:
                await asyncio.sleep(step)
        while last:
            writer.write(last)
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.close()

    return script


@pytest.mark.parametrize("content_type", TYPES)
async def test_first_event_is_waited_for_as_the_first_byte(content_type: str) -> None:
    """Behind a head, of whatever type, the time between bytes does not count yet."""
    timeouts = make_timeouts(first_byte_s=10.0, between_bytes_s=0.1)
    async with pair(paced(content_type, 0.4, CHUNK + DONE), timeouts=timeouts) as (made, _, two):
        assert await made.read() == ("c0", EXPECTED)
        assert two.bodies == []


@pytest.mark.parametrize(
    "script",
    [
        paced("application/json", last=b": ping\n\n"),
        paced("application/json", b": ping\n\n", 60.0),
        paced("application/json", 0.3, b": ping\n\n", 60.0),
    ],
)
async def test_events_that_are_called_json_have_their_first_byte_limit(script: Script) -> None:
    """It is only off until the first byte says that they are events."""
    timeouts = make_timeouts(first_byte_s=0.2, between_bytes_s=60.0, total_s=60.0)
    async with pair(script, timeouts=timeouts) as (made, _, _two):
        assert await made.read() == ("c1", EXPECTED)


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/html"])
async def test_blanks_without_end_are_no_answer(content_type: str) -> None:
    """However fast they come: they are not kept, and not read for ever."""
    script = paced(content_type, last=b" " * 4096)
    timeouts = make_timeouts(first_byte_s=60.0, between_bytes_s=60.0, total_s=60.0)
    async with pair(script, timeouts=timeouts) as (made, one, _two):
        assert await made.read() == ("c1", EXPECTED)
        await asyncio.wait_for(one.hung_up.wait(), 5)


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
@pytest.mark.parametrize(
    "body",
    [
        [COMPLETION],
        [BOM + COMPLETION],
        [BOM[:1], BOM[1:], COMPLETION],
        [b"\n \n", b"\r\n", COMPLETION],
    ],
)
async def test_whole_answer_is_known_by_its_brace(content_type: str, body: list[bytes]) -> None:
    """Also where it is called an event stream, or a byte order mark is before it."""
    async with pair(stream(*body, content_type=content_type)) as (made, _, two):
        channel, events = await made.read()

    assert (channel, events[-1], two.bodies) == ("c0", "[DONE]", [])
    assert json.loads(events[0])["choices"][0]["delta"]["content"] == "hi"


async def test_byte_order_mark_before_events() -> None:
    """It is no part of the first line."""
    async with serving(stream(BOM + CHUNK, DONE)) as one, world(one.base_url) as made:
        assert await made.read() == ("c0", EXPECTED)


async def test_refusal_that_is_called_an_event_stream_is_the_callers() -> None:
    """JSON with the vendor's words, under 200."""
    script = answer(
        b'{"error": {"message": "context too long", "type": "invalid_request_error"}}',
        content_type="text/event-stream",
    )
    async with pair(script) as (made, _, two):
        with pytest.raises(UpstreamRefusedError, match="context too long"):
            await made.read()
        assert two.bodies == []


async def test_whole_answer_that_is_called_an_event_stream_has_its_first_byte_limit() -> None:
    """Only what is called JSON may be silent as long as a whole answer."""
    timeouts = make_timeouts(first_byte_s=0.2, between_bytes_s=60.0, total_s=60.0)
    script = paced("text/event-stream", 60.0, COMPLETION)
    async with serving(script) as one, world(one.base_url, timeouts=timeouts) as made:
        with pytest.raises(UpstreamTimeoutError):
            await made.read()
