"""What the demo upstream says."""

import json

import pytest

from local.demo_answers import (
    call_tools,
    count_prompt,
    describe_sources,
    last_user_text,
    make_instance,
    split_words,
    structured_text,
)


@pytest.mark.parametrize("text", ["", " ", "one", "one two", " lead  and trail \n", "é\n\nü"])
def test_words_lose_nothing(text: str) -> None:
    """The chunks, put together, are the text."""
    assert "".join(split_words(text)) == text


def test_last_user_text_joins_parts() -> None:
    """Images and later answers are passed over."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    messages = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "no"},
    ]

    assert last_user_text(messages) == "a b"
    assert last_user_text(messages[2:]) == ""


def test_sources_are_those_between_the_fences() -> None:
    """Numbers elsewhere are none, and without a search there are none."""
    front = {
        "role": "system",
        "content": "[9] no\n=== A x ===\n[1] First one\nurl: u\n\n[2] Second\n=== B x ===\n[3] no",
    }

    assert describe_sources([front]) == "2 results. First: First one"
    assert describe_sources([{"role": "user", "content": "[1] hi"}]) == "0 results."
    assert describe_sources([]) == "0 results."


def test_prompt_counts_words_messages_images_and_sounds() -> None:
    """3 a message, 1 a word, 100 an image, 10 a sound."""
    parts = [{"type": "text", "text": "two words"}, {"type": "image_url"}, {"type": "input_audio"}]

    assert count_prompt([{"role": "system", "content": "one"}]) == 4
    assert count_prompt([{"role": "user", "content": parts}]) == 3 + 2 + 100 + 10
    assert count_prompt([{"role": "assistant", "content": None}]) == 3


@pytest.mark.parametrize(
    ("schema", "instance"),
    [
        ({"type": "string"}, "demo"),
        ({"type": "integer"}, 42),
        ({"type": "boolean"}, True),
        ({"enum": ["b", "a"]}, "b"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"type": "array", "items": {"type": "number"}}, [42]),
        ({}, "demo"),
        (
            {
                "type": "object",
                "properties": {"step": {"$ref": "#/$defs/Step"}, "n": {"type": "integer"}},
                "$defs": {"Step": {"type": "object", "properties": {"x": {"type": "string"}}}},
            },
            {"step": {"x": "demo"}, "n": 42},
        ),
    ],
)
def test_instances_fit_their_schema(schema: dict[str, object], instance: object) -> None:
    """Every kind of schema that clients send."""
    assert make_instance(schema) == instance


def test_two_tools_are_called_at_most() -> None:
    """In the order given, with arguments by their schemas."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = [
        {"type": "function", "function": {"name": name, "parameters": parameters}}
        for name in ("a", "b", "c")
    ]
    calls = call_tools({"tools": tools})

    assert [(call["index"], call["function"]["name"]) for call in calls] == [(0, "a"), (1, "b")]
    assert json.loads(calls[1]["function"]["arguments"]) == {"city": "demo"}
    assert call_tools({}) == []


def test_structured_text_follows_the_format() -> None:
    """Text asks for none; a JSON object has something in it; a schema is followed."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    by_schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}

    assert structured_text({}) is None
    assert structured_text({"response_format": {"type": "text"}}) is None
    assert structured_text({"response_format": {"type": "json_object"}}) == '{"answer": "demo"}'
    assert structured_text({"response_format": by_schema}) == '{"n": 42}'
