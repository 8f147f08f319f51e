"""The Lambda's time runs out in mid-answer: told, and settled, five seconds before its end."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, APIStatusError, OpenAI
from tollgate.core.encodings import load_encoding
from tollgate.core.tokens import count_text
from tollgate.web.requests import MARGIN_S

from tests.chaos.gateway import ACCOUNT, ChatGateway, serving_chat
from tests.chaos.run import read_settled
from tests.fakes.choosing_server import serving_choices
from tests.fakes.scripted_server import hang, stream
from tests.fakes.stream_faults import ROLE, chunk

LIVES_S = MARGIN_S + 4.0
MESSAGES: Any = [{"role": "user", "content": "go on"}]


async def talk_for_ever(writer: asyncio.StreamWriter) -> None:
    """Say a word now and then, and never end."""
    await stream(ROLE, *[chunk({"content": "on "})] * 3, ending="open")(writer)
    while True:
        word = chunk({"content": "and on "})
        writer.write(b"%x\r\n%b\r\n" % (len(word), word))
        await writer.drain()
        await asyncio.sleep(0.1)


@pytest.fixture
def gateway(tmp_path: Path, dynamodb_url: str) -> Iterator[ChatGateway]:
    """A function that lives for nine seconds, before a vendor that talks for ever, or hangs."""
    load_encoding("o200k_base")  # takes seconds where all is busy

    with serving_choices(lambda _, body: talk_for_ever if body.get("stream") else hang) as url:
        catalog = tmp_path / "catalog.toml"
        catalog.write_text(f"""
            [channels.c]
            base_url = "{url}"
            [models.m]
            context_tokens_max = 4000
            output_tokens_max = 1000
            price = {{ input = 100, output = 400 }}
            channels = ["c"]
        """)
        with serving_chat(dynamodb_url, catalog, lives_s=LIVES_S) as gateway:
            yield gateway


def _word(chunk: Any) -> str:
    assert chunk.choices[0].finish_reason is None
    return chunk.choices[0].delta.content or ""


def test_stream_ends_in_an_error_at_the_deadline(gateway: ChatGateway) -> None:
    """Every word until then is delivered and charged; nothing looks finished."""
    said: list[str] = []
    began = time.monotonic()
    with OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0) as client:
        chunks = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        with pytest.raises(APIError) as caught:
            said.extend(_word(one) for one in chunks)
    lasted_s = time.monotonic() - began

    assert caught.value.code == "upstream_timeout"
    assert lasted_s >= LIVES_S - MARGIN_S - 0.1
    [record] = [row for row in read_settled(gateway) if row["pk"].startswith(f"USAGE#{ACCOUNT}")]
    assert record["outcome"] == "broken"
    assert record["tokens"]["completion"] == count_text("".join(said), "o200k_base")


def test_whole_answer_is_given_up_at_the_deadline(gateway: ChatGateway) -> None:
    """504, and nothing charged."""
    client = OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0)
    with client, pytest.raises(APIStatusError) as caught:
        client.chat.completions.create(model="m", messages=MESSAGES)

    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")
    assert [row for row in read_settled(gateway) if row["pk"].startswith("USAGE#")] == []
