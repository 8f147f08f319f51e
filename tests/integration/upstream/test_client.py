"""The upstream against servers that misbehave, over real sockets."""

import asyncio
import gzip
import json
import logging
import socket
import time
from dataclasses import replace

import pytest
from tollgate.core.json_text import parse_object
from tollgate.errors import (
    TollgateError,
    UpstreamBrokenError,
    UpstreamError,
    UpstreamRateLimitedError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from tollgate.upstream.keys import EnvKeys

from tests.fakes.models import make_timeouts
from tests.fakes.scripted_server import (
    CHUNK,
    COMPLETION,
    DONE,
    Script,
    answer,
    comment_for_ever,
    error,
    hang,
    raw,
    serving,
    stream,
)
from tests.integration.upstream.world import EXPECTED, GOOD, KEY, ROLE, drain, pair, world


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


FAILING: dict[str, Script] = {
    **{
        str(status): error(status)
        for status in (301, 401, 402, 403, 404, 405, 408, 409, 425, 429, 500, 502, 503, 504, 529)
    },
    "out of credit": error(429, code="insufficient_quota", type="insufficient_quota"),
    "bad key as 400": answer(
        b'{"code": "invalid-argument", "error": "Incorrect API key provided."}', status=400
    ),
    "redirect": answer(status=307, head="location: http://127.0.0.1:1/\r\n"),
    "html": answer(b"<html>\n<body>data: x</body></html>", content_type="text/html"),
    "json without a choice": answer(b'{"choices": []}'),
    "json that is an error": answer(b'{"error": {"message": "down", "code": 503}}'),
    "empty": stream(),
    "only done": stream(DONE),
    "only comments": stream(b": hello\n\n"),
    "no json": stream(b"data: hello\n\n"),
    "error first": stream(b'data: {"error": {"message": "down", "code": 503}}\n\n'),
    "error event first": stream(b'event: error\ndata: {"message": "overloaded"}\n\n'),
    "no http": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "closed": raw(b""),
    "reset": raw(b"", ending="reset"),
    "reset after head": stream(ending="reset"),
    "no chunks": raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\ngarbage"),
    "no gzip": stream(CHUNK, head="content-encoding: gzip\r\n"),
    "role, then closed": stream(ROLE, ending="close"),
    "role, then reset": stream(ROLE, ending="reset"),
    "role, then the end": stream(ROLE),
    "role, then done": stream(ROLE, DONE),
    "role, then garbage": stream(ROLE, b"data: {oops\n\n"),
    "role, then an error": stream(ROLE, b'data: {"error": {"message": "overloaded"}}\n\n'),
    "role, then half an event": stream(ROLE, CHUNK[:30], ending="close"),
    "filters alone": stream(b'data: {"choices": [], "prompt_filter_results": []}\n\n', DONE),
}


@pytest.mark.parametrize("name", FAILING)
async def test_next_channel_answers_where_one_fails(name: str) -> None:
    """Whatever goes wrong before the first event, the second channel's answer is used."""
    async with pair(FAILING[name]) as (made, one, _):
        assert await made.read() == ("c1", EXPECTED)
        assert len(one.bodies) == 1


@pytest.mark.parametrize("script", [hang, stream(ending="hang"), comment_for_ever])
async def test_next_channel_answers_where_the_first_byte_is_late(script: Script) -> None:
    """Silence, bare headers and endless comments are all no first byte."""
    async with pair(script, timeouts=make_timeouts(first_byte_s=0.1)) as (made, one, _):
        assert await made.read() == ("c1", EXPECTED)
        await asyncio.wait_for(one.hung_up.wait(), 5)


async def test_next_channel_answers_where_only_a_role_has_come() -> None:
    """Behind an announcement a silence is that between bytes, and nothing is lost yet."""
    script = stream(ROLE, ending="hang")
    timeouts = make_timeouts(first_byte_s=30.0, between_bytes_s=0.1)
    async with pair(script, timeouts=timeouts) as (made, _, _two):
        assert await made.read() == ("c1", EXPECTED)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "TEXT/json; x=y"])
