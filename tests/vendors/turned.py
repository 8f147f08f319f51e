"""A recorded answer in the other form: a stream's as one body, a body's as a stream.

No vendor sent these bytes. They hold what the recording holds, field by field as that vendor names
it, so that each vendor's ways are seen in both forms.
"""

import json
from typing import Any

from tests.accumulate import accumulate
from tests.recordings import Recording
from tests.vendors.oracle import read_chunks

_MADE_UP = {"choices", "error", "object", "usage"}  # an error is behind the answer


def turn(recording: Recording) -> bytes:
    """Return a good chat recording's body in its other form."""
    return _to_body(recording) if recording.is_stream else _to_stream(recording)


def _to_body(recording: Recording) -> bytes:
    chunks = list(read_chunks(recording.body))
    choices = [
        {"index": index, "message": _message(held), "finish_reason": held["finish_reason"]}
        for index, held in accumulate(chunks).items()
    ]
    used = [chunk for chunk in chunks if chunk.get("usage") or chunk.get("x_groq", {}).get("usage")]
    whole: dict[str, Any] = {}
    for chunk in [*chunks[:1], *used[-1:]]:
        whole |= {name: value for name, value in chunk.items() if name not in _MADE_UP}
    usage = {"usage": used[-1].get("usage")} if used else {}
    return json.dumps(whole | {"object": "chat.completion", "choices": choices} | usage).encode()


def _message(held: dict[str, Any]) -> dict[str, Any]:
    """Return what `accumulate` put together as one message."""
    calls = [
        {
            "id": call.get("id"),
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in held["tool_calls"]
    ]
    texts = {
        name: held[name] for name in ("refusal", "reasoning_content", "reasoning") if name in held
    }
    parts = {
        "tool_calls": calls,
        "annotations": held["annotations"],
        "audio": {"id": "audio_1", **held["audio"]} if held["audio"] else None,
    }
    said = {name: value for name, value in parts.items() if value}
    return {"role": "assistant", "content": held.get("content"), **texts, **said}


def _to_stream(recording: Recording) -> bytes:
    """Return the message as one delta, then the finish with the usage, as several vendors do.

    Its tool calls stay as they are: without an index, as Mistral streams them.
    """
    body = json.loads(recording.body)
    head = {name: value for name, value in body.items() if name not in _MADE_UP}
    head["object"] = "chat.completion.chunk"
    choices = body["choices"]
    chunks = [head | {"choices": [_first(choice)]} for choice in choices]
    chunks += [head | {"choices": [_last(choice)]} for choice in choices]
    chunks[-1]["usage"] = body.get("usage")
    events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*events, "data: [DONE]\n\n"]).encode()


def _first(choice: dict[str, Any]) -> dict[str, Any]:
    return choice | {"delta": choice["message"], "finish_reason": None, "message": None}


def _last(choice: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": choice["index"],
        "delta": {},
        "finish_reason": choice["finish_reason"],
    }
