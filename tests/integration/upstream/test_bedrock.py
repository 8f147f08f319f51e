"""Channels of kind `bedrock` against a made-up Bedrock that misbehaves, over real sockets."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import boto3
import pytest
from tollgate.core.catalog import Catalog, Channel, Route, Timeouts
from tollgate.errors import (
    ConfigurationError,
    TollgateError,
    UpstreamBrokenError,
    UpstreamRateLimitedError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from tollgate.upstream.bedrock.signing import CredentialSource
from tollgate.upstream.bedrock.vendor import BedrockVendor
from tollgate.upstream.client import ChatCall, EventStream, Upstream, new_http_client
from tollgate.upstream.keys import EnvKeys
from tollgate.upstream.refusals import error_in_event
from tollgate.upstream.vendors import OpenAiVendor, Vendor

from tests.fakes.bedrock import CREDENTIALS, FixedCredentials, is_signed
from tests.fakes.event_stream import (
    CONTENT_TYPE,
    START,
    STOP,
    call,
    encode_frame,
    event,
    exception,
    text,
    usage,
)
from tests.fakes.models import make_catalog, make_model, make_timeouts
from tests.fakes.scripted_server import (
    CHUNK,
    DONE,
    Script,
    ScriptedServer,
    answer,
    hang,
    raw,
    serving,
    stream,
)

MODEL = "amazon.nova-x-v1:0"
REGION = "eu-west-1"
SAID = [text("Hello"), text(" there"), STOP, usage(13, 82)]


def frames(*pieces: bytes, ending: str = "whole") -> Script:
    """Stream frames as ConverseStream does."""
    return stream(*pieces, content_type=CONTENT_TYPE, ending=ending)


def fault(name: str, status: int, message: str = "no", head: str = "") -> Script:
    """Answer with one of AWS's exceptions."""
    body = json.dumps({"message": message}).encode()
    return answer(body, status=status, head=f"x-amzn-ErrorType: {name}:http://x/\r\n{head}")


def completion(*blocks: object, stop: str = "end_turn") -> Script:
    """Answer as Converse does."""
    body = {
        "output": {"message": {"role": "assistant", "content": list(blocks)}},
        "stopReason": stop,
        "usage": {"inputTokens": 2, "outputTokens": 5, "totalTokens": 7},
        "metrics": {"latencyMs": 391},
    }
    return answer(json.dumps(body).encode())


GOOD = frames(START, *SAID)


class NoCredentials:
    """A role that cannot be read."""

    async def current(self) -> Any:
        raise ConfigurationError("there are no AWS credentials for Bedrock")


class World:
    """An upstream with channels `c0`, `c1`, … at the given addresses; one of kind openai last."""

    def __init__(
        self, urls: list[str], timeouts: Timeouts, credentials: CredentialSource, plain: str | None
    ) -> None:
        channels = {
            f"c{n}": Channel(
                name=f"c{n}", kind="bedrock", base_url=url, region=REGION, timeouts=timeouts
            )
            for n, url in enumerate(urls)
        }
        if plain is not None:
            channels["plain"] = Channel(name="plain", base_url=plain, timeouts=timeouts)
        routes = [
            Route(channel=name, upstream_model=MODEL, priority=n) for n, name in enumerate(channels)
        ]
        self._catalog = make_catalog(channels)
        self._model = make_model(*routes)
        self._vendors: dict[str, Vendor] = {
            "openai": OpenAiVendor(),
            "bedrock": BedrockVendor(credentials),
        }
        self.upstream = Upstream(
            new_http_client(), self._current, EnvKeys({}), vendors=self._vendors.__getitem__
        )

    async def _current(self) -> Catalog:
        return self._catalog

    def call(self, *, is_stream: bool = True, **body: object) -> ChatCall:
        return ChatCall(
            model=self._model,
            body={"messages": [{"role": "user", "content": "hello"}]} | body,
            output_limit=None,
            is_stream=is_stream,
            budget_s=lambda: 60.0,
        )

    async def read(self) -> tuple[str, list[Any]]:
        async with (
            asyncio.timeout(10),
            await self.upstream.open_stream(self.call()) as events,
        ):
            return events.channel, [json.loads(event.data) async for event in events]