async def test_whole_answer_to_a_stream_is_a_stream(content_type: str) -> None:
    """The vendor bills for it: it is delivered by parts, and no other channel is asked."""
    async with pair(answer(COMPLETION, content_type=content_type)) as (made, _, two):
        channel, events = await made.read()

    chunks = [json.loads(event) for event in events[:-1]]
    whole = json.loads(COMPLETION)["choices"][0]
    assert (channel, events[-1], two.bodies) == ("c0", "[DONE]", [])
    assert [chunk["choices"][0]["delta"] for chunk in chunks[:2]] == [
        whole["message"] | {"tool_calls": None},
        {},
    ]


async def test_what_is_called_json_is_waited_for_as_a_whole_answer() -> None:
    """Its head has come: the time of the first byte is over, and padding has that of silences."""

    async def padded(writer: asyncio.StreamWriter) -> None:
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
        for piece in (head.encode(), b"\n", b" ", COMPLETION):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.15)
        writer.close()

    timeouts = make_timeouts(first_byte_s=0.2, between_bytes_s=5.0)
    async with pair(padded, timeouts=timeouts) as (made, _, _two):
        channel, _ = await made.read()

    assert channel == "c0"


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize(
    "choice",
    [
        b'{"index": 0}',
        b'{"text": "hello", "finish_reason": "stop"}',
        b'{"message": null, "finish_reason": "stop"}',
        b'{"message": "hello", "delta": "hello"}',
    ],
)
async def test_whole_answer_without_a_message_is_none(choice: bytes, *, is_stream: bool) -> None:
    """An empty answer would be served, and charged; the next channel is asked, this one not rested.

    `text` is of the completions before chat.
    """
    script = answer(b'{"choices": [%b], "usage": {"completion_tokens": 5}}' % choice)
    async with pair(script) as (made, one, two):
        two.scripts[:] = [GOOD if is_stream else answer(COMPLETION)]
        for _ in range(2):
            call = made.call(is_stream=is_stream)
            ask = made.upstream.open_stream if is_stream else made.upstream.complete
            assert (await ask(call)).channel == "c1"
        assert len(one.bodies) == 2


async def test_announcements_are_part_of_the_answer() -> None:
    """What came before the first word is delivered with it, in its order."""
    async with serving(stream(ROLE, CHUNK, DONE)) as one, world(one.base_url) as made:
        assert await made.read() == ("c0", [ROLE.decode()[6:].strip(), *EXPECTED])


async def test_endless_announcements_are_an_answer() -> None:
    """A vendor that sends empty content while it works is passed on after a while."""
    async with serving(stream(*[ROLE] * 100, CHUNK, DONE)) as one, world(one.base_url) as made:
        channel, events = await made.read()

    assert (channel, len(events)) == ("c0", 102)


async def test_next_channel_answers_where_none_listens() -> None:
    """A refused connection is a failure of the channel."""
    async with (
        serving(GOOD) as two,
        world(f"http://127.0.0.1:{closed_port()}/v1", two.base_url) as made,
    ):
        assert await made.read() == ("c1", EXPECTED)


@pytest.mark.parametrize("status", [400, 413, 415, 422, 451])
async def test_refusal_is_the_callers_and_ends_the_search(status: int) -> None:
    """A refused request is not tried elsewhere; the vendor's words reach the caller."""
    script = error(status, f"bad x for {KEY}", param="x", code="bad_x", type="some_error")
    async with pair(script) as (made, _, two):
        with pytest.raises(UpstreamRefusedError) as caught:
            await made.upstream.open_stream(made.call())

    refused = caught.value
    assert ("bad x for [redacted]", status) == (str(refused), refused.status)
    assert (refused.error_type, refused.param, refused.code) == ("some_error", "x", "bad_x")
    assert two.bodies == []


@pytest.mark.parametrize(
    "script",
    [
        error(422, "no such field", param="stream_options.include_usage"),
        answer(
            b'{"object": "error", "message": {"detail": [{"type": "extra_forbidden",'
            b' "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}}',
            status=422,
        ),
        stream(b'data: {"error": {"message": "no", "code": 400, "param": "stream_options"}}\n\n'),
    ],
)
async def test_refusal_of_a_field_that_we_added_is_no_callers(script: Script) -> None:
    """The caller asked for no options: the next channel answers, and this one does not rest."""
    async with pair(script) as (made, one, _):
        assert [(await made.read())[0] for _ in range(2)] == ["c1", "c1"]
        assert len(one.bodies) == 2


