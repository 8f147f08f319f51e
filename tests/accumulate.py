"""What a client has in hand after a stream: the deltas of each choice, put together.

Written for chunks as the official client yields them, from a vendor or from Tollgate alike.
"""

from collections.abc import Iterable, Mapping
from typing import Any

_TEXT_FIELDS = ("content", "refusal", "reasoning_content", "reasoning")


def accumulate(chunks: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Return for each choice: texts by field, tool calls by position, finish reason, audio."""
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk.get("choices") or []:
            held = choices.setdefault(choice.get("index") or 0, _empty())
            if choice.get("finish_reason"):
                held["finish_reason"] = choice["finish_reason"]
            _add_delta(held, choice.get("delta") or {})
    for held in choices.values():
        calls = held["tool_calls"]
        held["tool_calls"] = [calls[index] for index in sorted(calls)]
    return {index: choices[index] for index in sorted(choices)}


def _empty() -> dict[str, Any]:
    return {"tool_calls": {}, "finish_reason": None, "audio": {}, "annotations": []}


def _add_delta(held: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for field in _TEXT_FIELDS:
        value = delta.get(field)
        if isinstance(value, list):
            _add_parts(held, value)
        elif value:
            held[field] = held.get(field, "") + value
    for position, call in enumerate(delta.get("tool_calls") or []):
        _add_call(held["tool_calls"], call, position)
    held["annotations"] += delta.get("annotations") or []
    if delta.get("function_call"):
        legacy = held.setdefault("function_call", {"name": "", "arguments": ""})
        _add_call({0: legacy}, {"function": delta["function_call"]}, 0)
    audio = delta.get("audio") or {}
    for field in ("data", "transcript"):
        if audio.get(field):
            held["audio"][field] = held["audio"].get(field, "") + audio[field]


def _add_parts(held: dict[str, Any], parts: list[Any]) -> None:
    """Mistral's list of parts, as the wire format says that it is repaired."""
    for part in parts:
        if part.get("type") == "thinking":
            text = "".join(inner.get("text", "") for inner in part.get("thinking", []))
            held["reasoning_content"] = held.get("reasoning_content", "") + text
        else:
            held["content"] = held.get("content", "") + part.get("text", "")


def _add_call(calls: dict[int, dict[str, Any]], call: Mapping[str, Any], position: int) -> None:
    index = call.get("index")
    function = call.get("function") or call.get("custom") or {}
    held = calls.setdefault(position if index is None else index, {"name": "", "arguments": ""})
    if call.get("id"):
        held["id"] = call["id"]
    held["name"] += function.get("name") or ""
    held["arguments"] += function.get("arguments") or function.get("input") or ""