@asynccontextmanager
async def world(
    *urls: str,
    timeouts: Timeouts | None = None,
    credentials: CredentialSource | None = None,
    plain: str | None = None,
) -> AsyncIterator[World]:
    made = World(list(urls), timeouts or make_timeouts(), credentials or FixedCredentials(), plain)
    try:
        yield made
    finally:
        await made.upstream.aclose()


@asynccontextmanager
async def pair(
    *first: Script, timeouts: Timeouts | None = None
) -> AsyncIterator[tuple[World, ScriptedServer, ScriptedServer]]:
    """A first channel with these scripts, and a second one that streams well."""
    async with (
        serving(*first) as one,
        serving(GOOD) as two,
        world(one.base_url, two.base_url, timeouts=timeouts) as made,
    ):
        yield made, one, two


def said(chunks: list[Any]) -> str:
    return "".join(
        choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]
    )


async def test_stream() -> None:
    """Text, finish and usage come as an OpenAI stream's would."""
    async with serving(GOOD) as one, world(one.base_url) as made:
        channel, chunks = await made.read()

    assert (channel, said(chunks)) == ("c0", "Hello there")
    assert chunks[2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[3]["usage"]["completion_tokens"] == 82


async def test_whole_answer() -> None:
    """An answer that is not streamed is a chat completion."""
    async with serving(completion({"text": "21"})) as one, world(one.base_url) as made:
        whole = await made.upstream.complete(made.call(is_stream=False))

    assert one.paths == ["/v1/model/amazon.nova-x-v1%3A0/converse"]
    choices: Any = whole.body["choices"]
    assert (whole.channel, choices[0]["message"]["content"]) == ("c0", "21")


async def test_request_on_the_wire() -> None:
    """Escaped path, signed headers and body, as they arrive; nothing of OpenAI's in it."""
    async with serving(GOOD) as one, world(one.base_url) as made:
        await made.read()

    headers = one.headers[0]
    assert one.paths == ["/v1/model/amazon.nova-x-v1%3A0/converse-stream"]
    assert is_signed(headers, one.paths[0], one.raw_bodies[0], region=REGION)
    assert headers["x-amz-security-token"] == "session"
    assert (headers["accept"], headers["accept-encoding"]) == (CONTENT_TYPE, "identity")
    assert one.bodies == [{"messages": [{"role": "user", "content": [{"text": "hello"}]}]}]


async def test_boto3_sends_the_same_and_reads_the_same() -> None:
    """AWS's own client, asked the same, sends this path and body, and understands these frames."""
    tools = call(1, "tooluse_1", "get_weather", '{"city":"Rome"}')
    async with serving(frames(START, text("Hello"), tools, STOP, usage(1, 2))) as one:
        client = boto3.client(
            "bedrock-runtime",
            region_name=REGION,
            endpoint_url=one.base_url,
            aws_access_key_id=CREDENTIALS.access_key,
            aws_secret_access_key=CREDENTIALS.secret_key,
            aws_session_token=CREDENTIALS.token,
        )

        def converse() -> list[Any]:
            answer = client.converse_stream(
                modelId=MODEL, messages=[{"role": "user", "content": [{"text": "hello"}]}]
            )
            return list(answer["stream"])

        events = await asyncio.to_thread(converse)
        client.close()
        async with world(one.base_url) as made:
            await made.read()

    assert [next(iter(event)) for event in events] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert one.paths[0] == one.paths[1]
    assert one.bodies[0] == one.bodies[1]
    assert is_signed(one.headers[0], one.paths[0], one.raw_bodies[0], region=REGION)
    assert one.headers[0]["content-type"] == one.headers[1]["content-type"]


async def test_each_event_comes_at_once() -> None:
    """An event is there as soon as its frame is, while Bedrock has more to say."""
    go_on = asyncio.Event()

    async def script(writer: asyncio.StreamWriter) -> None:
        await stream(START, text("first"), content_type=CONTENT_TYPE, ending="open")(writer)
        await go_on.wait()
        for frame in (text("second"), STOP, usage(1, 2)):
            writer.write(b"%x\r\n%b\r\n" % (len(frame), frame))
        writer.write(b"0\r\n\r\n")

    async with (
        asyncio.timeout(10),
        serving(script) as one,
        world(one.base_url) as made,
        await made.upstream.open_stream(made.call()) as events,
    ):
        first = json.loads((await anext(events)).data)
        go_on.set()
        rest = [json.loads(event.data) async for event in events]

    assert (said([first]), said(rest)) == ("first", "second")


FAILING: dict[str, Script] = {
    "throttled": fault("ThrottlingException", 429),
    "not ready": fault("ModelNotReadyException", 429),
    "slow model": fault("ModelTimeoutException", 408),
    "model error": fault("ModelErrorException", 424),
    "internal": fault("InternalServerException", 500),
    "unavailable": fault("ServiceUnavailableException", 503),
    "no access": fault("AccessDeniedException", 403, "User: arn:aws:sts::123456789012:x/y"),
    "expired": fault("ExpiredTokenException", 403),
    "wrong model": fault("ValidationException", 400, "The provided model identifier is invalid."),
    "no model": fault("ResourceNotFoundException", 404),
    "throttled in the stream": frames(START, exception("throttlingException", "slow down")),
    "down in the stream": frames(START, exception("internalServerException", "oops")),
    "error frame": frames(
        encode_frame({":message-type": "error", ":error-code": "X", ":error-message": "m"}, b"")
    ),
    "empty": frames(),
    "only a start": frames(START),
    "half a frame": frames(START, text("hello")[:20]),
    "html": answer(b"<html></html>", content_type="text/html"),
    "json": answer(b'{"Output": {"__type": "UnknownOperationException"}}'),
    "events": stream(CHUNK, DONE),
    "closed": raw(b""),
    "reset": frames(START, ending="reset"),
    "cut off": frames(START, ending="close"),
}


@pytest.mark.parametrize("name", FAILING)
async def test_next_channel_answers_where_one_fails(name: str) -> None:
    """Whatever goes wrong before the first output, the second channel's answer is used."""
    async with pair(FAILING[name]) as (made, one, _):
        channel, chunks = await made.read()

        assert (channel, said(chunks)) == ("c1", "Hello there")
        assert len(one.bodies) == 1


@pytest.mark.parametrize("script", [hang, frames(ending="hang"), frames(START, ending="hang")])
async def test_next_channel_answers_where_the_first_byte_is_late(script: Script) -> None:
    """Silence, bare headers and the start of a message are all no answer."""
    async with pair(script, timeouts=make_timeouts(first_byte_s=0.2)) as (made, one, _):
        assert (await made.read())[0] == "c1"
        await asyncio.wait_for(one.hung_up.wait(), 5)


async def test_malformed_answer_is_asked_for_elsewhere() -> None:
    """A whole answer that the model broke off in the middle of is none."""
    script = completion({"text": "{"}, stop="malformed_model_output")
    async with (
        serving(script) as one,
        serving(completion({"text": "ok"})) as two,
        world(one.base_url, two.base_url) as made,
    ):
        assert (await made.upstream.complete(made.call(is_stream=False))).channel == "c1"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (fault("ThrottlingException", 429, head="retry-after: 7\r\n"), UpstreamRateLimitedError),
        (frames(START, exception("throttlingException", "no")), UpstreamRateLimitedError),
        (fault("AccessDeniedException", 403), UpstreamUnavailableError),
        (fault("ValidationException", 400, "temperature is too high"), UpstreamRefusedError),
        (hang, UpstreamTimeoutError),
    ],
)
async def test_what_the_caller_is_told(script: Script, expected: type[TollgateError]) -> None:
    """A single channel's failure is said as any other vendor's would be."""
    async with (
        serving(script) as one,
        world(one.base_url, timeouts=make_timeouts(first_byte_s=0.2)) as made,
    ):
        with pytest.raises(expected):
            await made.upstream.open_stream(made.call())


