"""What a vendor's recorded body says, read by itself: no line of Tollgate's is used here.

It knows the vendors' deviations as ../shared/recordings/README.md lists them, and the few answers
of docs/wire-format.md to what a vendor leaves open: a finish reason that never came, usage that
does not add up.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.accumulate import accumulate
from tests.recordings import Recording
from tests.vendors.readings import Choice, Reading, UsageRead

Json = Mapping[str, Any]


def read_recording(recording: Recording) -> Reading:
    """Return what a good chat recording says, up to the error of a stream that has one."""
    if recording.is_stream:
        return _read_stream(recording)
    body = json.loads(recording.body)
    deltas = [{"choices": [choice | {"delta": choice["message"]}]} for choice in body["choices"]]
    choices = _choices(deltas)
    return Reading(choices=choices, usage=_usage([body]))


def read_chunks(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the JSON of each event, naively; an `error:` field and an event `error` as errors."""
    is_error = False
    for line in body.decode().splitlines():
        field, _, value = line.partition(":")
        is_error = (is_error and bool(line)) or (field, value.strip()) == ("event", "error")
        if field not in {"data", "error"} or value.strip() in {"", "[DONE]"}:
            continue
        raw = json.loads(value)
        yield raw if field == "data" and not is_error else {"error": raw.get("error", raw)}


def _read_stream(recording: Recording) -> Reading:
    chunks: list[dict[str, Any]] = []
    for chunk in read_chunks(recording.body):
        if not chunk.get("error"):
            chunks.append(chunk)
            continue
        used = _usage([*chunks, chunk])
        return Reading(choices=_choices(chunks, is_complete=False), usage=used, is_failed=True)
    return Reading(choices=_choices(chunks), usage=_usage(chunks))


def _choices(chunks: list[dict[str, Any]], *, is_complete: bool = True) -> dict[int, Choice]:
    found = accumulate(chunks)
    return {index: _choice(held, is_complete=is_complete) for index, held in found.items()}


def _choice(held: Json, *, is_complete: bool) -> Choice:
    calls = [(call.get("id") or "", call["name"], call["arguments"]) for call in held["tool_calls"]]
    function = held.get("function_call")
    calls += [("", function["name"], function["arguments"])] if function else []
    finish = held["finish_reason"] or None
    if is_complete and finish is None:
        finish = "tool_calls" if calls else "stop"
    return Choice(
        text=held.get("content", ""),
        reasoning=held.get("reasoning_content") or held.get("reasoning") or "",
        refusal=held.get("refusal", ""),
        calls=calls,
        finish=finish,
        audio=held["audio"].get("transcript", ""),
        audio_data=len(held["audio"].get("data", "")),
        sources=[note.get("url_citation", note)["url"] for note in held["annotations"]],
    )


def _usage(chunks: list[dict[str, Any]]) -> UsageRead | None:
    """Return the last complete report; what is only in the total was thought, and is output."""
    reports = [
        report
        for chunk in chunks
        for report in ((chunk.get("x_groq") or {}).get("usage"), chunk.get("usage"))
        if report and report.get("prompt_tokens") is not None
        if report.get("completion_tokens") is not None
    ]
    if not reports:
        return None
    last = reports[-1]
    prompt, said = last["prompt_tokens"], last["completion_tokens"]
    completion = max(said, (last.get("total_tokens") or 0) - prompt)
    inside = last.get("prompt_tokens_details") or {}
    cached = (
        inside.get("cached_tokens")
        or last.get("cached_tokens")
        or last.get("prompt_cache_hit_tokens")
    )
    thought = (last.get("completion_tokens_details") or {}).get("reasoning_tokens")
    return UsageRead(
        prompt=prompt,
        completion=completion,
        cached=min(cached or 0, prompt),
        reasoning=min(thought or last.get("reasoning_tokens") or completion - said, completion),
    )


def read_images(recording: Recording) -> list[str]:
    """Return each image of a recorded answer: its address, or its bytes in base64."""
    return [item.get("url") or item["b64_json"] for item in json.loads(recording.body)["data"]]


def read_model_ids(recording: Recording) -> list[str]:
    """Return the names of a recorded list of models, whatever its form."""
    raw = json.loads(recording.body)
    return [model["id"] for model in (raw if isinstance(raw, list) else raw["data"])]


def read_error_message(recording: Recording) -> str | None:
    """Return the sentence that an error body says, or None where it says none of its own."""
    if not recording.body.lstrip().startswith(b"{"):
        return None
    raw = json.loads(recording.body)
    error = raw.get("error", raw)
    if isinstance(error, str):
        return error
    message = error.get("message") or error.get("detail") or raw.get("message")
    return message if isinstance(message, str) else None
