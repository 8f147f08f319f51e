"""Fields of a chat request as those of Converse."""

import json
from typing import Any

import pytest
from tollgate.core.catalog import Route
from tollgate.upstream.bedrock.request import make_body
from tollgate.upstream.failures import RequestUnsupportedError
from tollgate.upstream.vendor_requests import ChatCall

from tests.fakes.models import make_model

MESSAGES = [{"role": "user", "content": "hello"}]
TURNS = [{"role": "user", "content": [{"text": "hello"}]}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": PARAMETERS, "strict": True},
}
SPEC = {
    "toolSpec": {
        "name": "f",
        "description": "d",
        "inputSchema": {"json": PARAMETERS},
        "strict": True,
    }
}
CALLED = [
    *MESSAGES,
    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "g"}}]},
    {"role": "tool", "tool_call_id": "c", "content": "x"},
]
EMPTY_SPEC = {
    "toolSpec": {"name": "g", "inputSchema": {"json": {"type": "object", "properties": {}}}}
}


def make(*, limit: int | None = None, model: str = "amazon.nova-x", **body: object) -> Any:
    call = ChatCall(
        model=make_model(Route(channel="c", upstream_model=model)),
        body={"messages": MESSAGES} | body,
        output_limit=limit,
        is_stream=False,
        budget_s=lambda: 1.0,
    )
    return make_body(call, model)


def test_least() -> None:
    """What is not asked for is not sent."""
    assert make() == {"messages": TURNS}


def test_system() -> None:
    """System messages have a field of their own."""
    made = make(messages=[{"role": "system", "content": "Be brief."}, *MESSAGES])

    assert made == {"messages": TURNS, "system": [{"text": "Be brief."}]}


@pytest.mark.parametrize(
    ("body", "limit", "expected"),
    [
        ({"temperature": 0, "top_p": 0.5}, None, {"temperature": 0, "topP": 0.5}),
        ({"stop": "END"}, None, {"stopSequences": ["END"]}),
        ({"stop": ["a", "", "b"]}, None, {"stopSequences": ["a", "b"]}),
        ({"max_tokens": 50}, None, {"maxTokens": 50}),
        ({"max_tokens": 50, "max_completion_tokens": 20}, None, {"maxTokens": 20}),
        ({"max_completion_tokens": 50}, 9, {"maxTokens": 9}),
    ],
)
def test_inference(body: dict[str, object], limit: int | None, expected: object) -> None:
    """How to sample and when to stop; the one limit is ours where the hold lowered it."""
    assert expected == make(limit=limit, **body)["inferenceConfig"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"tools": [TOOL]}, {"tools": [SPEC]}),
        ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [SPEC]}),
        ({"tools": [TOOL], "tool_choice": "none"}, None),
        (
            {"tools": [TOOL], "tool_choice": "required"},
            {"tools": [SPEC], "toolChoice": {"any": {}}},
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tools": [SPEC], "toolChoice": {"tool": {"name": "f"}}},
        ),
        ({"tools": []}, None),
        (
            {"tools": [{"type": "function", "function": {"name": "g", "strict": False}}]},
            {"tools": [EMPTY_SPEC]},
        ),
        ({"messages": CALLED}, {"tools": [EMPTY_SPEC]}),
        ({"messages": CALLED, "tools": [TOOL], "tool_choice": "none"}, {"tools": [SPEC]}),
        (
            {"tools": [TOOL | {"cache_control": {"type": "ephemeral"}}]},
            {"tools": [SPEC, {"cachePoint": {"type": "default"}}]},
        ),
    ],
)
def test_tools(body: dict[str, object], expected: object) -> None:
    """Tools and choices; none, unless the conversation has calls, which Bedrock wants explained."""
    assert expected == make(**body).get("toolConfig")


def test_schema() -> None:
    """A schema for the answer is text in Converse's JSON."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    made = make(response_format=wanted)["outputConfig"]["textFormat"]

    assert made["type"] == "json_schema"
    described = made["structure"]["jsonSchema"]
    assert (schema, "n") == (json.loads(described["schema"]), described["name"])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("us.anthropic.claude-x-v1:0", {"outputConfig": {"effort": "high"}}),
        ("openai.gpt-oss-120b-1:0", {"additionalModelRequestFields": {"reasoning_effort": "high"}}),
    ],
)
def test_effort(model: str, expected: dict[str, object]) -> None:
    """OpenAI's models have a place of their own for it."""
    assert make(model=model, reasoning_effort="high") == {"messages": TURNS} | expected


def test_top_k() -> None:
    """Anthropic's models have it as a field of their own; for them too it is a whole number."""
    model = "us.anthropic.claude-x-v1:0"
    expected = {"messages": TURNS, "additionalModelRequestFields": {"top_k": 40}}

    assert make(model=model, top_k=40) == expected
    for odd in ("40", True, {"maxTokens": 9}):
        with pytest.raises(RequestUnsupportedError):
            make(model=model, top_k=odd)


def test_service_tier() -> None:
    """A tier that is sold goes to Bedrock by the same name; the plain ones need no word."""
    assert make(service_tier="flex")["serviceTier"] == {"type": "flex"}
    assert make(service_tier="auto") == make(service_tier="default") == make()


def test_fields_without_effect_are_dropped() -> None:
    """Who asks and what to keep changes no answer; nulls and neutral values neither."""
    made = make(
        user="u",
        metadata={"a": "b"},
        store=True,
        seed=1,
        prompt_cache_key="k",
        safety_identifier="s",
        prediction={"type": "content", "content": "x"},
        stream_options={"include_usage": True},
        n=1,
        logprobs=False,
        frequency_penalty=0,
        presence_penalty=0.0,
        logit_bias={},
        modalities=["text"],
        parallel_tool_calls=True,
        response_format={"type": "text"},
        functions=None,
        audio=None,
        top_k=None,
    )

    assert made == {"messages": TURNS}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("top_logprobs", 5),
        ("frequency_penalty", 0.5),
        ("presence_penalty", -1),
        ("logit_bias", {"50256": -100}),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy"}),
        ("parallel_tool_calls", False),
        ("functions", [{"name": "f"}]),
        ("web_search_options", {}),
        ("verbosity", "low"),
        ("top_k", 40),
        ("additionalModelRequestFields", {"inferenceConfig": {"maxTokens": 99999}}),
        ("inferenceConfig", {"maxTokens": 99999}),
        ("response_format", {"type": "json_object"}),
        ("response_format", "text"),
        ("response_format", {"type": "json_schema"}),
        ("reasoning_effort", "minimal"),
        ("tools", [{"type": "custom", "custom": {"name": "x"}}]),
        ("tools", ["x"]),
    ],
)
def test_fields_that_change_the_answer_are_refused(field: str, value: object) -> None:
    """What Converse does not have is refused by its name, not dropped; nothing is passed unseen."""
    with pytest.raises(RequestUnsupportedError) as caught:
        make(**{field: value})

    assert field == caught.value.param.partition("[")[0]


def test_odd_choice_is_refused() -> None:
    """A choice that Converse has no word for."""
    with pytest.raises(RequestUnsupportedError) as caught:
        make(tools=[TOOL], tool_choice={"type": "allowed_tools", "allowed_tools": {}})

    assert caught.value.param == "tool_choice"
