"""LangChain's ChatOpenAI as it is used: `generate` for whole answers, `stream` for streams.

It shows no reasoning and, in a stream, neither refusal nor audio: that is so with OpenAI too.
"""

import json
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_openai import ChatOpenAI
from openai import APIError
from pydantic import SecretStr

from tests.vendors.cases import Job
from tests.vendors.python_client import read_api_error
from tests.vendors.readings import Choice, Reading, UsageRead

MESSAGES = [HumanMessage("hello")]


def read(job: Job, base_url: str, api_key: str, model: str) -> Reading:
    """Do one job; what the client raises, warnings among it, is in the reading."""
    llm = ChatOpenAI(
        base_url=base_url,
        api_key=SecretStr(api_key),
        model=model,
        max_retries=0,
        n=1 if job.is_stream else job.choices,
        stream_usage=job.has_usage or None,
    )
    try:
        return _read_stream(llm) if job.is_stream else _read_whole(llm)
    except APIError as error:
        return Reading(is_failed=True, error=read_api_error(error))
    except (Exception, Warning) as error:  # noqa: BLE001 - a client must raise nothing else
        return Reading(is_failed=True, warnings=[f"{type(error).__name__}: {error}"[:600]])


def _read_stream(llm: ChatOpenAI) -> Reading:
    whole: AIMessageChunk | None = None
    failure: APIError | None = None
    try:
        for chunk in llm.stream(MESSAGES):
            whole = chunk if whole is None else whole + chunk  # type: ignore[assignment]
    except APIError as error:
        if whole is None:
            raise
        failure = error
    if whole is None:
        raise ValueError("no chunk came")
    return Reading(
        choices={0: _choice(whole, whole.response_metadata.get("finish_reason"))},
        usage=_usage(whole),
        is_failed=failure is not None,
        error=read_api_error(failure) if failure else None,
    )


def _read_whole(llm: ChatOpenAI) -> Reading:
    generations: Any = llm.generate([MESSAGES]).generations[0]
    return Reading(
        choices={
            index: _choice(found.message, found.generation_info.get("finish_reason"))
            for index, found in enumerate(generations)
        },
        usage=_usage(generations[0].message),
    )


def _choice(message: AIMessage, finish: str | None) -> Choice:
    function = message.additional_kwargs.get("function_call")
    audio = message.additional_kwargs.get("audio") or {}
    calls = [(call["id"] or "", call["name"], dump(call["args"])) for call in message.tool_calls]
    calls += [
        (call["id"] or "", call["name"] or "", call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    if function:
        calls.append(("", function["name"], dump(json.loads(function["arguments"]))))
    return Choice(
        text=str(message.text),
        refusal=message.additional_kwargs.get("refusal") or "",
        calls=calls,
        finish=finish,
        audio=audio.get("transcript") or "",
        audio_data=len(audio.get("data") or ""),
    )


def dump(arguments: object) -> str:
    """Return arguments that a client has parsed, so that two of them can be compared."""
    return json.dumps(arguments, sort_keys=True)


def _usage(message: AIMessage) -> UsageRead | None:
    used = message.usage_metadata
    if used is None:
        return None
    return UsageRead(
        prompt=used["input_tokens"],
        completion=used["output_tokens"],
        cached=_detail(used.get("input_token_details"), "cache_read"),
        reasoning=_detail(used.get("output_token_details"), "reasoning"),
    )


def _detail(details: Any, name: str) -> int:
    """Return a detail, which has the service tier before its name where that is not the default."""
    return sum(count or 0 for key, count in (details or {}).items() if key.endswith(name))
