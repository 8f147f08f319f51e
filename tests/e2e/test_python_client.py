"""The official Python client, unmodified, against the running gateway: what it gets and pays."""

import base64
import json
import struct
import time
import zlib
from itertools import pairwise
from typing import Any

import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.accumulate import accumulate
from tests.e2e.gateway import Gateway, micropoints, not_under_sam

TEXT = "the quick brown fox jumps over the lazy dog"
MESSAGES: Any = [{"role": "user", "content": TEXT}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
TIME: Any = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
    },
}


@pytest.fixture
def client(gateway: Gateway) -> OpenAI:
    return OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0)


def stream(client: OpenAI, **params: Any) -> list[dict[str, Any]]:
    chunks = client.chat.completions.create(stream=True, **params)
    return [chunk.to_dict(exclude_unset=True, warnings=False) for chunk in chunks]


def test_plain_answer_says_what_the_account_lost(gateway: Gateway, client: OpenAI) -> None:
    """A whole answer has exact usage and a quota that equals record and balance."""
    with gateway.watch() as money:
        answer = client.chat.completions.create(model="demo-echo", messages=MESSAGES).to_dict()

    assert answer["choices"][0]["message"]["content"] == TEXT  # type: ignore[index]
    assert answer["model"] == "demo-echo"
    assert answer["usage"]["total_tokens"] == (  # type: ignore[index]
        answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]  # type: ignore[index]
    )
    assert micropoints(answer["quota"]) == money.lost == money.record(answer["id"]).quota
    assert money.lost > 0


def test_plain_stream_has_usage_and_quota_on_every_chunk(gateway: Gateway, client: OpenAI) -> None:
    """A plain name: running figures on each chunk, exact ones on the finish, no empty chunk."""
    with gateway.watch() as money:
        chunks = stream(client, model="demo-echo", messages=MESSAGES)

    completions = [chunk["usage"]["completion_tokens"] for chunk in chunks[:-1]]
    quotas = [micropoints(chunk["quota"]) for chunk in chunks]
    assert accumulate(chunks)[0]["content"] == TEXT
    assert completions == list(range(len(completions)))
    assert quotas[:-1] == sorted(quotas[:-1])
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert all(chunk["choices"] for chunk in chunks)
    assert all(
        chunk["usage"]["total_tokens"]
        == chunk["usage"]["prompt_tokens"] + chunk["usage"]["completion_tokens"]
        for chunk in chunks
    )
    assert quotas[-1] == money.lost == money.record(chunks[-1]["id"]).quota
    assert money.record(chunks[-1]["id"]).is_exact


def test_include_usage_stream_has_openais_usage_and_our_quota(
    gateway: Gateway, client: OpenAI
) -> None:
    """A plain name that asks for usage: null until a last chunk without choices; and quota."""
    with gateway.watch() as money:
        chunks = stream(
            client, model="demo-echo", messages=MESSAGES, stream_options={"include_usage": True}
        )

    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] > 0
    assert all("quota" in chunk for chunk in chunks)
    assert micropoints(chunks[-1]["quota"]) == money.lost


@pytest.mark.parametrize("has_usage", [False, True])
def test_official_stream_is_openais_own_form(
    gateway: Gateway, client: OpenAI, *, has_usage: bool
) -> None:
    """An -official name: never a quota, usage only in OpenAI's form; the charge is the same."""
    options = {"stream_options": {"include_usage": True}} if has_usage else {}

    with gateway.watch() as money:
        chunks = stream(client, model="demo-echo-official", messages=MESSAGES, **options)

    assert accumulate(chunks)[0]["content"] == TEXT
    assert not any("quota" in chunk for chunk in chunks)
    assert money.lost == money.record(chunks[0]["id"]).quota > 0
    if has_usage:
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["total_tokens"] > 0
    else:
        assert not any("usage" in chunk for chunk in chunks)
        assert all(chunk["choices"] for chunk in chunks)


def test_official_plain_answer_has_no_quota(gateway: Gateway, client: OpenAI) -> None:
    """A whole -official answer has OpenAI's fields only, and is charged."""
    with gateway.watch() as money:
        answer = client.chat.completions.create(model="demo-echo-official", messages=MESSAGES)

    assert "quota" not in answer.to_dict()
    assert answer.model == "demo-echo"
    assert money.lost > 0


def test_official_in_the_body_means_the_suffix(client: OpenAI) -> None:
    """`"official": true` does what the suffix does."""
    answer = client.chat.completions.create(
        model="demo-echo", messages=MESSAGES, extra_body={"official": True}
    )

    assert "quota" not in answer.to_dict()


@pytest.mark.parametrize("is_stream", [False, True])
def test_tools_are_called_and_answered(client: OpenAI, *, is_stream: bool) -> None:
    """Two tools are called in parallel, their results are taken, and text comes back."""
    params: Any = {"model": "demo-tools", "tools": [WEATHER, TIME]}
    if is_stream:
        with client.chat.completions.stream(messages=MESSAGES, **params) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(messages=MESSAGES, **params).choices[0].message

    calls: Any = message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert all(isinstance(json.loads(call.function.arguments), dict) for call in calls)
    results = [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in calls]
    history = [*MESSAGES, message.to_dict(), *results]
    assert client.chat.completions.create(messages=history, **params).choices[0].message.content


