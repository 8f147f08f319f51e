"""Image calls over real sockets: bodies that are sent again, answers that are large or odd."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from tollgate.core.catalog import Catalog, Channel, Route
from tollgate.core.multipart import Form, parse_form
from tollgate.errors import UpstreamRefusedError, UpstreamTimeoutError, UpstreamUnavailableError
from tollgate.upstream.client import Completion, EventStream, Upstream, new_http_client
from tollgate.upstream.image_calls import ImageCall
from tollgate.upstream.keys import EnvKeys

from tests.fakes.models import make_catalog, make_model, make_timeouts
from tests.fakes.scripted_server import (
    COMPLETION,
    Script,
    ScriptedServer,
    answer,
    error,
    hang,
    serving,
    stream,
)
from tests.recordings import Recording, find_image_recordings, parametrize

IMAGES = b'{"created": 1, "data": [{"b64_json": "aGk="}]}'
EVENT = b'event: image_generation.completed\ndata: {"b64_json": "aGk="}\n\n'
FILE_BYTES = 4 * 1024 * 1024


def make_form(file_bytes: int) -> Form:
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body = head + bytes(range(256)) * (file_bytes // 256) + b"\r\n--b--\r\n"
    return parse_form(body, "multipart/form-data; boundary=b")


def make_call(
    urls: list[str],
    *,
    body: Any = None,
    is_stream: bool = False,
    is_padded: bool = False,
    budget_s: float = 20.0,
) -> ImageCall:
    routes = [Route(channel=url, upstream_model="u", priority=n) for n, url in enumerate(urls)]
    return ImageCall(
        model=make_model(*routes),
        task="edits",
        body={"prompt": "p"} if body is None else body,
        is_stream=is_stream,
        is_padded=is_padded,
        budget_s=lambda: budget_s,
    )


@asynccontextmanager
async def upstream(
    *servers: ScriptedServer,
    first_byte_s: float = 5.0,
    between_bytes_s: float = 5.0,
    total_s: float = 60.0,
) -> AsyncIterator[Upstream]:
    timeouts = make_timeouts(
        first_byte_s=first_byte_s, between_bytes_s=between_bytes_s, total_s=total_s
    )
    catalog = make_catalog(
        {
            one.base_url: Channel(name=one.base_url, base_url=one.base_url, timeouts=timeouts)
            for one in servers
        }
    )

    async def current() -> Catalog:
        return catalog

    made = Upstream(new_http_client(), current, EnvKeys({}))
    try:
        yield made
    finally:
        await made.aclose()


async def test_form_is_sent_again_to_the_next_channel() -> None:
    """The first has taken the whole body and failed; the second gets the same one."""
    form = make_form(300_000)
    async with (
        serving(error(500)) as one,
        serving(answer(IMAGES)) as two,
        upstream(one, two) as client,
    ):
        got = await client.complete(make_call([one.base_url, two.base_url], body=form))

    assert got.body == json.loads(IMAGES)
    assert one.raw_bodies == two.raw_bodies
    sent = parse_form(one.raw_bodies[0], one.headers[0]["content-type"])
    assert [part.name for part in sent.parts] == ["model", "image"]
    assert sent.parts[1].raw == form.parts[0].raw
    assert "transfer-encoding" not in one.headers[0]
    assert two.paths == ["/v1/images/edits"]


async def test_no_second_copy_of_a_file_is_made() -> None:
    """From the body to the socket four megabytes cost some buffers, not four megabytes."""
    form = make_form(FILE_BYTES)

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        left = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        while left:
            left -= len(await reader.read(min(left, 16 * 1024)))
        await answer(IMAGES)(writer)
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    state = ScriptedServer(scripts=[])
    state.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server, upstream(state) as client:
        await client.complete(make_call([state.base_url], body=make_form(256)))
        tracemalloc.start()
        try:
            await client.complete(make_call([state.base_url], body=form))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert peak < FILE_BYTES // 2


@pytest.mark.parametrize(
    "script", [answer(COMPLETION), answer(b"{}"), answer(b"[]"), answer(b'{"data": {}}')]
)
async def test_whole_answer_needs_its_list(script: Script) -> None:
    """A chat completion is no image."""
    async with serving(script) as one, upstream(one) as client:
        with pytest.raises(UpstreamUnavailableError):
            await client.complete(make_call([one.base_url]))


async def test_error_under_200_is_an_error() -> None:
    """A refusal in the body reaches the caller as one."""
    body = b'{"error": {"message": "no such size", "type": "invalid_request_error"}}'
    async with serving(answer(body)) as one, upstream(one) as client:
        with pytest.raises(UpstreamRefusedError, match="no such size"):
            await client.complete(make_call([one.base_url]))


@pytest.mark.parametrize("is_stream", [False, True])
async def test_hung_upstream(*, is_stream: bool) -> None:
    """Silence is a time-out, whole or streamed."""
    async with serving(hang) as one, upstream(one, first_byte_s=0.05) as client:
        call = make_call([one.base_url], is_stream=is_stream)
        with pytest.raises(UpstreamTimeoutError):
            await (client.open_either(call) if is_stream else client.complete(call))


async def test_stream_or_whole_answer_whichever_comes() -> None:
    """Events where they are sent, a JSON answer in their place, and the channel of either."""
    async with (
        serving(stream(EVENT)) as one,
        serving(answer(IMAGES, content_type="Application/JSON; charset=utf-8")) as two,
        upstream(one, two) as client,
    ):
        events = await client.open_either(make_call([one.base_url], is_stream=True))
        whole = await client.open_either(make_call([two.base_url], is_stream=True))
        assert isinstance(events, EventStream)
        async with events:
            found = [(event.event, event.data) async for event in events]

    assert found == [("image_generation.completed", '{"b64_json": "aGk="}')]
    assert isinstance(whole, Completion)
    assert (whole.channel, whole.body) == (two.base_url, json.loads(IMAGES))


async def test_event_of_a_large_image() -> None:
    """Twenty megabytes in one event, more than a chat's may have."""
    data = b"a" * 20_000_000
    async with (
        serving(stream(b'data: {"b64_json": "' + data + b'"}\n\n')) as one,
        upstream(one) as client,
    ):
        events = await client.open_either(make_call([one.base_url], is_stream=True))
        assert isinstance(events, EventStream)
        async with events:
            sizes = [len(event.data) async for event in events]

    assert sizes == [20_000_000 + 16]


