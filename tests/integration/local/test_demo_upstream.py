"""The demo upstream, through OpenAI's own client over a socket."""

import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from local.demo_upstream import make_demo_app
from local.serving import serving

HELLO = [{"role": "user", "content": "good evening to you"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(make_demo_app(chunks_per_s=0), listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@pytest.fixture
async def client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    http = httpx.AsyncClient(trust_env=False)
    async with openai.AsyncOpenAI(
        base_url=url, api_key="none", max_retries=0, http_client=http, timeout=30
    ) as client:
        yield client


async def ask(client: openai.AsyncOpenAI, model: str, **body: Any) -> Any:
    return await client.chat.completions.create(model=model, **{"messages": HELLO, **body})


async def stream(client: openai.AsyncOpenAI, model: str, **body: Any) -> list[Any]:
    return [chunk async for chunk in await ask(client, model, stream=True, **body)]


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


async def test_echo_repeats_and_counts_words(client: openai.AsyncOpenAI) -> None:
    """A word is a token; a message costs three."""
    answer = await ask(client, "demo-echo")

    assert answer.choices[0].message.content == "good evening to you"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 4)


async def test_stream_is_a_chunk_a_word_with_usage_at_the_end(client: openai.AsyncOpenAI) -> None:
    """Role first, then words, the finish, and a last chunk without choices."""
    chunks = await stream(client, "demo-echo", stream_options={"include_usage": True})

    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].delta.content for c in chunks[1:5]] == ["good ", "evening ", "to ", "you"]
    assert chunks[5].choices[0].finish_reason == "stop"
    assert (chunks[6].choices, chunks[6].usage.completion_tokens) == ([], 4)
    assert [chunk.usage for chunk in chunks[:6]] == [None] * 6


async def test_other_models_tell_a_story_when_asked(client: openai.AsyncOpenAI) -> None:
    """The default catalog's names are answered too."""
    story = [{"role": "user", "content": "Tell me a story"}]

    told = await ask(client, "gpt-4o", messages=story)
    echoed = await ask(client, "gpt-4o")

    assert told.choices[0].message.content.startswith("Once there was")
    assert echoed.choices[0].message.content == "good evening to you"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_output_limit_ends_with_length(client: openai.AsyncOpenAI, name: str) -> None:
    """The limit is in words; usage counts what was sent."""
    answer = await ask(client, "demo-echo", **{name: 2})

    assert answer.choices[0].message.content == "good evening "
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2


@pytest.mark.parametrize("stop", [" to", [" to", "x"]])
async def test_stop_ends_before_itself(client: openai.AsyncOpenAI, stop: object) -> None:
    """One sequence or several."""
    answer = await ask(client, "demo-echo", stop=stop)

    assert answer.choices[0].message.content == "good evening"


async def test_choices_and_logprobs(client: openai.AsyncOpenAI) -> None:
    """`n` answers, each with a log probability a word; usage counts them all."""
    answer = await ask(client, "demo-echo", n=2, logprobs=True)
    chunks = await stream(client, "demo-echo", n=2, logprobs=True)

    assert [choice.index for choice in answer.choices] == [0, 1]
    assert [entry.token for entry in answer.choices[1].logprobs.content][-1] == "you"
    assert answer.usage.completion_tokens == 8
    assert {chunk.choices[0].index for chunk in chunks} == {0, 1}


async def test_tools_are_called_then_answered(client: openai.AsyncOpenAI) -> None:
    """Two given tools are two calls, whole or in pieces; with a result in hand it talks."""
    other = json.loads(json.dumps(TOOL).replace("weather", "time"))
    answer = await ask(client, "demo-tools", tools=[TOOL, other])
    chunks = await stream(client, "demo-tools", tools=[TOOL, other])
    message = answer.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}
    after = await ask(
        client, "demo-tools", tools=[TOOL], messages=[*HELLO, message.to_dict(), result]
    )

    arguments: dict[int, str] = {}
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or []:
            arguments[call.index] = arguments.get(call.index, "") + call.function.arguments
    assert [call.function.name for call in message.tool_calls] == ["weather", "time"]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert {index: json.loads(text) for index, text in arguments.items()} == {
        0: {"city": "demo"},
        1: {"city": "demo"},
    }
    assert after.choices[0].message.content == "good evening to you"


