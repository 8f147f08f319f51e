"""Converse's whole answers in OpenAI's form."""

from typing import Any

import pytest
from tollgate.core.completion_form import reshape_completion
from tollgate.upstream.bedrock.answer import read_answer, read_finish_reason, read_usage

USAGE = {"inputTokens": 2, "outputTokens": 5, "totalTokens": 7}


def answer(*blocks: object, stop: str = "end_turn", usage: object = USAGE) -> dict[str, Any]:
    message = {"role": "assistant", "content": list(blocks)}
    return read_answer({"output": {"message": message}, "stopReason": stop, "usage": usage})


def test_text() -> None:
    """Blocks of text are one string, those with citations too."""
    cited = {"citationsContent": {"content": [{"text": " there"}], "citations": [{"title": "x"}]}}
    made = answer({"text": "Hello"}, cited, {"text": "."})

    assert made["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there."},
            "finish_reason": "stop",
        }
    ]


def test_calls_and_thoughts() -> None:
    """Calls have their input as JSON text, thoughts are reasoning_content, no text is null."""
    use = {"toolUseId": "tooluse_1", "name": "f", "input": {"city": "Köln"}, "type": "tool_use"}
    made = answer(
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "c2VjcmV0"}},
        {"toolUse": use},
        {"toolUse": {"toolUseId": "tooluse_2", "name": "g", "input": {}}},
        {"toolUse": {"toolUseId": "tooluse_3", "name": "own", "type": "server_tool_use"}},
        stop="tool_use",
    )

    (choice,) = made["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [
            {
                "id": "tooluse_1",
                "type": "function",
                "function": {"name": "f", "arguments": '{"city": "Köln"}'},
            },
            {"id": "tooluse_2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("malformed_model_output", None),
        ("malformed_tool_use", None),
        ("something_new", "stop"),
        (None, "stop"),
    ],
)
def test_finish_reasons(stop: object, expected: str | None) -> None:
    """Each stop reason of Bedrock has its word, or is an error."""
    assert expected == read_finish_reason(stop)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"output": {}},
        {"output": {"message": None}},
        {"output": {"message": {"content": []}}, "stopReason": "malformed_model_output"},
    ],
)
def test_what_is_no_answer_has_no_choices(raw: dict[str, object]) -> None:
    """Nothing to show, so that another channel is asked."""
    assert "choices" not in read_answer(raw)


def test_odd_blocks_are_passed_over() -> None:
    """Whatever a later version puts into a message, the text stays readable."""
    made = answer(None, "x", {"text": None}, {"toolUse": None}, {"image": {}}, {"text": "ok"})

    assert made["choices"][0]["message"]["content"] == "ok"


@pytest.mark.parametrize(
    ("raw", "prompt", "cached", "written"),
    [
        ({}, 2, 0, 0),
        ({"cacheReadInputTokens": 0, "cacheWriteInputTokens": 1322}, 1324, 0, 1322),
        ({"cacheReadInputTokens": 1322, "cacheWriteInputTokens": 0}, 1324, 1322, 0),
        ({"cacheReadInputTokens": 100, "cacheWriteInputTokens": 10}, 112, 100, 10),
        ({"cacheReadInputTokens": None, "cacheWriteInputTokens": "7"}, 2, 0, 0),
    ],
)
def test_prompt_tokens_include_the_cached_ones(
    raw: dict[str, object], prompt: int, cached: int, written: int
) -> None:
    """Bedrock counts them beside its inputTokens; here they are parts of the prompt."""
    assert read_usage(USAGE | raw) == {
        "prompt_tokens": prompt,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
    }


def test_cached_tokens_reach_the_price() -> None:
    """What core charges by knows which tokens came from the cache and which went into it."""
    made = answer(
        {"text": "21"},
        usage=USAGE | {"cacheReadInputTokens": 100, "cacheWriteInputTokens": 10},
    )
    form = reshape_completion(made, completion_id="chatcmpl-1", model="m", now=1)

    assert form is not None
    assert form.usage is not None
    used = form.usage
    assert (used.prompt, used.cached, used.cache_write, used.completion) == (112, 100, 10, 5)


@pytest.mark.parametrize("raw", [None, {}, {"inputTokens": 1}, {"outputTokens": 1}, "x"])
def test_usage_that_is_none(raw: object) -> None:
    """Without both counts there is none, and the answer is counted."""
    assert read_usage(raw) is None
