"""Streamed and whole answers, brought into OpenAI's form."""

from typing import Any

import pytest
from tollgate.core.completion_form import reshape_completion, split_completion
from tollgate.core.stream_form import StreamForm


def form() -> StreamForm:
    return StreamForm(completion_id="chatcmpl-1", model="m", now=1_700_000_000)


def chunk(delta: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, **choice}]}


def reshape(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what each chunk becomes in one stream; those without a choice are left out."""
    shaper = form()
    return [found.payload for one in chunks if (found := shaper.reshape(one)) is not None]


def deltas(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    return [payload["choices"][0]["delta"] for payload in reshape(*chunks)]


def test_envelope_is_ours_and_constant() -> None:
    """Id, model and time are one for the stream; nulls and the vendor's cost are gone."""
    first, second = reshape(
        {"id": "x", "model": "m-2026", "created": 1_780_000_000, "error": None, **chunk({})},
        {
            "id": "y",
            "created": 1_790_000_000,
            "cost": {"usd": 1},
            "service_tier": "flex",
            **chunk({}),
        },
    )

    envelope = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_780_000_000,
        "model": "m",
    }
    assert {key: first[key] for key in first if key != "choices"} == envelope
    assert {key: second[key] for key in second if key != "choices"} == {
        **envelope,
        "service_tier": "flex",
    }


@pytest.mark.parametrize("created", [0, None, "x", 1_780_000_000_000])
def test_senseless_time_is_replaced(created: object) -> None:
    """Nothing, zero and milliseconds are no time in seconds."""
    [found] = reshape({"created": created, **chunk({})})

    assert found["created"] == 1_700_000_000


def test_role_is_on_the_first_delta_of_each_choice_only() -> None:
    """Missing, repeated and odd roles come out as one `assistant`."""
    found = deltas(chunk({"content": "a"}), chunk({"role": "tool", "content": "b"}), chunk({}))

    assert found == [{"role": "assistant", "content": "a"}, {"content": "b"}, {}]


@pytest.mark.parametrize("raw", [{}, {"choices": []}, {"choices": None}, {"choices": ["x"]}])
def test_chunks_without_a_choice_are_not_sent(raw: dict[str, Any]) -> None:
    """Filter results, padding and usage have nothing for clients that index choices[0]."""
    assert reshape(raw) == []


def test_nulls_go_and_null_content_stays() -> None:
    """OpenAI itself sends `content: null` beside a tool call."""
    [found] = deltas(chunk({"content": None, "tool_calls": None, "audio": None, "refusal": None}))

    assert found == {"role": "assistant", "content": None}


def test_finish_reason_is_always_there() -> None:
    """Null until the vendor names one; an empty one is none."""
    found = reshape(chunk({}), chunk({}, finish_reason=""), chunk({}, finish_reason="stop"))

    assert [one["choices"][0]["finish_reason"] for one in found] == [None, None, "stop"]


def test_tool_calls_get_index_id_and_type() -> None:
    """Fragments without them are put in order: by id, by name, else to the last call."""
    calls = [
        {"function": {"name": "a", "arguments": ""}},
        {"id": "", "function": {"arguments": "{"}},
        {"id": "c2", "function": {"name": "b", "arguments": {"x": 1}}},
        {"id": "c2", "function": {"arguments": "}"}},
    ]

    found = [
        delta["tool_calls"][0] for delta in deltas(*(chunk({"tool_calls": [c]}) for c in calls))
    ]

    assert [call["index"] for call in found] == [0, 0, 1, 1]
    assert [call.get("id") for call in found] == ["call_1_0_0", None, "c2", None]
    assert [call.get("type") for call in found] == ["function", None, "function", None]
    assert found[2]["function"]["arguments"] == '{"x": 1}'


