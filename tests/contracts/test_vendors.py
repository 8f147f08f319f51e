"""What every kind of channel must do: the same answer, whatever was on the wire."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tollgate.core.catalog import Channel, Route
from tollgate.errors import UpstreamBrokenError, UpstreamRefusedError
from tollgate.upstream.bedrock.vendor import BedrockVendor
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.refusals import judge_error, judge_event
from tollgate.upstream.sse import EVENT_BYTES_MAX, ServerEvent
from tollgate.upstream.vendor_requests import ChatCall, VendorRequest
from tollgate.upstream.vendors import OpenAiVendor, Vendor

from tests.fakes.bedrock import FixedCredentials
from tests.fakes.event_stream import START, STOP, exception, text, usage
from tests.fakes.models import make_model

USAGE = {"prompt_tokens": 13, "completion_tokens": 2}


def _chunk(**delta: str) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _openai_error(status: int, message: str) -> bytes:
    del status
    return json.dumps({"error": {"message": message}}).encode()


def _aws_error(status: int, message: str) -> bytes:
    names = {
        400: "ValidationException",
        403: "AccessDeniedException",
        404: "ResourceNotFoundException",
        429: "ThrottlingException",
        500: "InternalServerException",
    }
    return json.dumps({"__type": names[status], "message": message}).encode()


OPENAI_STREAM = b"".join(
    [
        _chunk(role="assistant"),
        _chunk(content="Hel"),
        _chunk(content="lo"),
        b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n',
        f'data: {{"choices": [], "usage": {json.dumps(USAGE)}}}\n\n'.encode(),
        b"data: [DONE]\n\n",
    ]
)
OPENAI_WHOLE: dict[str, Any] = {
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello"},
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}
BEDROCK_WHOLE: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 13, "outputTokens": 2, "totalTokens": 15},
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of channel: how it is spoken to, and how its vendor says the same things."""

    channel: Channel
    vendor: Vendor = field(default_factory=OpenAiVendor)
    url: str
    stream: bytes = OPENAI_STREAM
    whole: dict[str, Any] = field(default_factory=lambda: OPENAI_WHOLE)
    fault: bytes = b'data: {"error": {"message": "overloaded", "code": 503}}\n\n'
    write_error: Callable[[int, str], bytes] = _openai_error


def _azure(version: str | None) -> Channel:
    return Channel(name="c", kind="azure", base_url="https://x.test", api_version=version)