@pytest.mark.parametrize(
    ("code", "expected"), [("invalid_value", 400), ("unsupported_parameter", None)]
)
async def test_refusal_of_the_callers_limit_is_the_callers(code: str, expected: int | None) -> None:
    """Though it went into the channel's field; not where that field itself is refused."""
    script = error(400, "too large", param="max_tokens", code=code)
    async with pair(script) as (made, _, _two):
        call = replace(made.call(), body={"messages": [], "max_completion_tokens": 90_000})
        refused = None
        try:
            await made.read(call)
        except UpstreamRefusedError as refusal:
            refused = refusal.status

        assert refused == expected


async def test_refusal_of_our_field_everywhere_is_the_operators() -> None:
    """Where no other channel is left the caller is not told to mend what it did not send."""
    script = error(422, "no such field", param="stream_options")
    async with serving(script) as one, world(one.base_url) as made:
        with pytest.raises(UpstreamUnavailableError):
            await made.read()


@pytest.mark.parametrize(
    ("scripts", "expected"),
    [
        ([error(429, head="retry-after: 7\r\n"), error(429, head="retry-after-ms: 2500\r\n")], 3),
        ([error(429), error(429)], 5),
        ([error(429, head="retry-after: 0\r\n"), error(429)], 1),
    ],
)
async def test_rate_limit_on_all_channels(scripts: list[Script], expected: int) -> None:
    """The caller is told the shortest of the waits, in whole seconds, at least one."""
    async with (
        serving(scripts[0]) as one,
        serving(scripts[1]) as two,
        world(one.base_url, two.base_url) as made,
    ):
        with pytest.raises(UpstreamRateLimitedError) as caught:
            await made.upstream.complete(made.call(is_stream=False))

    assert expected == caught.value.retry_after_s


@pytest.mark.parametrize(
    ("scripts", "expected"),
    [
        ([error(401), error(402)], UpstreamUnavailableError),
        ([error(429), error(500)], UpstreamUnavailableError),
        ([hang, error(500)], UpstreamTimeoutError),
        ([error(404), error(500)], UpstreamUnavailableError),
    ],
)
async def test_what_the_caller_is_told_at_the_end(
    scripts: list[Script], expected: type[TollgateError]
) -> None:
    """One slow channel makes a time-out; the operator's troubles make an unavailability."""
    async with (
        serving(scripts[0]) as one,
        serving(scripts[1]) as two,
        world(one.base_url, two.base_url, timeouts=make_timeouts(first_byte_s=0.1)) as made,
    ):
        with pytest.raises(expected):
            await made.upstream.complete(made.call(is_stream=False))


async def test_unknown_deployment_is_told_by_the_callers_name() -> None:
    """A 404 everywhere names the model that the caller asked for, not the operator's."""
    async with serving(error(404, "no deployment secret-name")) as one, world(one.base_url) as made:
        with pytest.raises(UpstreamRefusedError) as caught:
            await made.upstream.complete(made.call(is_stream=False))

    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert "`story`" in str(caught.value)
    assert "secret-name" not in str(caught.value)


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("hang", UpstreamTimeoutError),
        ("close", UpstreamBrokenError),
        ("reset", UpstreamBrokenError),
    ],
)
async def test_failure_in_mid_stream(ending: str, expected: type[TollgateError]) -> None:
    """What came is delivered; then the failure is raised, and no other channel is asked."""
    timeouts = make_timeouts(between_bytes_s=0.2)
    async with (
        asyncio.timeout(10),
        pair(stream(CHUNK, ending=ending), timeouts=timeouts) as (made, _, two),
    ):
        async with await made.upstream.open_stream(made.call()) as events:
            assert EXPECTED[0] == (await anext(events)).data
            with pytest.raises(expected):
                await anext(events)
            assert await drain(events) == []
        assert two.bodies == []