def test_two_calls_in_one_delta_and_an_index_that_starts_at_1() -> None:
    """Calls count from 0 in the order in which they begin, whatever the vendor's numbers are."""
    whole = [{"id": "a", "function": {"name": "x"}}, {"id": "b", "function": {"name": "y"}}]
    [first] = deltas(chunk({"tool_calls": whole}))
    given = [
        {"index": 1, "id": "a", "function": {"name": "x"}},
        {"index": 2, "id": "b", "function": {"name": "y"}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]
    later = deltas(*(chunk({"tool_calls": [call]}) for call in given))

    assert [call["index"] for call in first["tool_calls"]] == [0, 1]
    assert [delta["tool_calls"][0]["index"] for delta in later] == [0, 1, 0]
    assert [delta["tool_calls"][0].get("id") for delta in later] == ["a", "b", None]


CITATION = {"start_index": 0, "end_index": 0, "title": "T", "url": "u"}


def test_annotations_are_openais_and_numbered_in_a_stream() -> None:
    """Flat ones get their inner object; each says where it stands among those of its choice."""
    flat = {"type": "url_citation", "title": "T", "url": "u", "site_name": None}
    nested = {"type": "url_citation", "url_citation": {**CITATION, "content": "text"}}
    found = deltas(
        chunk({"annotations": [flat, nested]}),
        chunk({"annotations": []}),
        chunk({"annotations": [flat, "x"]}),
    )

    assert found[0]["annotations"] == [
        {"index": 0, "type": "url_citation", "url_citation": CITATION},
        {"index": 1, **nested},
    ]
    assert found[1] == {}
    assert found[2]["annotations"][0]["index"] == 2


def test_whole_answers_annotations_are_openais() -> None:
    """What is no citation stays as it is."""
    flat = {"type": "url_citation", "title": "T", "url": "u"}
    other = {"type": "file", "file": {"name": "f"}}
    message = whole({"annotations": [flat, other]}).payload["choices"][0]["message"]

    assert message["annotations"] == [{"type": "url_citation", "url_citation": CITATION}, other]


@pytest.mark.parametrize(
    ("message", "completion", "reason"),
    [
        ({"content": "a"}, 9, "stop"),
        ({"content": "a"}, 10, "length"),
        ({"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, 9, "tool_calls"),
    ],
)
def test_whole_answer_without_a_finish_reason_gets_one(
    message: dict[str, Any], completion: int, reason: str
) -> None:
    """Typed clients have no null there: at the limit it is the limit, else calls or the end."""
    raw = {
        "choices": [{"message": message}],
        "usage": {"prompt_tokens": 1, "completion_tokens": completion},
    }
    found = reshape_completion(raw, completion_id="x", model="m", now=5, output_tokens_max=10)

    assert found is not None
    choices: Any = found.payload["choices"]
    assert choices[0]["finish_reason"] == reason


def test_content_parts_become_text_and_reasoning() -> None:
    """Mistral's list of parts is a string for everyone else."""
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "ok"},
    ]
    [found] = deltas(chunk({"content": parts}))

    assert (found["content"], found["reasoning_content"]) == ("ok", "hm")


@pytest.mark.parametrize(
    ("delta", "texts"),
    [
        ({"content": "a"}, ["a"]),
        ({"content": "", "refusal": "no"}, ["no"]),
        ({"reasoning": "r", "reasoning_details": [{"text": "r"}]}, ["r"]),
        ({"reasoning_details": [{"text": "r"}, {"summary": "s"}]}, ["rs"]),
        ({"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, ["f", "{}"]),
        ({"tool_calls": [{"custom": {"name": "f", "input": "x"}}]}, ["f", "x"]),
        ({"function_call": {"name": "f", "arguments": "{}"}}, ["f", "{}"]),
        ({"audio": {"transcript": "t", "data": "AAAA" * 800}}, ["t"]),
        ({"role": "assistant", "content": ""}, []),
        ({"audio": {"expires_at": 5}}, []),
    ],
)
def test_output_is_what_is_sold(delta: dict[str, Any], texts: list[str]) -> None:
    """Content, reasoning once, refusals, tool calls and audio count; a role does not."""
    shaper = form()
    found = shaper.reshape(chunk(delta))

    assert found is not None
    assert "".join(texts) == shaper.text
    assert (found.outputs == {0}) is bool(texts)
    assert shaper.audio_tokens == (1 if "data" in delta.get("audio", {}) else 0)


def test_message_and_text_beside_the_delta_are_dropped() -> None:
    """Cumulative copies would double the traffic, and the text for naive clients."""
    extras = {"message": {"content": "a"}, "text": "a", "logprobs": None, "error": {}}
    [found] = reshape(chunk({"content": "a"}, **extras))

    assert set(found["choices"][0]) == {"index", "delta", "finish_reason"}


def whole(message: dict[str, Any], **extra: Any) -> Any:
    raw = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **extra}
    return reshape_completion(raw, completion_id="chatcmpl-1", model="m", now=5)


def test_whole_answer_has_openais_form() -> None:
    """Envelope as in a stream; a null refusal stays, null tool calls go."""
    found = whole(
        {"content": "a", "refusal": None, "tool_calls": None, "role": "model"}, x_groq={}, cost=1
    )

    assert found.payload == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"content": "a", "refusal": None, "role": "assistant"},
                "finish_reason": "stop",
            }
        ],
    }
    assert found.texts == ["a"]


