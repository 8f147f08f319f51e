"""What the demo upstream says: words, tool calls, structured data, all made from the request."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

STORY = (
    "Once there was a toll gate at the edge of a small town, and the keeper of the gate "
    "counted every cart that passed. He never asked what was inside the carts, and he "
    "never let one pass that could not pay, yet nobody ever paid twice. When the night was "
    "quiet he would count again, and the coins in the box were always as many as the marks "
    "on his board. Travellers asked him how he did it. I put the coin aside before the "
    "gate opens, he said, and I write the mark before the cart is gone. Then the lamp may "
    "go out and the storm may come: in the morning the box and the board agree. And so the "
    "road stayed open, year after year, and the town slept well. "
)
_SOURCE = re.compile(r"\[\d+\] (.+)")
_WORDS = re.compile(r"\S+\s*|\s+")


def split_words(text: str) -> list[str]:
    """Return the text in words with the space behind them: one is a chunk, and a token."""
    return _WORDS.findall(text)


def last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the last user message, parts joined."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def describe_sources(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return how many search results a model was given in front, and the first one's title."""
    lines = _text(messages[0].get("content")).splitlines() if messages else []
    fences = [number for number, line in enumerate(lines) if line.startswith("=== ")]
    inside = lines[fences[0] : fences[-1]] if fences else []
    titles = [match[1] for line in inside if (match := _SOURCE.match(line))]
    return f"{len(titles)} results. First: {titles[0]}" if titles else "0 results."


def _text(content: object) -> str:
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict)]
        return " ".join(str(part["text"]) for part in parts if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def count_prompt(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return the demo's prompt tokens: words, 3 a message, 100 an image, 10 a sound."""
    tokens = 0
    for message in messages:
        content = message.get("content")
        tokens += 3 + len(split_words(_text(content)))
        for part in content if isinstance(content, list) else []:
            kind = part.get("type") if isinstance(part, dict) else None
            tokens += {"image_url": 100, "input_audio": 10}.get(str(kind), 0)
    return tokens


def call_tools(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a call of each of the first two tools, with arguments that fit their schemas."""
    tools = body.get("tools") or []
    functions = [tool.get("function", {}) for tool in tools if isinstance(tool, dict)][:2]
    return [
        {
            "index": index,
            "id": f"call_demo_{index}",
            "type": "function",
            "function": {
                "name": function.get("name", ""),
                "arguments": json.dumps(make_instance(function.get("parameters") or {})),
            },
        }
        for index, function in enumerate(functions)
    ]


def has_tool_result(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the conversation already has a tool's answer."""
    return any(message.get("role") == "tool" for message in messages)


def structured_text(body: Mapping[str, Any]) -> str | None:
    """Return JSON for a `response_format`, or None where text was asked for."""
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") == "text":
        return None
    schema = (wanted.get("json_schema") or {}).get("schema") or {}
    return json.dumps(make_instance(schema) if schema else {"answer": "demo"})


_SCALARS: dict[str, object] = {"integer": 42, "number": 42, "boolean": True, "null": None}


def make_instance(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> object:
    """Return a plain instance of a JSON schema: first choice, every property, one item."""
    root = schema if root is None else root
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return make_instance(root.get("$defs", {}).get(name, {}), root)
    choices = schema.get("enum")
    if choices:
        chosen: object = choices[0]
        return chosen
    if schema.get("anyOf"):
        return make_instance(schema["anyOf"][0], root)
    return _make_typed(schema, root)


def _make_typed(schema: Mapping[str, Any], root: Mapping[str, Any]) -> object:
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: make_instance(value, root) for name, value in properties.items()}
    if kind == "array":
        return [make_instance(schema.get("items", {}), root)]
    return _SCALARS.get(str(kind), "demo")
