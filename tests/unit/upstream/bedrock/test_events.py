"""ConverseStream's frames as OpenAI's chunks."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tollgate.errors import UpstreamBrokenError
from tollgate.upstream.bedrock.events import ConverseDecoder
from tollgate.upstream.sse import ServerEvent

from tests.fakes.event_stream import (
    START,
    STOP,
    call,
    encode_frame,
    event,
    exception,
    text,
    usage,
)


def decode(*frames: bytes) -> list[ServerEvent]:
    decoder = ConverseDecoder()
    return [event for frame in frames for event in decoder.feed(frame)] + decoder.end()


def chunks(*frames: bytes) -> list[Any]:
    return [json.loads(event.data) for event in decode(*frames)]


def deltas(*frames: bytes) -> list[Any]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(*frames)]


def test_text_finish_and_usage() -> None:
    """Each piece of text is a chunk; then the reason, then the figures."""
    made = chunks(START, text("Hello"), text(" there"), STOP, usage(13, 82))

    assert [c["choices"][0]["delta"]["content"] for c in made[:2]] == ["Hello", " there"]
    assert made[2]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert made[3]["choices"] == []
    assert (made[3]["usage"]["prompt_tokens"], made[3]["usage"]["completion_tokens"]) == (13, 82)


def test_events_without_news_give_no_chunk() -> None:
    """The start, a block's end, blank text and what is not known: nothing to send."""
    frames = [
        START,
        text(""),
        event("contentBlockStart", contentBlockIndex=0, start={}),
        event("contentBlockStart", contentBlockIndex=2, start={"image": {"format": "png"}}),
        event("contentBlockStop", contentBlockIndex=0),
        event("contentBlockDelta", contentBlockIndex=0, delta={"citation": {"title": "x"}}),
        event("contentBlockDelta", contentBlockIndex=0, delta={"toolResult": [{"text": "x"}]}),
        event("contentBlockDelta", contentBlockIndex=0),
        event("somethingNew", at="last"),
    ]

    assert decode(*frames) == []


def test_parallel_calls() -> None:
    """Blocks become calls 0, 1, …, whatever text is before and between them."""
    made = deltas(
        text("Let me look."),
        call(1, "tooluse_a", "get_weather", "", '{"city":', '"Rome"}'),
        text("And", 2),
        call(3, "tooluse_b", "get_time"),
    )

    first, *rest = [call for delta in made for call in delta.get("tool_calls", [])]
    assert first == {
        "index": 0,
        "id": "tooluse_a",
        "type": "function",
        "function": {"name": "get_weather", "arguments": ""},
    }
    assert rest == [
        {"index": 0, "function": {"arguments": '{"city":'}},
        {"index": 0, "function": {"arguments": '"Rome"}'}},
        {
            "index": 1,
            "id": "tooluse_b",
            "type": "function",
            "function": {"name": "get_time", "arguments": ""},
        },
        {"index": 1, "function": {"arguments": "{}"}},
    ]


def test_bedrocks_own_tools_are_no_calls() -> None:
    """A tool that Bedrock itself runs is not the caller's to answer."""
    use = {"toolUseId": "t", "name": "nova_code", "type": "server_tool_use"}
    frames = [
        event("contentBlockStart", contentBlockIndex=0, start={"toolUse": use}),
        event("contentBlockDelta", contentBlockIndex=0, delta={"toolUse": {"input": "{}"}}),
        event("contentBlockStop", contentBlockIndex=0),
    ]

    assert decode(*frames) == []


def test_reasoning() -> None:
    """Thoughts are reasoning_content; signatures and what is encrypted are not shown."""
    pieces: Sequence[dict[str, object]] = (
        {"text": "Hm."},
        {"signature": "c2ln"},
        {"redactedContent": "c2VjcmV0"},
    )
    frames = [
        event("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": piece})
        for piece in pieces
    ]

    assert deltas(*frames) == [{"reasoning_content": "Hm."}]


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        (exception("throttlingException", "m"), 429),
        (exception("modelStreamErrorException", "m"), 502),
        (exception("internalServerException", "m"), 500),
        (exception("serviceUnavailableException", "m"), 503),
        (exception("validationException", "m"), 400),
        (exception("somethingNewException", "m"), 502),
        (
            encode_frame(
                {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "m"},
                b"",
            ),
            502,
        ),
    ],
)
def test_exceptions(frame: bytes, status: int) -> None:
    """An exception is an event "error" with its status and words."""
    (made,) = decode(START, frame)

    assert made.event == "error"
    error = json.loads(made.data)["error"]
    assert (status, "m") == (error["status_code"], error["message"])


def test_malformed_output_is_an_error() -> None:
    """What the model broke off in the middle of does not look complete."""
    made = decode(text("{"), event("messageStop", stopReason="malformed_tool_use"))

    assert [event.event for event in made] == ["message", "error"]


def _flip(frame: bytes, at: int) -> bytes:
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>502 Bad Gateway</body></html>",
        b'{"message": "The model is not ready for inference."}',
        b'data: {"choices": []}\n\n',
        _flip(text("hello"), 2),
        _flip(text("hello"), 20),
        _flip(text("hello"), -5),
        encode_frame({":message-type": "event", ":event-type": "metadata"}, b"no json"),
        encode_frame({":message-type": "event", ":event-type": "metadata"}, b"[]"),
        text("hello")[:-1],
        text("hello")[:5],
    ],
)
def test_what_is_no_frame_breaks_the_stream(body: bytes) -> None:
    """Other vendors' bytes, a wrong checksum, no JSON inside, an end within a frame."""
    with pytest.raises(UpstreamBrokenError):
        decode(body)
