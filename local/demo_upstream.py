"""A demo upstream: OpenAI's chat completions, offline, with models for every mood; and its images.

    demo-echo             repeats the last user message        demo-story    tells a story
    demo-tools            calls the tools, then answers        demo-think    reasons first
    demo-sources          counts the search results it got
    demo-error-<status>   refuses with 400, 401, 429, 500      demo-hang     never answers
    demo-stall            falls silent in mid-stream           demo-break    closes in mid-stream
    demo-error-midstream  turns into an error                  demo-no-done  ends without [DONE]
    demo-usage-none, demo-usage-every-chunk, demo-usage-in-finish, demo-usage-wrong, demo-crlf

Any other name is answered as demo-story if the prompt asks for a story, else as demo-echo. A word
is a token and a chunk. Pace: TOLLGATE_DEMO_CHUNKS_PER_S, or `"demo_chunks_per_s"` in the body.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from local.demo_answers import (
    STORY,
    call_tools,
    count_prompt,
    describe_sources,
    has_tool_result,
    last_user_text,
    split_words,
    structured_text,
)
from local.demo_errors import SILENCE_S, BrokenOffError, demo_error
from local.demo_images import image_routes
from local.demo_search import answer_search

DEFAULT_CHUNKS_PER_S = 50.0
_BREAK_AFTER_CHUNKS = 2
_SOUND = "AAAA" * 32  # 96 bytes of silence
_BREAKING = {"demo-break", "demo-stall", "demo-error-midstream"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One answer, decided before its first byte. `words` are its chunks."""

    model: str
    thoughts: list[str]
    words: list[str]
    calls: list[dict[str, Any]]
    finish: str
    choices: int
    prompt_tokens: int
    has_logprobs: bool
    has_audio: bool
    chunks_per_s: float

    @property
    def usage(self) -> dict[str, Any]:
        """Return exact usage, in the demo's tokens."""
        reasoning = len(self.thoughts) * self.choices
        completion = (len(self.words) + 8 * len(self.calls)) * self.choices + reasoning
        completion *= 1000 if self.model == "demo-usage-wrong" else 1
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }


def make_demo_app(chunks_per_s: float = DEFAULT_CHUNKS_PER_S) -> Starlette:
    """Return the ASGI app, the demo search beside it; `chunks_per_s`: 0 for as fast as it can."""

    async def complete(request: Request) -> Response:
        return await _complete(await request.json(), chunks_per_s)

    return Starlette(
        routes=[
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/v1/search", answer_search, methods=["GET", "POST"]),
            *image_routes(),
        ]
    )


async def _complete(body: dict[str, Any], chunks_per_s: float) -> Response:
    model = str(body.get("model"))
    if model == "demo-hang":
        await asyncio.sleep(SILENCE_S)
    if model.startswith("demo-error-") and model != "demo-error-midstream":
        return demo_error(int(model.rpartition("-")[2]))
    plan = make_plan(body, chunks_per_s)
    if not body.get("stream"):
        if model == "demo-stall":
            await asyncio.sleep(SILENCE_S)
        return JSONResponse(_whole(plan))
    wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    return StreamingResponse(_stream(plan, wants_usage=wants_usage), media_type="text/event-stream")


def make_plan(body: Mapping[str, Any], chunks_per_s: float) -> Plan:
    """Decide the answer to a request."""
    model = str(body.get("model"))
    messages = body.get("messages") or []
    calls = [] if model != "demo-tools" or has_tool_result(messages) else call_tools(body)
    words = [] if calls else split_words(_choose_text(model, body))
    thoughts = (
        split_words("Let me think about this for a moment. ") if model == "demo-think" else []
    )
    limit = int(body.get("max_completion_tokens") or body.get("max_tokens") or len(words))
    is_cut = model != "demo-usage-wrong" and len(words) > limit
    return Plan(
        model=model,
        thoughts=thoughts,
        words=words[:limit] if is_cut else words,
        calls=calls,
        finish="tool_calls" if calls else "length" if is_cut else "stop",
        choices=int(body.get("n") or 1),
        prompt_tokens=count_prompt(messages),
        has_logprobs=bool(body.get("logprobs")),
        has_audio="audio" in (body.get("modalities") or []),
        chunks_per_s=float(body.get("demo_chunks_per_s", chunks_per_s)),
    )


def _choose_text(model: str, body: Mapping[str, Any]) -> str:
    messages = body.get("messages") or []
    text = describe_sources(messages) if model == "demo-sources" else last_user_text(messages)
    is_story = model == "demo-story" or (not model.startswith("demo-") and "story" in text.lower())
    answer = structured_text(body) or (STORY * 4 if is_story else text or "Hello!")
    for stop in _stops(body):
        answer = answer.partition(stop)[0]
    return answer


def _stops(body: Mapping[str, Any]) -> list[str]:
    stop = body.get("stop")
    return [stop] if isinstance(stop, str) else [str(entry) for entry in stop or []]


