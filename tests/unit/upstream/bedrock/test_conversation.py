"""OpenAI's messages as Converse's system prompt and turns."""

import hashlib
from typing import Any

import pytest
from tollgate.upstream.bedrock.conversation import Conversation, read_conversation
from tollgate.upstream.failures import RequestUnsupportedError

PNG = "iVBORw0KGgo="
CACHED = {"cache_control": {"type": "ephemeral"}}
POINT = {"cachePoint": {"type": "default"}}


def call(call_id: object, name: str, arguments: object) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def read(*messages: object) -> Conversation:
    return read_conversation(list(messages))


def content_of(message: dict[str, object]) -> Any:
    (turn,) = read(message).turns
    return turn["content"]


def image(url: object) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "high"}}


def test_roles() -> None:
    """System and developer are the system prompt, wherever they stand; turns keep their order."""
    made = read(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello", "name": "ann"},
        {"role": "assistant", "content": "Hi", "reasoning_content": "Hm.", "refusal": None},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Bye"},
    )

    assert made.system == [{"text": "Be brief."}, {"text": "Be kind."}]
    assert made.turns == [
        {"role": "user", "content": [{"text": "Hello"}]},
        {"role": "assistant", "content": [{"text": "Hi"}]},
        {"role": "user", "content": [{"text": "Bye"}]},
    ]


def test_turns_alternate() -> None:
    """Messages of one side that follow one another are one turn."""
    made = read(
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"},
        {"role": "assistant", "content": "d"},
    )

    assert made.turns == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {"role": "assistant", "content": [{"text": "c"}, {"text": "d"}]},
    ]


def test_results_of_parallel_calls_are_one_turn() -> None:
    """Calls follow the text; all results, and what the user says then, are one user turn."""
    made = read(
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [call("c1", "f", '{"city": "Rome"}'), call("c2", "g", "")],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "noon"}]},
        {"role": "user", "content": "So?"},
    )

    assert made.called == ["f", "g"]
    assert made.turns[1:] == [
        {
            "role": "assistant",
            "content": [
                {"text": "Let me look."},
                {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"city": "Rome"}}},
                {"toolUse": {"toolUseId": "c2", "name": "g", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "sunny"}]}},
                {"toolResult": {"toolUseId": "c2", "content": [{"text": "noon"}]}},
                {"text": "So?"},
            ],
        },
    ]


def test_blank_text_is_left_out() -> None:
    """Bedrock refuses it; a message of nothing else is none."""
    made = read(
        {"role": "system", "content": " "},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "a"}]},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": None, "tool_calls": None},
        {"role": "user", "content": "b"},
    )

    assert made.system == []
    assert made.turns == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("png", "png"), ("jpeg", "jpeg"), ("jpg", "jpeg"), ("gif", "gif"), ("webp", "webp")],
)
def test_images(kind: str, expected: str) -> None:
    """The bytes of a data URL, in base64 as they came, with Converse's name of the format."""
    made = content_of({"role": "user", "content": [image(f"data:image/{kind};base64,{PNG}")]})

    assert made == [{"image": {"format": expected, "source": {"bytes": PNG}}}]


def test_image_in_a_result() -> None:
    """A tool may answer with an image."""
    parts = [image(f"data:image/png;base64,{PNG}")]
    (result,) = content_of({"role": "tool", "tool_call_id": "c", "content": parts})

    assert result["toolResult"]["content"] == [
        {"image": {"format": "png", "source": {"bytes": PNG}}}
    ]


def test_cache_points() -> None:
    """`cache_control` on a part is a cache point after it; in a result, after that."""
    said = {"type": "text", "text": "long"} | CACHED
    made = read(
        {"role": "system", "content": [said]},
        {"role": "user", "content": [said, {"type": "text", "text": "short"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "tool", "tool_call_id": "c", "content": [said]},
    )

    assert made.system == [{"text": "long"}, POINT]
    assert made.turns[0]["content"] == [{"text": "long"}, POINT, {"text": "short"}]
    assert made.turns[1]["content"] == [{"text": "no"}]
    assert made.turns[2]["content"] == [
        {"toolResult": {"toolUseId": "c", "content": [{"text": "long"}]}},
        POINT,
    ]


@pytest.mark.parametrize("call_id", ["x" * 65, "a b", "", None, "é", "\ud83d"])
def test_ids_that_bedrock_refuses(call_id: object) -> None:
    """Another vendor's odd id becomes the same digest in call and result."""
    made = read(
        {"role": "assistant", "tool_calls": [call(call_id, "f", "{}")]},
        {"role": "tool", "tool_call_id": call_id, "content": "x"},
    )
    digest = hashlib.sha256(str(call_id).encode(errors="surrogatepass")).hexdigest()

    used = [block for turn in made.turns for block in turn["content"]]  # type: ignore[attr-defined]
    assert used[0]["toolUse"]["toolUseId"] == digest if call_id is not None else "None"
    assert used[0]["toolUse"]["toolUseId"] == used[1]["toolResult"]["toolUseId"]


USER = "messages[0].content"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "content": "x"}, "messages[0].role"),
        ({"role": "user", "content": 1}, USER),
        ({"role": "user", "content": ["x"]}, f"{USER}[0]"),
        ({"role": "user", "content": [{"type": "text"}]}, f"{USER}[0]"),
        ({"role": "user", "content": [{"type": "file", "file": {}}]}, f"{USER}[0]"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, f"{USER}[0]"),
        ({"role": "user", "content": [image("https://x.test/a.png")]}, f"{USER}[0].image_url"),
        ({"role": "user", "content": [image("http://169.254.169.254/")]}, f"{USER}[0].image_url"),
        ({"role": "user", "content": [image("file:///etc/passwd")]}, f"{USER}[0].image_url"),
        ({"role": "user", "content": [image("data:image/png;base64,é")]}, f"{USER}[0].image_url"),
        ({"role": "user", "content": [image("data:image/png;base64,a")]}, f"{USER}[0].image_url"),
        (
            {"role": "user", "content": [image("data:image/svg+xml;base64,")]},
            f"{USER}[0].image_url",
        ),
        ({"role": "user", "content": [image(None)]}, f"{USER}[0].image_url"),
        ({"role": "system", "content": [image(f"data:image/png;base64,{PNG}")]}, f"{USER}[0]"),
        (
            {
                "role": "user",
                "content": [{"type": "text", "text": "x", "cache_control": {"ttl": "1h"}}],
            },
            f"{USER}[0].cache_control.ttl",
        ),
        ({"role": "assistant", "function_call": {"name": "f"}}, "messages[0].function_call"),
        ({"role": "assistant", "tool_calls": [{"type": "custom"}]}, "messages[0].tool_calls[0]"),
        (
            {"role": "assistant", "tool_calls": [call("c", "f", "{")]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            {"role": "assistant", "tool_calls": [call("c", "f", "[1]")]},
            "messages[0].tool_calls[0].function.arguments",
        ),
    ],
)
def test_what_converse_cannot_be_told(message: dict[str, object], param: str) -> None:
    """Refused with the place, never left out; and no address is ever fetched."""
    with pytest.raises(RequestUnsupportedError) as caught:
        read(message)

    assert param == caught.value.param
