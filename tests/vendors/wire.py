"""The gateway's bytes held against docs/wire-format.md, without any client between."""

import json
from collections.abc import Iterator
from typing import Any

import httpx

from tests.vendors.cases import Job
from tests.vendors.python_client import MESSAGES
from tests.vendors.readings import ErrorRead, Reading

_STREAM_TYPE = "text/event-stream; charset=utf-8"
_ERROR_KEYS = {"message", "type", "param", "code"}
_USAGE_KEYS = {"prompt_tokens", "completion_tokens", "total_tokens"}


def read(job: Job, http: httpx.Client, model: str) -> Reading:
    """Do one job; what is not as the wire format says is among the reading's warnings."""
    body: dict[str, Any] = {"model": model, "messages": MESSAGES, "n": job.choices}
    if job.is_stream:
        body |= {"stream": True}
        if job.has_usage:
            body["stream_options"] = {"include_usage": True}
    answer = http.post("chat/completions", json=body)
    if answer.status_code != 200:
        return _read_error(answer)
    problems = _check_stream(job, answer) if job.is_stream else _check_whole(job, answer)
    frames = _read_frames(answer.text)[0] if job.is_stream else [answer.json()]
    fields = frames[-1].get("error")
    return Reading(
        warnings=list(dict.fromkeys(problems)),
        quota=frames[-1].get("quota"),
        completion_id=frames[0].get("id"),
        is_failed=fields is not None,
        error=ErrorRead(code=fields["code"], message=fields["message"]) if fields else None,
    )


def _read_error(answer: httpx.Response) -> Reading:
    fields = answer.json()["error"]
    error = ErrorRead(status=answer.status_code, code=fields["code"], message=fields["message"])
    problems = [*_check_error(answer.json()), *_check_headers(answer)]
    return Reading(is_failed=True, error=error, warnings=problems)


def _check_headers(answer: httpx.Response) -> Iterator[str]:
    if not answer.headers.get("x-request-id"):
        yield "no x-request-id"


def _check_error(frame: dict[str, Any]) -> Iterator[str]:
    fields = frame["error"]
    if set(frame) != {"error"} or set(fields) != _ERROR_KEYS:
        yield f"an error of other keys: {frame}"
    for name in ("param", "code"):
        if not (fields[name] is None or isinstance(fields[name], str)):
            yield f"{name} is neither text nor null"
    if not fields["message"] or not isinstance(fields["type"], str):
        yield "an error without words"


def _check_whole(job: Job, answer: httpx.Response) -> Iterator[str]:
    yield from _check_headers(answer)
    body = answer.json()
    yield from _check_envelope(body, job, answer, "chat.completion")
    yield from _check_usage(body["usage"])
    if isinstance(body.get("quota"), float | int) is job.is_official:
        yield f"quota: {body.get('quota')}"
    nulls = [name for name, value in body.items() if value is None]
    if nulls:
        yield f"null: {nulls}"
    for choice in body["choices"]:
        if choice["message"]["role"] != "assistant" or "content" not in choice["message"]:
            yield f"message: {choice['message']}"
        if choice["finish_reason"] is None:
            yield "no finish_reason"


def _check_envelope(
    body: dict[str, Any], job: Job, answer: httpx.Response, kind: str
) -> Iterator[str]:
    expected = {
        "id": f"chatcmpl-{answer.headers['x-request-id']}",
        "object": kind,
        "model": job.model,
    }
    for name, value in expected.items():
        if body.get(name) != value:
            yield f"{name}: {body.get(name)}"
    if not isinstance(body.get("created"), int) or body["created"] < 1_000_000_000:
        yield f"created: {body.get('created')}"


def _check_usage(usage: dict[str, Any]) -> Iterator[str]:
    if not set(usage) >= _USAGE_KEYS or any(type(usage[name]) is not int for name in _USAGE_KEYS):
        yield f"usage: {usage}"
    elif usage["total_tokens"] != usage["prompt_tokens"] + usage["completion_tokens"]:
        yield f"usage does not add up: {usage}"
    others = set(usage) - _USAGE_KEYS - {"prompt_tokens_details", "completion_tokens_details"}
    if others:
        yield f"in usage: {others}"


