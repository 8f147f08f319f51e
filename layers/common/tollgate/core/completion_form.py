"""A whole (not streamed) chat completion, brought into OpenAI's form whatever the vendor sends."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tollgate.core.annotations import repair_annotations
from tollgate.core.message_parts import (
    audio_tokens,
    fallback_call_id,
    find_message,
    guess_finish_reason,
    is_cut_short,
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
    raw: Mapping[str, object],
    *,
    completion_id: str,
    model: str,
    now: int,
    output_tokens_max: int | None = None,
) -> CompletionForm | None:
    """Return the completion in OpenAI's form, or None where it has no choice to show.

    `now`: unix seconds, used as `created` where the upstream sends none. `output_tokens_max`: how
    long the answer was allowed to be, to tell why it ended where the vendor does not say.
    """
    choices, usage = raw.get("choices"), chunk_usage(raw)
    limit = output_tokens_max
    is_at_limit = usage is not None and limit is not None and usage.completion >= limit
    shaped = [
        _choice(choice, position, completion_id, is_at_limit=is_at_limit)
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
        usage=usage,
        texts=[text for message in messages for text in output_texts(message)],
        audio_tokens=sum(audio_tokens(message) for message in messages),
    )


def split_completion(raw: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """Yield a vendor's whole answer as the chunks of a stream: each message, each finish, usage.

    For vendors that do not stream what was asked for as a stream. Its form is still the vendor's.
    """
    around = {name: value for name, value in raw.items() if name not in ("choices", "usage")}
    choices = raw.get("choices")
    whole = [
        (choice, {"index": _index(choice, position)})
        for position, choice in enumerate(choices if isinstance(choices, list) else [])
        if isinstance(choice, Mapping)
    ]
    for choice, at in whole:
        delta = _number_calls(find_message(choice) or {})
        yield around | {"choices": [{**choice, **at, "delta": delta, "finish_reason": None}]}
    for choice, at in whole:
        reason = choice.get("finish_reason")
        yield around | {"choices": [{**at, "delta": {}, "finish_reason": reason}]}
    yield {"choices": [], "usage": raw.get("usage"), "x_groq": raw.get("x_groq")}


def _number_calls(message: Mapping[str, object]) -> dict[str, object]:
    """Return a message whose tool calls have an index: their place in the list."""
    calls = message.get("tool_calls")
    numbered = [
        {**call, "index": position}
        for position, call in enumerate(calls if isinstance(calls, list) else [])
        if isinstance(call, Mapping)
    ]
    return {**message, "tool_calls": numbered or None}


def _choice(
    raw: Mapping[str, object], position: int, completion_id: str, *, is_at_limit: bool
) -> dict[str, object]:
    index, said = _index(raw, position), find_message(raw) or {}
    reason = raw.get("finish_reason") or guess_finish_reason(
        has_calls=bool(said.get("tool_calls")), is_at_limit=is_at_limit
    )
    message = _message(said, index, completion_id, is_cut=is_cut_short(reason))
    extras = {
        name: value
        for name, value in raw.items()
        if name not in ("delta", "error", "text") and (value is not None or name == "logprobs")
    }
    return extras | {
        "index": index,
        "message": message,
        "finish_reason": reason,
    }


def _index(choice: Mapping[str, object], position: int) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else position


def _message(
    raw: Mapping[str, object], choice_index: int, completion_id: str, *, is_cut: bool
) -> dict[str, object]:
    message = {
        name: value
        for name, value in raw.items()
        if value is not None or name not in _NULL_FIELDS_DROPPED
    }
    join_content_parts(message)
    annotations = message.get("annotations")
    if isinstance(annotations, list):
        message["annotations"] = repair_annotations(annotations)
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            repair_tool_call(
                call,
                fallback_id=fallback_call_id(completion_id, choice_index, position),
                is_cut=is_cut,
            )
            for position, call in enumerate(calls)
            if isinstance(call, Mapping)
        ]
    return {**message, "role": "assistant", "content": message.get("content")}