async def test_comments_keep_a_stream_alive() -> None:
    """Between events a comment is life: only the total time ends such a stream."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + CHUNK)
        for _ in range(30):
            writer.write(b": wait\n\n")
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.write(DONE)
        writer.close()

    async with (
        serving(script) as one,
        world(one.base_url, timeouts=make_timeouts(between_bytes_s=1.0)) as made,
    ):
        assert await made.read() == ("c0", EXPECTED)


async def test_total_time_ends_a_stream() -> None:
    """A stream that goes on and on is stopped."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + CHUNK)
        await comment_for_ever(writer)

    async with (
        asyncio.timeout(10),
        serving(script) as one,
        world(one.base_url, timeouts=make_timeouts(total_s=0.3)) as made,
        await made.upstream.open_stream(made.call()) as events,
    ):
        assert EXPECTED[0] == (await anext(events)).data
        with pytest.raises(UpstreamTimeoutError):
            await anext(events)


async def test_budget_cuts_every_wait() -> None:
    """The Lambda's time limits the wait, and a channel is not blamed for it."""
    patient = make_timeouts(first_byte_s=60.0, total_s=60.0)
    async with pair(hang, timeouts=patient) as (made, one, two), asyncio.timeout(10):
        two.scripts[:] = [hang]
        ends_at = time.monotonic() + 0.2
        with pytest.raises(UpstreamTimeoutError):
            await made.upstream.open_stream(made.call(budget_s=lambda: ends_at - time.monotonic()))
        assert (len(one.bodies), len(two.bodies)) == (1, 1)
        assert time.monotonic() - ends_at < 2
        one.scripts[:] = [GOOD]
        assert await made.read() == ("c0", EXPECTED)


async def test_no_budget_no_call() -> None:
    """Without time left nothing is sent."""
    async with pair(GOOD) as (made, one, _):
        with pytest.raises(UpstreamTimeoutError):
            await made.upstream.open_stream(made.call(budget_s=lambda: 0.0))
        assert one.bodies == []


@pytest.mark.parametrize(
    ("script", "rest_s"),
    [
        (error(500), 30),
        (error(401), 30),
        (error(429, head="retry-after: 90\r\n"), 90),
        (error(429, head="retry-after: 9000\r\n"), 300),
        (error(503, head="retry-after: 90\r\n"), 90),
        (error(503, head="retry-after: 2\r\n"), 30),
    ],
)
async def test_failed_channel_rests(script: Script, rest_s: int) -> None:
    """A failed channel comes last until its rest is over; then it is the first again."""
    async with pair(script, GOOD) as (made, one, _):
        channels = [(await made.read())[0]]
        made.now_s = rest_s - 1
        channels.append((await made.read())[0])
        made.now_s = rest_s
        channels.append((await made.read())[0])

        assert channels == ["c1", "c1", "c0"]
        assert len(one.bodies) == 2


@pytest.mark.parametrize("ending", ["close", "reset", "hang"])
async def test_channel_that_breaks_after_its_first_word_rests(ending: str) -> None:
    """The caller has its beginning and an error; the next one is spared that."""
    timeouts = make_timeouts(between_bytes_s=0.2)
    async with pair(stream(CHUNK, ending=ending), timeouts=timeouts) as (made, _, _two):
        events = await made.upstream.open_stream(made.call())
        with pytest.raises(TollgateError) as caught:
            await drain(events)
        assert isinstance(caught.value, UpstreamError)
        events.note_broken(caught.value)
        await events.aclose()

        assert (await made.read())[0] == "c1"


async def test_stream_that_begins_ends_no_rest() -> None:
    """A probe that breaks off is a fault in a row: the channel rests for twice as long."""
    async with pair(error(500), stream(CHUNK, ending="close"), GOOD) as (made, one, _):
        await made.read()
        made.now_s = 30
        events = await made.upstream.open_stream(made.call())
        assert events.channel == "c0"
        events.note_broken(UpstreamBrokenError())
        await events.aclose()
        channels = []
        for made.now_s in (89, 90):
            channels.append((await made.read())[0])

        assert channels == ["c1", "c0"]
        assert len(one.bodies) == 3


