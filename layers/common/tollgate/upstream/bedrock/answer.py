"""Converse's answer, and the parts that its stream shares with it, in OpenAI's form. Pure.

    stopReason                                   finish_reason
    end_turn, stop_sequence                      stop
    tool_use                                     tool_calls
    max_tokens, model_context_window_exceeded    length
    content_filtered, guardrail_intervened       content_filter
    malformed_model_output, malformed_tool_use   an error: what there is of an answer is no answer

`inputTokens` are those that the cache had no part in; OpenAI's `prompt_tokens` are all.
Source: the shapes ConverseResponse and TokenUsage in botocore's model of bedrock-runtime; recorded
answers, in which totalTokens is the sum of all four counts.
"""

import json
from collections.abc import Iterator, Mapping

from tollgate.core.usage import read_count

SERVER_TOOL = "server_tool_use"  # a tool that Bedrock itself runs: no call of the caller's
_FINISH_REASONS = {
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}
_MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})


def read_answer(raw: Mapping[str, object]) -> dict[str, object]:
    """Return a whole answer as a chat completion; without `choices` where `raw` is none."""
    output = raw.get("output")
    message = output.get("message") if isinstance(output, Mapping) else None
    finish_reason = read_finish_reason(raw.get("stopReason"))
    if not isinstance(message, Mapping) or finish_reason is None:
        return {}
    choice = {"index": 0, "message": _read_message(message), "finish_reason": finish_reason}
    return {"object": "chat.completion", "choices": [choice], "usage": read_usage(raw.get("usage"))}


def read_finish_reason(stop_reason: object) -> str | None:
    """Return OpenAI's word, or None where the output is malformed."""
    reason = str(stop_reason)
    return None if reason in _MALFORMED else _FINISH_REASONS.get(reason, "stop")


def read_usage(raw: object) -> dict[str, object] | None:
    """Return the usage in OpenAI's form, or None where there are no counts."""
    fields = raw if isinstance(raw, Mapping) else {}
    fresh, completion = (read_count(fields.get(name)) for name in ("inputTokens", "outputTokens"))
    if fresh is None or completion is None:
        return None
    cached = read_count(fields.get("cacheReadInputTokens")) or 0
    written = read_count(fields.get("cacheWriteInputTokens")) or 0
    return {
        "prompt_tokens": fresh + cached + written,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
    }


def _read_message(message: Mapping[str, object]) -> dict[str, object]:
    blocks = message.get("content")
    entries = blocks if isinstance(blocks, list) else []
    content = [block for block in entries if isinstance(block, Mapping)]
    texts = [text for block in content for text in _texts(block)]
    thoughts = "".join(_thoughts(content))
    uses = [use for block in content if isinstance(use := block.get("toolUse"), Mapping)]
    calls = [_read_call(use) for use in uses if use.get("type") != SERVER_TOOL]
    made: dict[str, object] = {"role": "assistant", "content": "".join(texts) if texts else None}
    if thoughts:
        made["reasoning_content"] = thoughts
    return made | ({"tool_calls": calls} if calls else {})


def _texts(block: Mapping[str, object]) -> Iterator[str]:
    """Yield a block's text: its own, or what it says with citations."""
    cited = block.get("citationsContent")
    inner = cited.get("content") if isinstance(cited, Mapping) else None
    for entry in [block, *(inner if isinstance(inner, list) else [])]:
        if isinstance(entry, Mapping) and isinstance(text := entry.get("text"), str):
            yield text


def _thoughts(content: list[Mapping[str, object]]) -> Iterator[str]:
    for block in content:
        reasoning = block.get("reasoningContent")
        text = reasoning.get("reasoningText") if isinstance(reasoning, Mapping) else None
        if isinstance(text, Mapping):
            yield str(text.get("text") or "")


def _read_call(use: Mapping[str, object]) -> dict[str, object]:
    arguments = json.dumps(use.get("input") or {}, ensure_ascii=False)
    return {
        "id": use.get("toolUseId"),
        "type": "function",
        "function": {"name": use.get("name"), "arguments": arguments},
    }