async def drain(events: EventStream) -> list[str]:
    return [event.data async for event in events]


@pytest.mark.parametrize(
    ("pieces", "ending", "expected"),
    [
        ([], "hang", UpstreamTimeoutError),
        ([], "close", UpstreamBrokenError),
        ([], "reset", UpstreamBrokenError),
        ([text("more")[:9]], "whole", UpstreamBrokenError),
        ([b"\x00" * 16], "whole", UpstreamBrokenError),
    ],
)
async def test_failure_in_mid_stream(
    pieces: list[bytes], ending: str, expected: type[TollgateError]
) -> None:
    """What came is delivered; then the failure is raised, and no other channel is asked."""
    script = frames(START, text("Hello"), *pieces, ending=ending)
    timeouts = make_timeouts(between_bytes_s=0.2)
    async with asyncio.timeout(10), pair(script, timeouts=timeouts) as (made, _, two):
        async with await made.upstream.open_stream(made.call()) as events:
            assert said([json.loads((await anext(events)).data)]) == "Hello"
            with pytest.raises(expected):
                await drain(events)
        assert two.bodies == []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("modelStreamErrorException", "the model stumbled"),
        ("internalServerException", "the model stumbled"),
        ("throttlingException", str(UpstreamBrokenError())),
    ],
)
async def test_exception_in_mid_stream(kind: str, words: str) -> None:
    """An exception after output is an error event; what is about the operator is not quoted."""
    script = frames(START, text("Hello"), exception(kind, "the model stumbled"))
    async with (
        serving(script) as one,
        world(one.base_url) as made,
        await made.upstream.open_stream(made.call()) as events,
    ):
        seen = [event async for event in events]

    failure = error_in_event(seen[-1].event, json.loads(seen[-1].data))
    assert said([json.loads(seen[0].data)]) == "Hello"
    assert words == str(failure)