def _envelope(plan: Plan, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex[:24]}",
        "object": kind,
        "created": int(time.time()),
        "model": f"{plan.model}-2026-11-01",
        "system_fingerprint": "fp_demo",
    }


def _whole(plan: Plan) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(plan.words), "refusal": None}
    if plan.thoughts:
        message["reasoning_content"] = "".join(plan.thoughts)
    if plan.calls:
        calls = [{k: v for k, v in call.items() if k != "index"} for call in plan.calls]
        message |= {"content": None, "tool_calls": calls}
    if plan.has_audio:
        audio = {"id": "audio_demo", "data": _SOUND, "transcript": message["content"]}
        message |= {"content": None, "audio": audio | {"expires_at": int(time.time()) + 3600}}
    logprobs = {"content": [_logprob(word) for word in plan.words]} if plan.has_logprobs else None
    choice = {"message": message, "logprobs": logprobs, "finish_reason": plan.finish}
    answer = _envelope(plan, "chat.completion")
    answer["choices"] = [choice | {"index": index} for index in range(plan.choices)]
    return answer if plan.model == "demo-usage-none" else answer | {"usage": plan.usage}


def _logprob(word: str) -> dict[str, Any]:
    return {"token": word, "logprob": -0.1, "bytes": list(word.encode()), "top_logprobs": []}


def _deltas(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield one choice's deltas, the first with its role."""
    yield {"role": "assistant", "content": None if plan.calls else "", "refusal": None}
    for thought in plan.thoughts:
        yield {"reasoning_content": thought}
    for word in plan.words:
        yield (
            {"audio": {"data": _SOUND, "transcript": word}} if plan.has_audio else {"content": word}
        )
    for call in plan.calls:
        arguments = call["function"]["arguments"]
        half = len(arguments) // 2
        start = call["function"] | {"arguments": ""}
        yield {"tool_calls": [call | {"function": start}]}
        for piece in (arguments[:half], arguments[half:]):
            yield {"tool_calls": [{"index": call["index"], "function": {"arguments": piece}}]}


async def _stream(plan: Plan, *, wants_usage: bool) -> AsyncIterator[bytes]:
    envelope = _envelope(plan, "chat.completion.chunk")
    end = "\r\n\r\n" if plan.model == "demo-crlf" else "\n\n"
    for sent, delta in enumerate(_deltas(plan), start=1):
        for index in range(plan.choices):
            yield _frame(envelope | _chunk(plan, delta, index, wants_usage=wants_usage), end)
        if plan.model in _BREAKING and sent > _BREAK_AFTER_CHUNKS:
            async for frame in _break(plan, end):
                yield frame
            return
        if plan.chunks_per_s > 0:
            await asyncio.sleep(1 / plan.chunks_per_s)
    for frame in _tail(plan, envelope, end, wants_usage=wants_usage):
        yield frame


def _chunk(
    plan: Plan, delta: Mapping[str, Any], index: int, *, wants_usage: bool
) -> dict[str, Any]:
    word = delta.get("content")
    logprobs = {"content": [_logprob(word)]} if plan.has_logprobs and word else None
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}
    if plan.model == "demo-usage-every-chunk":
        return {"choices": [choice], "usage": plan.usage}
    is_null = wants_usage and plan.model not in ("demo-usage-none", "demo-usage-in-finish")
    return {"choices": [choice]} | ({"usage": None} if is_null else {})


async def _break(plan: Plan, end: str) -> AsyncIterator[bytes]:
    if plan.model == "demo-stall":
        await asyncio.sleep(SILENCE_S)
    if plan.model == "demo-error-midstream":
        error = {"message": "The demo had an error.", "type": "server_error", "code": None}
        yield _frame({"error": error | {"param": None}}, end)
        return
    raise BrokenOffError


def _tail(plan: Plan, envelope: dict[str, Any], end: str, *, wants_usage: bool) -> Iterator[bytes]:
    """Yield the finish chunks, the usage where this model puts it, and [DONE]."""
    has_usage_chunk = wants_usage and plan.model not in (
        "demo-usage-none",
        "demo-usage-in-finish",
        "demo-usage-every-chunk",
    )
    for index in range(plan.choices):
        choice = {"index": index, "delta": {}, "logprobs": None, "finish_reason": plan.finish}
        chunk = envelope | {"choices": [choice]}
        if has_usage_chunk:
            chunk["usage"] = None
        elif plan.model in ("demo-usage-in-finish", "demo-usage-every-chunk"):
            chunk["usage"] = plan.usage
        yield _frame(chunk, end)
    if has_usage_chunk:
        yield _frame(envelope | {"choices": [], "usage": plan.usage}, end)
    if plan.model != "demo-no-done":
        yield f"data: [DONE]{end}".encode()


def _frame(chunk: Mapping[str, Any], end: str) -> bytes:
    return f"data: {json.dumps(chunk, separators=(',', ':'))}{end}".encode()
