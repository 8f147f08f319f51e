"""The official Python client as it is used: typed objects, written as JSON, its stream helper."""

from collections.abc import Iterable
from typing import Any

from openai import APIError, APIStatusError, OpenAI

from tests.accumulate import accumulate
from tests.vendors.cases import Job
from tests.vendors.readings import Choice, ErrorRead, Reading, UsageRead

MESSAGES: Any = [{"role": "user", "content": "hello"}]
PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(64)


def read(job: Job, client: OpenAI, model: str) -> Reading:
    """Do one job; what the client raises, warnings among it, is in the reading."""
    try:
        return _KINDS[job.kind](job, client, model)
    except APIError as error:
        return Reading(is_failed=True, error=read_api_error(error))
    except (Exception, Warning) as error:  # noqa: BLE001 - a client must raise nothing else
        return Reading(is_failed=True, warnings=[f"{type(error).__name__}: {error}"[:600]])


def read_api_error(error: APIError) -> ErrorRead:
    """Return what the client's own error says."""
    status = error.status_code if isinstance(error, APIStatusError) else None
    body = error.body if isinstance(error.body, dict) else {}
    return ErrorRead(status=status, code=error.code, message=body.get("message", ""))


def _read_chat(job: Job, client: OpenAI, model: str) -> Reading:
    extra: dict[str, Any] = {"n": job.choices} if job.choices > 1 else {}
    if not job.is_stream:
        answer: Any = client.chat.completions.create(model=model, messages=MESSAGES, **extra)
        answer.model_dump_json()
        return read_completion(answer.model_dump(mode="json"))
    if job.has_usage:
        return _read_helper(client, model, extra | {"stream_options": {"include_usage": True}})
    stream = client.chat.completions.create(model=model, messages=MESSAGES, stream=True, **extra)
    return _read_chunks(stream)


def _read_helper(client: OpenAI, model: str, extra: dict[str, Any]) -> Reading:
    """Read a stream by the client's own accumulation, as `client.chat.completions.stream`."""
    with client.chat.completions.stream(model=model, messages=MESSAGES, **extra) as stream:
        began = False
        try:
            for _ in stream:
                began = True
        except APIError as error:
            if not began:
                raise
            # What has no end yet is no whole completion, and need not be written as one.
            return read_completion(_snapshot(stream, warnings=False), error)
        return read_completion(_snapshot(stream, warnings=True))


def _snapshot(stream: Any, *, warnings: bool) -> dict[str, Any]:
    held = stream.current_completion_snapshot
    snapshot: dict[str, Any] = held.model_dump(mode="json", warnings=warnings)
    return snapshot


def _read_chunks(stream: Iterable[Any]) -> Reading:
    chunks: list[dict[str, Any]] = []
    failure: APIError | None = None
    try:
        for chunk in stream:
            chunk.model_dump_json()
            chunks.append(chunk.model_dump(mode="json"))
    except APIError as error:
        if not chunks:
            raise
        failure = error
    return Reading(
        choices={
            index: _choice(held, held["finish_reason"])
            for index, held in accumulate(chunks).items()
        },
        usage=_usage(chunks[-1].get("usage")),
        is_failed=failure is not None,
        error=read_api_error(failure) if failure else None,
    )


def read_completion(answer: dict[str, Any], error: APIError | None = None) -> Reading:
    """Return what a completion in OpenAI's form says."""
    return Reading(
        choices={
            choice["index"]: _choice(choice["message"], choice["finish_reason"])
            for choice in answer["choices"]
        },
        usage=_usage(answer.get("usage")),
        is_failed=error is not None,
        error=read_api_error(error) if error else None,
    )


def _choice(message: dict[str, Any], finish: str | None) -> Choice:
    audio = message.get("audio") or {}
    function = message.get("function_call")
    calls = [_call(call) for call in message.get("tool_calls") or []]
    return Choice(
        text=message.get("content") or "",
        reasoning=message.get("reasoning_content") or message.get("reasoning") or "",
        refusal=message.get("refusal") or "",
        calls=[*calls, ("", function["name"], function["arguments"])] if function else calls,
        finish=finish,
        audio=audio.get("transcript") or "",
        audio_data=len(audio.get("data") or ""),
        sources=[note["url_citation"]["url"] for note in message.get("annotations") or []],
    )


def _call(call: dict[str, Any]) -> tuple[str, str, str]:
    inner = call.get("function") or call.get("custom") or call
    return (call["id"], inner["name"], inner.get("arguments") or inner.get("input") or "")


def _usage(usage: dict[str, Any] | None) -> UsageRead | None:
    if not usage:
        return None
    return UsageRead(
        prompt=usage["prompt_tokens"],
        completion=usage["completion_tokens"],
        cached=(usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        reasoning=(usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0,
    )


def _read_images(job: Job, client: OpenAI, model: str) -> Reading:
    if job.is_stream:
        events: Any = client.images.generate(model=model, prompt="a cat", stream=True)
        return Reading(images=[_image(event.model_dump(mode="json")) for event in events])
    answer = client.images.generate(model=model, prompt="a cat")
    return Reading(images=[_image(item) for item in answer.model_dump(mode="json")["data"]])


def _read_edits(job: Job, client: OpenAI, model: str) -> Reading:
    answer = client.images.edit(model=model, prompt="a cat", image=("a.png", PIXEL, "image/png"))
    return Reading(images=[_image(item) for item in answer.model_dump(mode="json")["data"]])


def _image(item: dict[str, Any]) -> str:
    image: str = item.get("url") or item["b64_json"]
    return image


def _read_models(job: Job, client: OpenAI, model: str) -> Reading:
    models = client.models.list()
    models.model_dump_json()
    return Reading(models=[entry.id for entry in models.data])


_KINDS = {
    "chat": _read_chat,
    "images": _read_images,
    "edits": _read_edits,
    "models": _read_models,
}