async def test_think_reasons_first(client: openai.AsyncOpenAI) -> None:
    """Reasoning has a field and a count of its own."""
    answer = await ask(client, "demo-think")
    chunks = await stream(client, "demo-think")
    fields = [next(iter(c.choices[0].delta.to_dict()), None) for c in chunks[1:-1]]

    assert answer.choices[0].message.reasoning_content.startswith("Let me think")
    assert answer.usage.completion_tokens_details.reasoning_tokens == 8
    assert answer.usage.completion_tokens == 8 + 4
    assert fields == ["reasoning_content"] * 8 + ["content"] * 4


async def test_structured_output_is_by_schema(client: openai.AsyncOpenAI) -> None:
    """The text parses to an instance."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}

    answer = await ask(client, "demo-echo", response_format=wanted)

    assert json.loads(answer.choices[0].message.content) == {"n": 42}


async def test_audio_comes_where_it_is_asked_for(client: openai.AsyncOpenAI) -> None:
    """Sound and its transcript, whole and in pieces, in place of text."""
    body = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}
    answer = await ask(client, "demo-echo", **body)
    chunks = await stream(client, "demo-echo", **body)

    assert answer.choices[0].message.content is None
    assert answer.choices[0].message.audio.transcript == "good evening to you"
    assert chunks[1].choices[0].delta.audio.transcript == "good "


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("demo-error-400", openai.BadRequestError),
        ("demo-error-401", openai.AuthenticationError),
        ("demo-error-429", openai.RateLimitError),
        ("demo-error-500", openai.InternalServerError),
    ],
)
async def test_refusals(
    client: openai.AsyncOpenAI, model: str, error: type[openai.APIStatusError]
) -> None:
    """Each status in OpenAI's form, before any output."""
    with pytest.raises(error) as caught:
        await stream(client, model)

    assert caught.value.body is not None
    assert ("retry-after" in caught.value.response.headers) == (model == "demo-error-429")


async def test_error_in_mid_stream(client: openai.AsyncOpenAI) -> None:
    """The client raises it after the first words."""
    with pytest.raises(openai.APIError, match="The demo had an error"):
        await stream(client, "demo-error-midstream")


async def test_break_closes_in_mid_stream(client: openai.AsyncOpenAI) -> None:
    """The connection ends without the end of the body."""
    with pytest.raises(openai.APIConnectionError):
        await stream(client, "demo-break")


async def test_hang_never_answers(client: openai.AsyncOpenAI) -> None:
    """Not even a status comes."""
    with pytest.raises(openai.APITimeoutError):
        await ask(client.with_options(timeout=0.5), "demo-hang", stream=True)


async def test_stall_falls_silent_after_its_first_words(client: openai.AsyncOpenAI) -> None:
    """The connection stays open and nothing more comes."""
    answer = await ask(client.with_options(timeout=0.5), "demo-stall", stream=True)
    first = [await anext(answer) for _ in range(3)]

    with pytest.raises(openai.APITimeoutError):
        await anext(answer)
    assert text_of(first) == "good evening "


@pytest.mark.parametrize(
    ("model", "places"),
    [
        ("demo-usage-none", []),
        ("demo-usage-every-chunk", [0, 1, 2, 3, 4, 5]),
        ("demo-usage-in-finish", [5]),
        ("demo-echo", [6]),
        ("demo-crlf", [6]),
        ("demo-no-done", [6]),
    ],
)
async def test_usage_is_where_the_model_puts_it(
    client: openai.AsyncOpenAI, model: str, places: list[int]
) -> None:
    """Vendors differ; the text is the same."""
    chunks = await stream(client, model, stream_options={"include_usage": True})

    assert [place for place, chunk in enumerate(chunks) if chunk.usage] == places
    assert text_of(chunks) == "good evening to you"


@pytest.mark.parametrize(
    ("model", "end"),
    [
        ("demo-echo", b"\n\ndata: [DONE]\n\n"),
        ("demo-crlf", b"}\r\n\r\ndata: [DONE]\r\n\r\n"),
        ("demo-no-done", b"}\n\n"),
    ],
)
async def test_framing(url: str, model: str, end: bytes) -> None:
    """Line ends, and whether the end is said."""
    async with httpx.AsyncClient(trust_env=False) as http:
        body = {"model": model, "messages": HELLO, "stream": True}
        found = await http.post(f"{url}/chat/completions", json=body)

    assert found.content.endswith(end)


async def test_wrong_usage_ignores_the_limit(client: openai.AsyncOpenAI) -> None:
    """More words than allowed, and a thousand times as many in the usage."""
    answer = await ask(client, "demo-usage-wrong", max_tokens=1)

    assert answer.choices[0].message.content == "good evening to you"
    assert answer.usage.completion_tokens == 4000