def test_what_is_beside_a_whole_message_is_openais_too() -> None:
    """An empty error, a delta and a text are left out; null logprobs are OpenAI's own."""
    choice = {"message": {"content": "a"}, "error": {}, "delta": {}, "text": "a", "logprobs": None}
    found: Any = reshape_completion({"choices": [choice]}, completion_id="c", model="m", now=5)

    assert set(found.payload["choices"][0]) == {"index", "message", "logprobs", "finish_reason"}


def test_whole_answers_tool_calls_get_ids() -> None:
    """Gemini sends empty ids; content is there, and null."""
    found = whole({"tool_calls": [{"id": "", "function": {"name": "f", "arguments": "{}"}}]})
    message = found.payload["choices"][0]["message"]

    assert message["content"] is None
    assert message["tool_calls"][0]["id"] == "call_1_0_0"


@pytest.mark.parametrize(
    ("function", "reason", "arguments"),
    [
        ({"name": "f"}, "tool_calls", "{}"),
        ({"name": "f", "arguments": None}, "tool_calls", "{}"),
        ({"name": "f", "arguments": ""}, None, "{}"),
        ({"name": "f", "arguments": {"x": "é"}}, "stop", '{"x": "é"}'),
        ({"name": "f"}, "function_call", "{}"),
        ({"name": "f"}, "length", ""),
        ({"name": "f"}, "model_length", ""),
    ],
)
def test_whole_answers_tool_calls_have_arguments(
    function: dict[str, Any], reason: str | None, arguments: str
) -> None:
    """JSON text, as clients parse it unasked; but what the limit cut off is not made up."""
    message = {"tool_calls": [{"id": "a", "function": function}]}
    raw = {"choices": [{"message": message, "finish_reason": reason}]}
    found = reshape_completion(raw, completion_id="chatcmpl-1", model="m", now=5)

    assert found is not None
    choices: Any = found.payload["choices"]
    assert choices[0]["message"]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    ]


def test_usage_is_found_at_groqs_place_too() -> None:
    """At the top, else inside x_groq."""
    counts = {"prompt_tokens": 1, "completion_tokens": 2}

    assert whole({}, usage=counts).usage == whole({}, x_groq={"usage": counts}).usage
    assert whole({}).usage is None


def test_answer_without_choices_is_none() -> None:
    """There is nothing to show or to charge."""
    assert reshape_completion({"choices": []}, completion_id="x", model="m", now=5) is None


def test_whole_answer_split_into_a_stream_says_the_same() -> None:
    """Message, then finish, of each choice, then usage: whole again it is what it was."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    calls = [{"id": "a", "function": {"name": "f", "arguments": "{}"}} for _ in "ab"]
    raw = {
        "id": "v",
        "choices": [
            {"message": {"content": "a"}, "logprobs": {"content": []}, "finish_reason": "length"},
            {"message": {"content": None, "tool_calls": calls}},
        ],
        "usage": usage,
    }
    chunks = list(split_completion(raw))
    [first, second, *ends] = reshape(*chunks)

    assert first["choices"][0] == {
        "index": 0,
        "delta": {"role": "assistant", "content": "a"},
        "logprobs": {"content": []},
        "finish_reason": None,
    }
    assert [call["index"] for call in second["choices"][0]["delta"]["tool_calls"]] == [0, 1]
    assert [(end["choices"][0]["index"], end["choices"][0]["finish_reason"]) for end in ends] == [
        (0, "length"),
        (1, None),
    ]
    assert chunks[-1]["usage"] == usage


def test_whole_answer_that_calls_its_message_a_delta_is_shown() -> None:
    """A chunk that came as a whole answer, streamed or not."""
    raw = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}
    found: Any = reshape_completion(raw, completion_id="x", model="m", now=5)
    [first, end] = reshape(*split_completion(raw))

    assert found.payload["choices"][0]["message"] == {"content": "a", "role": "assistant"}
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "a"}
    assert end["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("index", [{"index": None}, {"index": "0"}, {}])
def test_choices_of_a_split_answer_without_an_index_are_counted(index: dict[str, Any]) -> None:
    """Two answers do not become one."""
    raw = {"choices": [{**index, "message": {"content": text}} for text in "ab"]}
    found = [one["choices"][0] for one in reshape(*split_completion(raw))]

    assert [(one["index"], one["delta"].get("content")) for one in found] == [
        (0, "a"),
        (1, "b"),
        (0, None),
        (1, None),
    ]