@pytest.mark.parametrize(
    ("code", "expected"),
    [(429, ("c1", "c0")), (403, ("c1", "c0")), (404, ("c0", "c0")), (503, ("c1", "c1"))],
)
async def test_error_in_mid_stream_rests_what_it_is_about(
    code: int, expected: tuple[str, str]
) -> None:
    """As it would before the first word: one model at its limit, nothing, or the channel."""
    bad = f'data: {{"error": {{"message": "no", "code": {code}}}}}\n\n'.encode()
    async with pair(stream(CHUNK, bad), GOOD) as (made, _, _two):
        async with await made.upstream.open_stream(made.call()) as events:
            found = [events.find_error(event, parse_object(event.data)) async for event in events]
            assert found[-1] is not None
            events.note_broken(found[-1])
        calls = [made.call(), made.call(upstream_model="v")]

        assert tuple([(await made.read(call))[0] for call in calls]) == expected


REFUSED = UpstreamBrokenError(verdict=UpstreamRefusedError("no", status=400))


@pytest.mark.parametrize("error_", [REFUSED, None])
async def test_caller_that_leaves_or_breaks_a_stream_rests_no_channel(
    error_: UpstreamBrokenError | None,
) -> None:
    """What is not the channel's fault is not laid to it."""
    async with pair(stream(CHUNK, ending="hang"), GOOD) as (made, _, _two):
        async with await made.upstream.open_stream(made.call()) as events:
            if error_ is not None:
                events.note_broken(error_)

        assert (await made.read())[0] == "c0"


async def test_stream_that_the_deadline_ends_rests_no_channel() -> None:
    """The Lambda's time was up, the channel was not at fault."""
    async with pair(stream(CHUNK, ending="hang"), GOOD) as (made, _, _two):
        async with await made.upstream.open_stream(made.call(budget_s=lambda: 0.3)) as events:
            with pytest.raises(UpstreamTimeoutError) as caught:
                await drain(events)
            events.note_broken(caught.value)

        assert (await made.read())[0] == "c0"


@pytest.mark.parametrize("script", [error(404), stream(), answer(b"<html>")])
async def test_fault_that_one_request_may_cause_rests_no_channel(script: Script) -> None:
    """A missing deployment or an empty answer leaves the channel the first for the next one."""
    async with pair(script, GOOD) as (made, _, _two):
        assert [(await made.read())[0] for _ in range(2)] == ["c1", "c0"]


async def test_answer_ends_a_rest() -> None:
    """A resting channel that answers after all is at its place again."""
    async with (
        serving(error(500), GOOD) as one,
        serving(GOOD, error(404), GOOD) as two,
        world(one.base_url, two.base_url) as made,
    ):
        assert [(await made.read())[0] for _ in range(3)] == ["c1", "c0", "c0"]


async def test_one_request_probes_a_rested_channel() -> None:
    """While it waits for its answer the others go on with the second channel."""
    async with pair(error(500), hang) as (made, one, _):
        await made.read()
        made.now_s = 30
        one.asked.clear()
        probe = asyncio.create_task(made.upstream.open_stream(made.call()))
        await one.asked.wait()

        assert [(await made.read())[0] for _ in range(3)] == ["c1", "c1", "c1"]
        assert len(one.bodies) == 2
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        one.scripts[:] = [GOOD]
        assert (await made.read())[0] == "c0"


async def test_failed_probe_lengthens_the_rest() -> None:
    """A channel that fails again when its rest is over rests for twice as long."""
    async with pair(error(500), error(500), GOOD) as (made, one, _):
        channels = []
        for made.now_s in (0, 30, 89, 90):
            channels.append((await made.read())[0])

        assert channels == ["c1", "c1", "c1", "c0"]
        assert len(one.bodies) == 3


async def test_resting_channels_are_still_tried() -> None:
    """Where every channel rests they are asked all the same."""
    async with serving(error(500), error(500), GOOD) as one, world(one.base_url) as made:
        with pytest.raises(UpstreamUnavailableError):
            await made.read()
        assert await made.read() == ("c0", EXPECTED)