async def test_closed_stream_stops_bedrock() -> None:
    """Who hangs up is not made to wait for the rest, nor charged for it by AWS."""
    async with (
        serving(frames(START, text("Hello"), ending="hang")) as one,
        world(one.base_url) as made,
    ):
        async with await made.upstream.open_stream(made.call()) as events:
            await anext(events)
        await asyncio.wait_for(one.hung_up.wait(), 5)


async def test_what_converse_cannot_do_another_kind_may() -> None:
    """A request beyond Converse goes to the next channel; Bedrock is not asked, and not resting."""
    async with (
        serving(GOOD) as one,
        serving(stream(CHUNK, DONE)) as two,
        world(one.base_url, plain=two.base_url) as made,
    ):
        call = made.call(n=2)
        async with await made.upstream.open_stream(call) as events:
            assert events.channel == "plain"
        assert call.metrics.failed_channels == []
        assert one.bodies == []
        assert two.bodies[0]["n"] == 2
        assert (await made.read())[0] == "c0"


async def test_what_no_channel_can_do() -> None:
    """Where only Bedrock is there the caller learns what it cannot do, at once."""
    image = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest/meta-data"}}
    messages = [{"role": "user", "content": [image]}]
    async with serving(GOOD) as one, world(one.base_url) as made:
        with pytest.raises(UpstreamRefusedError) as caught:
            await made.upstream.open_stream(made.call(messages=messages))
        assert one.bodies == []

    assert (caught.value.status, caught.value.param) == (
        400,
        "messages[0].content[0].image_url",
    )
    assert "addresses are not fetched" in str(caught.value)


async def test_missing_role_is_a_failure_of_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    """Without credentials a channel is not asked, and the log says why without a secret."""
    caplog.set_level(logging.DEBUG, logger="tollgate.upstream")
    async with serving(GOOD) as one, world(one.base_url, credentials=NoCredentials()) as made:
        with pytest.raises(UpstreamUnavailableError):
            await made.read()
        assert one.bodies == []

    assert [record.reason for record in caplog.records] == ["credentials"]  # type: ignore[attr-defined]


async def test_call_with_arguments_in_pieces() -> None:
    """A tool's call comes through as its fragments, and the stream ends with its reason."""
    tools = call(1, "tooluse_1", "get_weather", '{"city":', '"Rome"}')
    stopped = event("messageStop", stopReason="tool_use")
    script = frames(START, tools, stopped, usage(1, 2))
    async with serving(script) as one, world(one.base_url) as made:
        _, chunks = await made.read()

    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert "".join(call["function"]["arguments"] for call in calls) == '{"city":"Rome"}'
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
