"""What is inside a message or a delta, put into OpenAI's form: content, tool calls, output text.

Shared by the streamed and the plain form. The shapes that vendors send are listed in
docs/wire-format.md; no library repairs them without also validating, which would drop fields.
"""

import json
from collections.abc import Iterator, Mapping, Sequence

from tollgate.core.answer_ids import COMPLETION_PREFIX

_PCM16_BYTES_PER_TOKEN = 2400  # 24 kHz, 16 bit, 20 audio tokens a second
_REASONING_FIELDS = ("reasoning_content", "reasoning")


def join_content_parts(message: dict[str, object]) -> None:
    """Turn a content that is a list of parts into a string, its thinking into `reasoning_content`.

    Source: Mistral's reasoning models stream `content` as a list; OpenAI's form is a string.
    """
    parts = message.get("content")
    if not isinstance(parts, list):
        return
    thinking = "".join(_part_texts(parts, thinking=True))
    message["content"] = "".join(_part_texts(parts, thinking=False))
    if thinking and not message.get("reasoning_content"):
        message["reasoning_content"] = thinking


def _part_texts(parts: Sequence[object], *, thinking: bool) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str) and not thinking:
            yield part
        if not isinstance(part, Mapping) or (part.get("type") == "thinking") is not thinking:
            continue
        inner = part.get("thinking") if thinking else part.get("text")
        if isinstance(inner, list):
            yield from _part_texts(inner, thinking=False)
        elif isinstance(inner, str):
            yield inner


def find_message(choice: Mapping[str, object]) -> Mapping[str, object] | None:
    """Return a whole answer's message, which some call `delta` there; None where there is none."""
    for said in (choice.get("message"), choice.get("delta")):
        if isinstance(said, Mapping):
            return said
    return None


def repair_tool_call(
    call: Mapping[str, object], *, fallback_id: str, is_cut: bool
) -> dict[str, object]:
    """Return one whole tool call as OpenAI writes it, with the id and type that it may lack.

    Arguments that came as an object become JSON text; none at all are an empty object, unless the
    answer `is_cut`: then they are missing, and the call is no good one.
    """
    repaired = {name: value for name, value in call.items() if value is not None}
    repaired["id"] = repaired.get("id") or fallback_id
    repaired.setdefault("type", "function")
    function = repaired.get("function")
    if isinstance(function, Mapping):
        known = {name: value for name, value in function.items() if value is not None}
        arguments = arguments_text(known.get("arguments")) or ("" if is_cut else "{}")
        repaired["function"] = known | {"arguments": arguments}
    return repaired


def arguments_text(arguments: object) -> str:
    """Return a call's arguments as text, JSON where they came as an object; empty for none."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json.dumps(arguments, ensure_ascii=False)


def fallback_call_id(completion_id: str, choice: int, index: int) -> str:
    """Return an id for a tool call that came without: unique in the answer, under 40 characters."""
    return f"call_{completion_id.removeprefix(COMPLETION_PREFIX)[:13]}_{choice}_{index}"


def is_cut_short(finish_reason: object) -> bool:
    """Whether an answer with this reason may have ended before it was whole, its last call half.

    So it is with all reasons but those that say otherwise: vendors have ones of their own, such as
    Mistral's `model_length`.
    """
    return finish_reason not in ("stop", "tool_calls", "function_call")


def guess_finish_reason(*, has_calls: bool, is_at_limit: bool) -> str:
    """Return why a choice ended whose vendor does not say, although the answer is complete.

    `is_at_limit`: whether it is as long as it was allowed to be. Clients take an answer without
    any reason for one that broke off.
    """
    if is_at_limit:
        return "length"
    return "tool_calls" if has_calls else "stop"


def output_texts(message: Mapping[str, object]) -> list[str]:
    """Return every text of a message or delta that is sold as output, reasoning only once.

    Some vendors send the same reasoning under two names; the first of reasoning_content,
    reasoning, reasoning_details that has text counts.
    """
    texts = [message.get("content"), message.get("refusal"), _reasoning_text(message)]
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        texts.extend(_call_texts(call))
    texts.extend(_function_texts(message.get("function_call")))
    audio = message.get("audio")
    if isinstance(audio, Mapping):
        texts.append(audio.get("transcript"))
    return [text for text in texts if isinstance(text, str) and text]


def _reasoning_text(message: Mapping[str, object]) -> object:
    for name in _REASONING_FIELDS:
        if message.get(name):
            return message[name]
    details = message.get("reasoning_details")
    if not isinstance(details, list):
        return None
    entries = (entry for entry in details if isinstance(entry, Mapping))
    texts = (entry.get("text") or entry.get("summary") for entry in entries)
    return "".join(text for text in texts if isinstance(text, str))


def _call_texts(call: object) -> list[object]:
    if not isinstance(call, Mapping):
        return []
    custom = call.get("custom")
    texts = _function_texts(call.get("function"))
    if isinstance(custom, Mapping):
        texts += [custom.get("name"), custom.get("input")]
    return texts


def _function_texts(function: object) -> list[object]:
    if not isinstance(function, Mapping):
        return []
    return [function.get("name"), function.get("arguments")]


def audio_tokens(message: Mapping[str, object]) -> int:
    """Return the audio tokens in a message or delta, reckoned from its bytes as 24 kHz PCM.

    An estimate for answers that end without the upstream's usage.
    Source: OpenAI bills audio output at 20 tokens a second.
    """
    audio = message.get("audio")
    data = audio.get("data") if isinstance(audio, Mapping) else None
    if not isinstance(data, str):
        return 0
    return -(-len(data) * 3 // 4 // _PCM16_BYTES_PER_TOKEN)