@pytest.mark.parametrize(
    "script",
    [
        stream(CHUNK, DONE, content_type="text/event-stream;charset=UTF-8"),
        stream(CHUNK, DONE, content_type="application/octet-stream"),
        raw(b"HTTP/1.1 200 OK\r\n\r\n" + CHUNK + DONE),
        stream((CHUNK + DONE).replace(b"\n", b"\r\n")),
        stream(*(bytes([byte]) for byte in CHUNK + DONE)),
        stream(gzip.compress(CHUNK + DONE), head="content-encoding: gzip\r\n"),
        stream(b"\xef\xbb\xbf: hi\n\n\n\n" + CHUNK + DONE.rstrip()),
    ],
)
async def test_odd_but_good_streams(script: Script) -> None:
    """Content type, line ends, cuts, encodings nobody asked for: the events are the same."""
    async with serving(script) as one, world(one.base_url) as made:
        assert await made.read() == ("c0", EXPECTED)


async def test_line_of_ten_megabytes() -> None:
    """One event of 10 MB arrives whole."""
    chunk = CHUNK.replace(b"hi", b"x" * 10_000_000)
    async with (
        serving(stream(chunk)) as one,
        world(one.base_url) as made,
    ):
        _, (data,) = await made.read()

    assert len(chunk) - len(b"data: \n\n") == len(data)


async def test_endless_line_is_cut_off() -> None:
    """A line beyond the limit breaks the stream instead of filling the memory."""
    async with (
        serving(stream(CHUNK, *[b"x" * 1_000_000] * 20)) as one,
        world(one.base_url) as made,
        await made.upstream.open_stream(made.call()) as events,
    ):
        with pytest.raises(UpstreamBrokenError):
            await drain(events)


async def test_whole_answer() -> None:
    """A plain answer is the vendor's object, blank space around it or not."""
    async with serving(answer(b"\n \n" + COMPLETION)) as one, world(one.base_url) as made:
        completion = await made.upstream.complete(made.call(is_stream=False))

    assert (
        completion.channel,
        completion.body["choices"][0]["message"]["content"],  # type: ignore[index]
    ) == ("c0", "hi")


async def test_whole_answer_may_take_longer_than_its_first_byte() -> None:
    """Once the headers are here, only silence and the total time end a plain answer."""

    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(13):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.1)
        writer.write(COMPLETION)
        writer.close()

    async with (
        serving(script) as one,
        world(one.base_url, timeouts=make_timeouts(first_byte_s=1.0)) as made,
    ):
        assert (await made.upstream.complete(made.call(is_stream=False))).channel == "c0"