class City(BaseModel):
    """What the structured answer is parsed into."""

    name: str
    population: int


@pytest.mark.parametrize("is_stream", [False, True])
def test_structured_output_is_parsed(client: OpenAI, *, is_stream: bool) -> None:
    """A json_schema answer becomes the pydantic model, whole and streamed."""
    params: Any = {"model": "demo-echo", "messages": MESSAGES, "response_format": City}
    if is_stream:
        with client.chat.completions.stream(**params) as events:
            message: Any = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.parse(**params).choices[0].message

    assert isinstance(message.parsed, City)


def test_two_choices_are_both_whole(gateway: Gateway, client: OpenAI) -> None:
    """`n=2`: both choices arrive with their finish, and both are paid for."""
    with gateway.watch() as money:
        chunks = stream(client, model="demo-echo", messages=MESSAGES, n=2)
    with gateway.watch() as single:
        client.chat.completions.create(model="demo-echo", messages=MESSAGES)

    choices = accumulate(chunks)
    assert [choices[index]["content"] for index in (0, 1)] == [TEXT, TEXT]
    assert [choices[index]["finish_reason"] for index in (0, 1)] == ["stop", "stop"]
    assert micropoints(chunks[-1]["quota"]) == money.lost > single.lost


@pytest.mark.parametrize("is_stream", [False, True])
def test_logprobs_pass_through(client: OpenAI, *, is_stream: bool) -> None:
    """Log probabilities arrive as the upstream sends them."""
    params: Any = {"model": "demo-echo", "messages": MESSAGES, "logprobs": True}
    if is_stream:
        choices = [chunk["choices"][0] for chunk in stream(client, **params)]
        logprobs = [choice["logprobs"] for choice in choices if choice.get("logprobs")]
    else:
        answer: Any = client.chat.completions.create(**params)
        logprobs = [answer.choices[0].logprobs.to_dict()]

    assert logprobs[0]["content"][0]["logprob"] <= 0


def test_reasoning_is_relayed_and_counted(gateway: Gateway, client: OpenAI) -> None:
    """A thinking model's reasoning arrives, and its tokens stand in the exact usage."""
    with gateway.watch() as money:
        chunks = stream(client, model="demo-think", messages=MESSAGES)

    assert accumulate(chunks)[0]["reasoning_content"]
    assert chunks[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0
    assert micropoints(chunks[-1]["quota"]) == money.lost


def png(width: int, height: int) -> str:
    """Return a data URL of a white PNG."""

    def block(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\xff" * width for _ in range(height)))
    raw = b"\x89PNG\r\n\x1a\n" + block(b"IHDR", head) + block(b"IDAT", rows) + block(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(raw).decode()


def test_vision_input_is_counted_before_the_call(gateway: Gateway, client: OpenAI) -> None:
    """An image part is accepted, and its tokens are in the running prompt count."""
    parts = [
        {"type": "text", "text": TEXT},
        {"type": "image_url", "image_url": {"url": png(64, 64)}},
    ]
    messages: Any = [{"role": "user", "content": parts}]

    with gateway.watch() as money:
        seen = stream(client, model="demo-echo", messages=messages)
    blind = stream(client, model="demo-echo", messages=MESSAGES)

    assert seen[0]["usage"]["prompt_tokens"] > blind[0]["usage"]["prompt_tokens"] + 50
    assert micropoints(seen[-1]["quota"]) == money.lost


def test_audio_goes_in_and_out(gateway: Gateway, client: OpenAI) -> None:
    """An audio part is accepted, an audio answer streams, and the charge is exact."""
    sound = base64.b64encode(bytes(4800)).decode()
    parts = [{"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}}]
    messages: Any = [{"role": "user", "content": parts}]

    with gateway.watch() as money:
        chunks = stream(
            client,
            model="demo-echo",
            messages=messages,
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": "pcm16"},
        )

    assert accumulate(chunks)[0]["audio"]["data"]
    assert micropoints(chunks[-1]["quota"]) == money.lost > 0


@not_under_sam("does not stream")
def test_first_chunk_arrives_while_the_upstream_is_sending(client: OpenAI) -> None:
    """Chunks arrive one by one: the first with most of the upstream's time still to come."""
    started = time.monotonic()
    arrivals = [
        time.monotonic() - started
        for _ in client.chat.completions.create(
            model="demo-story",
            messages=MESSAGES,
            stream=True,
            max_tokens=30,
            extra_headers={"x-test": "arrival"},
        )
    ]

    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    assert arrivals[0] < arrivals[-1] / 2
    assert sum(gap > 0.001 for gap in gaps) > len(gaps) / 2


def test_models_are_listed_and_retrieved(client: OpenAI) -> None:
    """The list has base names, sorted; one model answers to the name asked for."""
    names = [model.id for model in client.models.list()]

    assert names == sorted(names)
    assert "demo-echo" in names
    assert client.models.retrieve("demo-echo-official").id == "demo-echo-official"