KINDS = {
    "openai": Kind(
        channel=Channel(name="c", base_url="https://x.test/v1"),
        url="https://x.test/v1/chat/completions",
    ),
    "azure": Kind(
        channel=_azure(None),
        url="https://x.test/openai/v1/chat/completions",
    ),
    "azure by date": Kind(
        channel=_azure("2024-10-21"),
        url="https://x.test/openai/deployments/u%3A0/chat/completions?api-version=2024-10-21",
    ),
    "bedrock": Kind(
        channel=Channel(name="c", kind="bedrock", base_url="https://x.test", region="eu-west-1"),
        vendor=BedrockVendor(FixedCredentials()),
        url="https://x.test/model/u%3A0/converse-stream",
        stream=b"".join([START, text("Hel"), text("lo"), STOP, usage(13, 2)]),
        whole=BEDROCK_WHOLE,
        fault=exception("serviceUnavailableException", "overloaded"),
        write_error=_aws_error,
    ),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


async def make(kind: Kind) -> VendorRequest:
    route = Route(channel="c", upstream_model="u:0")
    call = ChatCall(
        model=make_model(route),
        body={"messages": [{"role": "user", "content": "hello"}], "temperature": 0.5},
        output_limit=9,
        is_stream=True,
        budget_s=lambda: 1.0,
    )
    return await kind.vendor.make_request(call, channel=kind.channel, route=route, key="sk-1")


def decode(kind: Kind, *pieces: bytes) -> list[ServerEvent]:
    decoder = kind.vendor.open_decoder(EVENT_BYTES_MAX)
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


def summarize(events: list[ServerEvent]) -> tuple[str, list[str], list[dict[str, int]]]:
    """Return the text, the finish reasons, and the usage as far as all vendors report it."""
    chunks = [json.loads(event.data) for event in events if event.data != "[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    said = "".join(choice["delta"].get("content") or "" for choice in choices)
    reasons = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    return said, reasons, [{name: used[name] for name in USAGE} for used in usages]


async def test_request_is_whole(kind: Kind) -> None:
    """Its address, its own length, no compression asked for, and the one output limit."""
    made = await make(kind)
    body = bytes(made.content)  # type: ignore[arg-type]

    assert made.url == kind.url
    assert made.headers["content-length"] == str(len(body))
    assert made.headers["accept-encoding"] == "identity"
    assert b"hello" in body
    assert b":9" in body


async def test_request_tells_no_secret(kind: Kind) -> None:
    """Whoever prints it sees the address."""
    assert repr(await make(kind)) == f"VendorRequest({kind.url!r})"


def test_stream(kind: Kind) -> None:
    """Text, reason and usage are the same for all."""
    assert summarize(decode(kind, kind.stream)) == ("Hello", ["stop"], [USAGE])


def test_stream_in_bytes(kind: Kind) -> None:
    """However it was cut."""
    whole = decode(kind, kind.stream)

    assert whole == decode(kind, *(kind.stream[at : at + 1] for at in range(len(kind.stream))))
    for place in range(0, len(kind.stream), 7):
        assert whole == decode(kind, kind.stream[:place], kind.stream[place:])


def test_whole_answer(kind: Kind) -> None:
    """A completion with its usage."""
    made: Any = kind.vendor.read_answer(kind.whole)

    assert made["choices"] == OPENAI_WHOLE["choices"]
    assert {name: made["usage"][name] for name in USAGE} == USAGE


@pytest.mark.parametrize("raw", [{}, {"choices": None}, {"message": "hello"}, {"output": []}])
def test_what_is_no_answer(kind: Kind, raw: dict[str, object]) -> None:
    """Nothing that could be taken for one."""
    assert not kind.vendor.read_answer(raw).get("choices")


def test_fault_in_a_stream(kind: Kind) -> None:
    """An error as the first event is the channel's, and the next one is tried."""
    first = decode(kind, kind.fault)[0]

    failure = judge_event(first.event, json.loads(first.data))
    assert isinstance(failure, ChannelFailedError)
    assert failure.reason == "unavailable"


def test_other_bytes(kind: Kind) -> None:
    """A page in the place of a stream gives no event, or breaks it."""
    try:
        events = decode(kind, b"<html>\n<body>Bad gateway</body>\n</html>\n")
    except UpstreamBrokenError:
        events = []

    assert events == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "credentials"), (404, "not_found"), (429, "rate_limit"), (500, "unavailable")],
)
def test_failures(kind: Kind, status: int, reason: str) -> None:
    """What sends a request to the next channel, and why."""
    failure = judge_error(*kind.vendor.read_error(status, {}, kind.write_error(status, "no")))

    assert isinstance(failure, ChannelFailedError)
    assert failure.reason == reason


def test_refusal(kind: Kind) -> None:
    """What is the caller's is said in the vendor's words."""
    refusal = judge_error(*kind.vendor.read_error(400, {}, kind.write_error(400, "too hot")))

    assert isinstance(refusal, UpstreamRefusedError)
    assert (refusal.status, str(refusal)) == (400, "too hot")
    assert refusal.error_type == "invalid_request_error"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b'{"error": 1}', b"\xff"])
def test_error_without_words(kind: Kind, body: bytes) -> None:
    """The status decides."""
    status, error = kind.vendor.read_error(503, {}, body)

    assert (status, error.message) == (503, None)
