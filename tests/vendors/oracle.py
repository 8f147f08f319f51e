"""What a vendor's recorded body says, read by itself: no line of Tollgate's is used here.

It knows the vendors' deviations as ../shared/recordings/README.md lists them, and the few answers
of docs/wire-format.md to what a vendor leaves open: a finish reason that never came, usage that
does not add up.
"""

import json
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from tests.recordings import Recording
from tests.vendors.errors import BROKEN
from tests.vendors.raw_fold import fold, output_of
from tests.vendors.readings import Reading, UsageRead


def read_recording(recording: Recording) -> Reading:
    """Return what a good chat recording says, up to the error of a stream that one breaks off."""
    if recording.is_stream:
        return _read_stream(recording)
    whole = _as_chunk(recording)
    return Reading(choices=fold([whole]), usage=_usage([whole]))


def read_output(recording: Recording) -> str:
    """Return all that a chat recording sells, in its order, as the tokens of it are counted."""
    chunks = _sound_chunks(recording) if recording.is_stream else [_as_chunk(recording)]
    return "".join(text for chunk in chunks for text in output_of(chunk))


def lacks_finish(recording: Recording) -> bool:
    """Whether a stream names no finish reason for one of its choices."""
    if not recording.is_stream:
        return False
    return not _is_finished(list(read_chunks(recording.body)))


def _is_finished(chunks: list[dict[str, Any]]) -> bool:
    """Whether every choice has its finish reason: an error behind that is none of the answer's."""
    seen: dict[int, bool] = {}
    for chunk in chunks:
        for choice in chunk.get("choices") or []:
            index = choice.get("index") or 0
            seen[index] = seen.get(index, False) or bool(choice.get("finish_reason"))
    return bool(seen) and all(seen.values())


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


def _as_chunk(recording: Recording) -> dict[str, Any]:
    """Return a whole answer with its messages as deltas; 127 has an empty delta beside one."""
    body: dict[str, Any] = json.loads(recording.body)
    return body | {"choices": [one | {"delta": one["message"]} for one in body["choices"]]}


def _sound_chunks(recording: Recording) -> list[dict[str, Any]]:
    return list(takewhile(lambda chunk: not chunk.get("error"), read_chunks(recording.body)))


def _read_stream(recording: Recording) -> Reading:
    sound, everything = _sound_chunks(recording), list(read_chunks(recording.body))
    used = _usage(everything[: len(sound) + 1])
    if len(sound) == len(everything) or _is_finished(sound):
        return Reading(choices=fold(sound), usage=used)
    return Reading(
        choices=fold(sound, is_complete=False),
        usage=used,
        is_failed=True,
        error=BROKEN[recording.name[:3]],
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