@pytest.mark.parametrize(
    "script",
    [
        answer(b"<html>"),
        answer(b"[]"),
        answer(b"{}"),
        answer(b'{"choices": []}'),
        answer(b'{"choices": [null]}'),
        answer(b'{"error": {"message": "down", "code": 502}}'),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"),
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{", ending="hang"),
    ],
)
async def test_next_channel_where_a_whole_answer_is_none(script: Script) -> None:
    """A body that breaks off, hangs, or is no completion: the next channel is asked."""
    async with (
        serving(script) as one,
        serving(answer(COMPLETION)) as two,
        world(one.base_url, two.base_url, timeouts=make_timeouts(between_bytes_s=0.1)) as made,
    ):
        assert (await made.upstream.complete(made.call(is_stream=False))).channel == "c1"


async def test_closed_pooled_connection_is_tried_once_more() -> None:
    """A server that closed an idle connection costs a reconnect, not the channel."""
    async with pair(GOOD, raw(b"", ending="reset"), GOOD) as (made, one, two):
        assert await made.read() == ("c0", EXPECTED)
        assert await made.read() == ("c0", EXPECTED)
        assert (len(one.bodies), one.connections, len(two.bodies)) == (3, 2, 0)


async def test_garbage_on_a_pooled_connection_is_an_answer() -> None:
    """A vendor that has answered, however badly, has had the request: it is not sent again."""
    async with pair(GOOD, raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")) as (made, one, _):
        assert [(await made.read())[0] for _ in range(2)] == ["c0", "c1"]
        assert (len(one.bodies), one.connections) == (2, 1)


async def test_vendor_that_does_not_take_the_request_is_given_up() -> None:
    """A line that takes none of a large body's bytes for as long as a silence may last."""
    timeouts = make_timeouts(between_bytes_s=0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        async with serving(GOOD) as two, world(url, two.base_url, timeouts=timeouts) as made:
            call = replace(made.call(), body={"messages": [], "x": "x" * 20_000_000})
            async with asyncio.timeout(60), await made.upstream.open_stream(call) as events:
                assert events.channel == "c1"


async def test_connections_are_reused() -> None:
    """Streams that are read to their end share a connection."""
    async with serving(GOOD) as one, world(one.base_url) as made:
        for _ in range(3):
            await made.read()
        assert one.connections == 1


async def test_stream_closed_early_stops_the_upstream() -> None:
    """Closing a stream hangs up on the vendor, and the pool goes on working."""
    async with serving(stream(CHUNK, ending="hang"), GOOD) as one, world(one.base_url) as made:
        async with await made.upstream.open_stream(made.call()) as events:
            await anext(events)
        await asyncio.wait_for(one.hung_up.wait(), 5)
        assert await made.read() == ("c0", EXPECTED)


async def test_cancelled_call_stops_the_upstream() -> None:
    """A caller that gives up while waiting for the first byte hangs up on the vendor."""
    async with serving(hang, GOOD) as one, world(one.base_url) as made:
        task = asyncio.create_task(made.upstream.open_stream(made.call()))
        await one.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(one.hung_up.wait(), 5)
        assert await made.read() == ("c0", EXPECTED)


async def test_rejected_key_is_renewed() -> None:
    """After a 401 a rotated key is used at once, on the same channel."""

    class Rotated(EnvKeys):
        async def renew(self, name: str, rejected: str) -> bool:
            self._environment = {"KEY": "sk-new"}
            return rejected == KEY

    async with (
        serving(error(401), GOOD) as one,
        world(one.base_url, keys=Rotated({"KEY": KEY})) as made,
    ):
        assert await made.read() == ("c0", EXPECTED)
        assert [f"Bearer {KEY}", "Bearer sk-new"] == [h["authorization"] for h in one.headers]


async def test_missing_key_is_a_failure_of_the_channel() -> None:
    """Without its key a channel is not asked."""
    async with serving(GOOD) as one, world(one.base_url, keys=EnvKeys({})) as made:
        with pytest.raises(UpstreamUnavailableError):
            await made.read()
        assert one.bodies == []


async def test_request_on_the_wire() -> None:
    """The vendor sees our headers and the model's own name, and usage is asked for."""
    async with serving(GOOD) as one, world(one.base_url) as made:
        await made.read()

    headers = one.headers[0]
    assert one.paths == ["/v1/chat/completions"]
    assert (headers["accept-encoding"], headers["accept"]) == ("identity", "text/event-stream")
    assert headers["user-agent"].startswith("tollgate/")
    assert one.bodies == [
        {
            "messages": [],
            "model": "u",
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


async def test_failed_attempt_is_logged_without_words_or_keys(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line a failed attempt: channel, status and time; not what the vendor said."""
    caplog.set_level(logging.DEBUG, logger="tollgate.upstream")
    async with pair(error(401, f"wrong key {KEY}")) as (made, _, _two):
        await made.read()

    (record,) = [r for r in caplog.records if r.name == "tollgate.upstream"]
    fields = vars(record)
    assert (fields["channel"], fields["status"], fields["reason"]) == ("c0", 401, "credentials")
    assert KEY not in str(fields)


async def test_metrics_tell_who_failed_and_how_soon_one_answered() -> None:
    """The wait for the failed channel is not counted to the one that answered."""
    async with pair(error(500)) as (made, _, _):
        call = made.call()
        async with asyncio.timeout(10), await made.upstream.open_stream(call):
            pass

        assert call.metrics.failed_channels == ["c0"]
        assert (call.metrics.channel, call.metrics.upstream_latency_ms) == ("c1", 0)
