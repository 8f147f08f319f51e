"""A whole (not streamed) chat completion, brought into OpenAI's form whatever the vendor sends."""

from collections.abc import Mapping
from dataclasses import dataclass

from tollgate.core.message_parts import (
    audio_tokens,
    fallback_call_id,
    join_content_parts,
    output_texts,
    repair_tool_call,
)
from tollgate.core.prices import Usage
from tollgate.core.stream_form import DROPPED_FIELDS, chunk_usage

_NULL_FIELDS_DROPPED = ("tool_calls", "function_call", "audio", "annotations")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionForm:
    """A completion in OpenAI's form without `usage`, beside what it used and said."""

    payload: dict[str, object]
    usage: Usage | None
    texts: list[str]
    audio_tokens: int


def reshape_completion(
    raw: Mapping[str, object], *, completion_id: str, model: str, now: int
) -> CompletionForm | None:
    """Return the completion in OpenAI's form, or None where it has no choice to show.

    `now`: unix seconds, used as `created` where the upstream sends none.
    """
    choices = raw.get("choices")
    shaped = [
        _choice(choice, position, completion_id)
        for position, choice in enumerate(choices if isinstance(choices, list) else [])
        if isinstance(choice, Mapping)
    ]
    if not shaped:
        return None
    created = raw.get("created")
    extras = {
        name: value
        for name, value in raw.items()
        if value is not None and name not in DROPPED_FIELDS
    }
    messages = [message for choice in shaped if isinstance(message := choice["message"], dict)]
    return CompletionForm(
        payload={
            "id": completion_id,
            "object": "chat.completion",
            "created": created if isinstance(created, int) and created > 0 else now,
            "model": model,
            **extras,
            "choices": shaped,
        },
        usage=chunk_usage(raw),
        texts=[text for message in messages for text in output_texts(message)],
        audio_tokens=sum(audio_tokens(message) for message in messages),
    )


def _choice(raw: Mapping[str, object], position: int, completion_id: str) -> dict[str, object]:
    index = raw.get("index")
    index = index if isinstance(index, int) else position
    message = raw.get("message")
    extras = {
        name: value
        for name, value in raw.items()
        if name not in ("delta", "text") and (value is not None or name == "logprobs")
    }
    return extras | {
        "index": index,
        "message": _message(message if isinstance(message, Mapping) else {}, index, completion_id),
        "finish_reason": raw.get("finish_reason") or None,
    }


def _message(raw: Mapping[str, object], choice_index: int, completion_id: str) -> dict[str, object]:
    message = {
        name: value
        for name, value in raw.items()
        if value is not None or name not in _NULL_FIELDS_DROPPED
    }
    join_content_parts(message)
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            repair_tool_call(
                call, fallback_id=fallback_call_id(completion_id, choice_index, position)
            )
            for position, call in enumerate(calls)
            if isinstance(call, Mapping)
        ]
    return {**message, "role": "assistant", "content": message.get("content")}
