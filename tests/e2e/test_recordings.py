"""Every recorded vendor answer, replayed as the upstream of a running gateway.

What the official client puts together from the vendor's own bytes is what it gets through Tollgate;
and the quota of the last chunk, the usage record and the account's loss are one number.
"""

from typing import Any

import pytest
from openai import APIError, OpenAI

from tests.accumulate import accumulate
from tests.e2e.gateway import Gateway, micropoints
from tests.recordings import Recording, find_recordings, parametrize

MESSAGES: Any = [{"role": "user", "content": "hello"}]

# Streams whose failure the vendor reports inside them, or that break off: an error for the caller.
FAILED = {
    "013-openai-stream-midstream-error",
    "070-groq-stream-error-event",
    "088-openrouter-stream-error-with-usage",
    "164-gpustack-stream-error-field",
}
# Streams that are an error from their first event on: refused before anything is sent.
REFUSED = {"089-openrouter-stream-error-only", "137-qwen-stream-error-200"}


def read_stream(client: OpenAI, model: str) -> tuple[list[dict[str, Any]], APIError | None]:
    """Return the chunks that came, and the error that ended them, if one did."""
    chunks: list[dict[str, Any]] = []
    try:
        for chunk in client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
            chunks.append(chunk.to_dict(exclude_unset=True, warnings=False))  # noqa: PERF401
    except APIError as error:
        return chunks, error
    return chunks, None


def raw_client(url: str, recording: Recording) -> OpenAI:
    """Return a client that reads the vendor's bytes as they are."""
    return OpenAI(base_url=f"{url}/{recording.name}", api_key="none", max_retries=0)


@parametrize(find_recordings(is_stream=True))
def test_stream_is_unharmed_and_charged_once(
    replay_gateway: Gateway, replay_url: str, recording: Recording
) -> None:
    """Content, tool calls and finish reasons are the vendor's; the money is one number."""
    client = OpenAI(base_url=replay_gateway.base_url, api_key=replay_gateway.api_key, max_retries=0)
    raw, _ = read_stream(raw_client(replay_url, recording), "any")

    with replay_gateway.watch() as money:
        chunks, error = read_stream(client, recording.name)

    assert (error is not None) is (recording.name in FAILED | REFUSED)
    if recording.name in REFUSED:
        assert chunks == []
        assert money.lost == 0
        return
    _assert_wire_form(chunks, recording)
    assert _comparable(accumulate(raw)) == _comparable(accumulate(chunks))
    request_id = chunks[0]["id"].removeprefix("chatcmpl-")
    record = replay_gateway.record(request_id)
    assert record.quota == money.lost
    if error is None:
        assert micropoints(chunks[-1]["quota"]) == money.lost
        assert record.outcome == "complete"
    else:
        assert record.outcome == "broken"


def _assert_wire_form(chunks: list[dict[str, Any]], recording: Recording) -> None:
    """Look at what each chunk must have, whatever the vendor sent."""
    first_deltas: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["id"] == chunks[0]["id"]
        assert chunk["created"] == chunks[0]["created"]
        assert chunk["model"] == recording.name
        assert None not in chunk.values()
        assert chunk["usage"]["total_tokens"] == (
            chunk["usage"]["prompt_tokens"] + chunk["usage"]["completion_tokens"]
        )
        for choice in chunk["choices"]:
            first_deltas.setdefault(choice["index"], choice["delta"])
            assert all("index" in call for call in choice["delta"].get("tool_calls", []))
    assert {delta["role"] for delta in first_deltas.values()} == {"assistant"}


def _comparable(choices: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Drop what Tollgate adds on purpose: ids of tool calls that the vendor left without one."""
    for choice in choices.values():
        for call in choice["tool_calls"]:
            if str(call.get("id", "")).startswith("call_") and "_0_" in call["id"]:
                del call["id"]
    return choices


@parametrize(find_recordings(is_stream=False))
def test_whole_answer_is_unharmed_and_charged_once(
    replay_gateway: Gateway, replay_url: str, recording: Recording
) -> None:
    """Messages are the vendor's; quota, record and loss are one number."""
    client = OpenAI(base_url=replay_gateway.base_url, api_key=replay_gateway.api_key, max_retries=0)
    raw: Any = raw_client(replay_url, recording).chat.completions.create(
        model="any", messages=MESSAGES
    )

    with replay_gateway.watch() as money:
        answer: Any = client.chat.completions.create(model=recording.name, messages=MESSAGES)

    for ours, theirs in zip(answer.choices, raw.choices, strict=True):
        assert ours.finish_reason == theirs.finish_reason
        assert (ours.message.content or "") == (theirs.message.content or "")
        assert ours.message.refusal == theirs.message.refusal
        assert [call.to_dict() for call in ours.message.tool_calls or []] == [
            call.to_dict() | ({} if call.id else {"id": ours.message.tool_calls[index].id})
            for index, call in enumerate(theirs.message.tool_calls or [])
        ]
    assert answer.model == recording.name
    assert micropoints(answer.to_dict()["quota"]) == money.lost
    assert money.record(answer.id).quota == money.lost


@parametrize(find_recordings(is_stream=False, ok=False))
def test_error_reaches_the_caller_and_costs_nothing(
    replay_gateway: Gateway, recording: Recording
) -> None:
    """An error body of any shape becomes OpenAI's, without the operator's secrets."""
    client = OpenAI(base_url=replay_gateway.base_url, api_key=replay_gateway.api_key, max_retries=0)

    with replay_gateway.watch() as money, pytest.raises(APIError) as caught:
        client.chat.completions.create(model=recording.name, messages=MESSAGES)

    body: Any = caught.value.body
    assert set(body) == {"message", "type", "param", "code"}
    assert isinstance(body["message"], str)
    assert body["message"]
    assert "sk-" not in body["message"]
    assert money.lost == 0