def _check_stream(job: Job, answer: httpx.Response) -> Iterator[str]:
    yield from _check_headers(answer)
    if answer.headers["content-type"] != _STREAM_TYPE:
        yield f"content-type: {answer.headers['content-type']}"
    frames, is_done, problems = _read_frames(answer.text)
    yield from problems
    if "error" in frames[-1]:
        yield from _check_error(frames.pop())
        is_broken = True
        if is_done:
            yield "[DONE] after an error"
    else:
        is_broken = False
        if not is_done:
            yield "no [DONE]"
    for frame in frames:
        yield from _check_envelope(frame, job, answer, "chat.completion.chunk")
        yield from _check_nulls(frame, job)
    if len({frame["created"] for frame in frames}) > 1:
        yield "created changes"
    yield from _check_figures(frames, job, is_broken=is_broken)
    yield from _check_choices(frames, is_broken=is_broken)


def _read_frames(text: str) -> tuple[list[dict[str, Any]], bool, list[str]]:
    """Return the chunks, whether [DONE] came last, and lines that are no `data:` or comment."""
    lines = [line for line in text.split("\n") if line and not line.startswith(":")]
    odd = [f"a line: {line[:80]}" for line in lines if not line.startswith("data: ")]
    data = [line.removeprefix("data: ") for line in lines]
    is_done = data[-1] == "[DONE]"
    return [json.loads(entry) for entry in (data[:-1] if is_done else data)], is_done, odd


def _check_nulls(frame: dict[str, Any], job: Job) -> Iterator[str]:
    allowed = {"usage"} if job.has_usage else set()
    nulls = {name for name, value in frame.items() if value is None} - allowed
    for choice in frame["choices"]:
        nulls |= {name for name, value in choice.items() if value is None} - {"finish_reason"}
        nulls |= {name for name, value in choice["delta"].items() if value is None} - {"content"}
    if nulls:
        yield f"null: {sorted(nulls)}"


def _check_figures(frames: list[dict[str, Any]], job: Job, *, is_broken: bool) -> Iterator[str]:
    """Check the table of what each caller sees of quota and usage."""
    has_quota = [isinstance(frame.get("quota"), float | int) for frame in frames]
    if any("quota" in frame for frame in frames) if job.is_official else not all(has_quota):
        yield f"quota: {[frame.get('quota') for frame in frames]}"
    if job.has_usage:
        yield from _check_last_usage(frames, is_broken=is_broken)
        return
    if not all(frame["choices"] for frame in frames):
        yield "a chunk without choices"
    for frame in frames:
        if not job.is_official:
            yield from _check_usage(frame["usage"])
        elif "usage" in frame:
            yield "usage with an official name"


def _check_last_usage(frames: list[dict[str, Any]], *, is_broken: bool) -> Iterator[str]:
    """OpenAI's form: null, and then one chunk without choices, unless it broke off before."""
    before, after = (frames, []) if is_broken else (frames[:-1], frames[-1:])
    if any(frame.get("usage", "") is not None or not frame["choices"] for frame in before):
        yield "usage, or no choice, before the end"
    for frame in after:
        yield from _check_usage(frame["usage"])
        if frame["choices"]:
            yield "the last chunk has a choice"


def _check_choices(frames: list[dict[str, Any]], *, is_broken: bool) -> Iterator[str]:
    roles: dict[int, int] = {}
    finishes: dict[int, int] = {}
    calls: set[tuple[int, int]] = set()
    for frame in frames:
        for choice in frame["choices"]:
            index, delta = choice["index"], choice["delta"]
            if ("role" in delta) is (index in roles) or delta.get(
                "role", "assistant"
            ) != "assistant":
                yield f"role: {delta.get('role')}"
            roles[index] = 1
            finishes[index] = finishes.get(index, 0) + bool(choice["finish_reason"])
            for call in delta.get("tool_calls", []):
                yield from _check_call(call, is_first=(index, call["index"]) not in calls)
                calls.add((index, call["index"]))
    if not is_broken and any(count != 1 for count in finishes.values()):
        yield f"finish reasons: {finishes}"


def _check_call(call: dict[str, Any], *, is_first: bool) -> Iterator[str]:
    """OpenAI's clients put ids and names together, and LangChain's needs arguments to be there."""
    function = call.get("function", {"arguments": ""})
    if is_first and not (call.get("id") and call.get("type")):
        yield f"a call's first part: {call}"
    if not is_first and ({"id", "type"} & set(call) or "name" in function):
        yield f"a call's later part: {call}"
    if not isinstance(function.get("arguments"), str):
        yield f"a call without arguments: {call}"
