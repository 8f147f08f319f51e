"""The official Python client through a gateway whose vendor is Bedrock: what it gets and pays."""

import json
from typing import Any

import pytest
from openai import APIError, BadRequestError, OpenAI, RateLimitError

from tests.accumulate import accumulate
from tests.e2e.gateway import Gateway, micropoints
from tests.fakes.bedrock_app import (
    CACHED,
    COMPLETION,
    PROMPT,
    WRITTEN,
)

TEXT = "the quick brown fox"
MESSAGES: Any = [{"role": "system", "content": "Echo."}, {"role": "user", "content": TEXT}]
# Points a million tokens are micropoints a token: fresh, cached, written and answered.
CHARGE = PROMPT * 300 + CACHED * 30 + WRITTEN * 375 + COMPLETION * 1500
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
TIME: Any = {"type": "function", "function": {"name": "get_time"}}


@pytest.fixture
def client(bedrock_gateway: Gateway) -> OpenAI:
    return OpenAI(base_url=bedrock_gateway.base_url, api_key=bedrock_gateway.api_key, max_retries=0)


def collect(client: OpenAI, chunks: list[dict[str, Any]], **params: Any) -> None:
    """Append each chunk as it comes; an error of the stream goes on."""
    events = client.chat.completions.create(stream=True, **params)
    chunks.extend(chunk.to_dict(exclude_unset=True, warnings=False) for chunk in events)


def stream(client: OpenAI, **params: Any) -> list[dict[str, Any]]:
    chunks: list[dict[str, Any]] = []
    collect(client, chunks, **params)
    return chunks


def test_whole_answer_is_charged_by_its_usage(bedrock_gateway: Gateway, client: OpenAI) -> None:
    """Fresh, cached and written tokens each have their price, to the micropoint."""
    with bedrock_gateway.watch() as money:
        answer: Any = client.chat.completions.create(model="echo", messages=MESSAGES)

    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == PROMPT + CACHED + WRITTEN
    assert answer.usage.prompt_tokens_details.cached_tokens == CACHED
    assert money.lost == CHARGE == micropoints(answer.quota)
    record = money.record(answer.id)
    assert (record.quota, record.channel, record.is_exact) == (CHARGE, "bedrock", True)


@pytest.mark.parametrize("name", ["echo", "echo-official", "failover"])
def test_stream_is_charged_the_same(bedrock_gateway: Gateway, client: OpenAI, name: str) -> None:
    """Word by word, plain and official; where one route is throttled, through the next."""
    with bedrock_gateway.watch() as money:
        chunks = stream(client, model=name, messages=MESSAGES)

    (choice,) = accumulate(chunks).values()
    assert (choice["content"].strip(), choice["finish_reason"]) == (TEXT, "stop")
    assert len(chunks) > len(TEXT.split())
    assert money.lost == CHARGE
    assert ("quota" in chunks[-1]) is (name != "echo-official")


@pytest.mark.parametrize("is_stream", [False, True])
def test_tools_are_called_and_answered(
    bedrock_gateway: Gateway, client: OpenAI, *, is_stream: bool
) -> None:
    """Two tools are called in parallel, and their results are read; each call is charged."""
    params: Any = {"model": "tools", "tools": [WEATHER, TIME]}
    with bedrock_gateway.watch() as money:
        if is_stream:
            with client.chat.completions.stream(messages=MESSAGES, **params) as events:
                message = events.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.create(messages=MESSAGES, **params).choices[0].message
        calls: Any = message.tool_calls
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": f"{call.function.name}: fine"}
            for call in calls
        ]
        history = [*MESSAGES, message.to_dict(), *results]
        answer = client.chat.completions.create(messages=history, **params)

    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("get_weather", {"city": "Rome"}),
        ("get_time", {}),
    ]
    assert answer.choices[0].message.content == "get_weather: fine get_time: fine"
    assert money.lost == 2 * CHARGE


def test_image_goes_in(bedrock_gateway: Gateway, client: OpenAI) -> None:
    """A data URL's bytes reach the model."""
    image = {"url": "data:image/png;base64,iVBORw0KGgo="}
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": image}]
    messages: Any = [{"role": "user", "content": parts}]
    with bedrock_gateway.watch() as money:
        answer = client.chat.completions.create(model="echo", messages=messages)

    assert answer.choices[0].message.content == "What is it? png of 8 bytes"
    assert money.lost == CHARGE


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}
                        ],
                    }
                ]
            },
            "messages[0].content[0].image_url",
        ),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_what_converse_cannot_do_is_a_400(
    bedrock_gateway: Gateway,
    client: OpenAI,
    params: dict[str, Any],
    param: str,
    *,
    is_stream: bool,
) -> None:
    """The client raises its own error with the field, and nothing is charged."""
    fields: Any = {"model": "echo", "messages": MESSAGES, "stream": is_stream} | params
    with bedrock_gateway.watch() as money, pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(**fields)

    assert (caught.value.param, caught.value.code) == (param, "unsupported_parameter")
    assert money.lost == 0


def test_throttling_is_a_rate_limit(bedrock_gateway: Gateway, client: OpenAI) -> None:
    """Where no other route is left, the client is told when to come again."""
    with bedrock_gateway.watch() as money, pytest.raises(RateLimitError) as caught:
        client.chat.completions.create(model="throttled", messages=MESSAGES)

    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert money.lost == 0


def test_exception_in_mid_stream(bedrock_gateway: Gateway, client: OpenAI) -> None:
    """The client raises an error after what came, and that much is charged."""
    chunks: list[dict[str, Any]] = []
    with bedrock_gateway.watch() as money, pytest.raises(APIError) as caught:
        collect(client, chunks, model="broken", messages=MESSAGES)

    assert "The model stumbled." in str(caught.value)
    assert accumulate(chunks)[0]["content"] == "the "
    (record,) = money.new_records()
    assert (record.outcome, record.quota) == ("broken", money.lost)
    assert 0 < money.lost < CHARGE