def late(script: Script, after_s: float = 0.4) -> Script:
    async def play(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(after_s)
        await script(writer)

    return play


async def test_padded_answer_outlives_the_silent_limit() -> None:
    """Its caller is kept alive: it is waited for as long as the attempt may last."""
    async with (
        serving(late(answer(IMAGES))) as one,
        upstream(one, first_byte_s=0.05) as client,
    ):
        got = await client.complete(make_call([one.base_url], is_padded=True))
        with pytest.raises(UpstreamTimeoutError):
            await client.complete(make_call([one.base_url]))

    assert got.body == json.loads(IMAGES)


async def test_padded_answer_ends_with_the_attempt() -> None:
    """`total_s` is its limit."""
    async with serving(hang) as one, upstream(one, total_s=0.05) as client:
        with pytest.raises(UpstreamTimeoutError):
            await client.complete(make_call([one.base_url], is_padded=True))


@pytest.mark.parametrize(("budget_s", "asked"), [(0.2, 0), (20.0, 1)])
async def test_second_channel_is_asked_only_with_a_chance(budget_s: float, asked: int) -> None:
    """After the long wait it must have the silence that it is usually given."""
    async with (
        serving(hang) as one,
        serving(answer(IMAGES)) as two,
        upstream(one, two, total_s=0.1) as client,
    ):
        call = make_call([one.base_url, two.base_url], is_padded=True, budget_s=budget_s)
        if asked:
            await client.complete(call)
        else:
            with pytest.raises(UpstreamTimeoutError):
                await client.complete(call)

    assert len(two.paths) == asked


async def test_second_image_may_take_as_long_as_the_first() -> None:
    """The wait between two events is not below that for the first."""

    async def pausing(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
        writer.write(b"content-length: %d\r\n\r\n" % (2 * len(EVENT)) + EVENT)
        await writer.drain()
        await asyncio.sleep(0.4)
        writer.write(EVENT)
        await writer.drain()

    async with serving(pausing) as one, upstream(one, between_bytes_s=0.05) as client:
        events = await client.open_either(make_call([one.base_url], is_stream=True))
        assert isinstance(events, EventStream)
        async with events:
            found = [event.event async for event in events]

    assert len(found) == 2


@pytest.mark.parametrize("body", [IMAGES, b"  \r\n" + IMAGES])
@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream"])
async def test_json_that_is_not_called_so(body: bytes, content_type: str) -> None:
    """The images are made and paid for: no other channel is asked."""
    async with (
        serving(answer(body, content_type=content_type)) as one,
        serving(answer(IMAGES)) as two,
        upstream(one, two) as client,
    ):
        got = await client.open_either(make_call([one.base_url, two.base_url], is_stream=True))

    assert isinstance(got, Completion)
    assert got.body == json.loads(IMAGES)
    assert two.paths == []


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b" \n"])
async def test_text_that_is_no_json(body: bytes) -> None:
    """The next channel is asked."""
    async with (
        serving(answer(body, content_type="text/plain")) as one,
        serving(stream(EVENT, content_type="text/plain")) as two,
        upstream(one, two) as client,
    ):
        events = await client.open_either(make_call([one.base_url, two.base_url], is_stream=True))
        assert isinstance(events, EventStream)
        async with events:
            found = [event.event async for event in events]

    assert found == ["image_generation.completed"]


async def test_refusal_does_not_name_the_operators_model() -> None:
    """A model that cannot do what is asked: the caller's name for it."""
    script = error(
        400,
        "The model 'secret-deployment' does not support edits.",
        param="model",
        code="invalid_value",
    )
    async with serving(script) as one, upstream(one) as client:
        call = make_call([one.base_url])
        routes = [Route(channel=one.base_url, upstream_model="secret-deployment")]
        with pytest.raises(UpstreamRefusedError) as caught:
            await client.complete(replace(call, model=make_model(*routes)))

    assert str(caught.value) == "The model 'story' does not support edits."
    assert caught.value.status == 400


@parametrize([one for one in find_image_recordings() if one.status >= 400])
async def test_recorded_refusals(recording: Recording) -> None:
    """What is the caller's is said in the vendor's words; an unknown model is the route's."""
    script = answer(recording.body, status=recording.status)
    async with serving(script) as one, upstream(one) as client:
        with pytest.raises(UpstreamRefusedError) as caught:
            await client.complete(make_call([one.base_url]))

    found = (caught.value.status, caught.value.param, caught.value.code)
    if "bad-model" in recording.name:
        assert found == (404, "model", "model_not_found")
        assert "bad model" not in str(caught.value)
    else:
        assert found == (400, "url", "invalid_value")
        assert "downloading file" in str(caught.value)
