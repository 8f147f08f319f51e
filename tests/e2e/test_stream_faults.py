"""An upstream that fails in mid-answer: an error for the client, and what was sent on the bill."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import APIError, APIStatusError, OpenAI
from tollgate.core.tokens import count_text

from tests.e2e.conftest import link_database, run_gateway
from tests.e2e.gateway import Gateway, Money
from tests.fakes.choosing_server import serving_choices
from tests.fakes.scripted_server import Script
from tests.fakes.stream_faults import (
    BROKEN_STREAMS,
    FAILED_ANSWERS,
    FAILED_STREAMS,
    SOUND_ANSWERS,
    SOUND_STREAMS,
    WORDS,
)

MESSAGES: Any = [{"role": "user", "content": "count to three"}]
TEXT = "".join(WORDS)
GROUPS = {
    "broken": BROKEN_STREAMS,
    "failed": FAILED_STREAMS,
    "sound": SOUND_STREAMS,
    "plain-failed": FAILED_ANSWERS,
    "plain-sound": SOUND_ANSWERS,
}
SCRIPTS: dict[str, Script] = {
    f"{group}-{name}".replace(" ", "_").replace(",", ""): script
    for group, scripts in GROUPS.items()
    for name, script in scripts.items()
}


def names(group: str) -> list[str]:
    return [f"{group}-{name}".replace(" ", "_").replace(",", "") for name in GROUPS[group]]


def describe(name: str, url: str) -> str:
    """Return a channel and a model of it; only what stalls is waited for briefly."""
    silence_s = 0.7 if "stalled" in name else 30
    return f"""
[channels."{name}"]
base_url = "{url}/{name}"
timeouts = {{ first_byte_s = {silence_s}, between_bytes_s = {silence_s}, total_s = 60 }}
[models."{name}"]
context_tokens_max = 100000
output_tokens_max = 16384
price = {{ input = 100, output = 400 }}
channels = ["{name}"]
"""


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = link_database(tmp_path_factory.mktemp("faults"))
    with serving_choices(lambda path, _: SCRIPTS[path.split("/")[1]]) as url:
        catalog = home / "faults.toml"
        catalog.write_text("".join(describe(name, url) for name in SCRIPTS))
        with run_gateway(home, "--catalog", str(catalog)) as gateway:
            yield gateway


@pytest.fixture
def faulty(running: Gateway) -> Gateway:
    running.wait_until_settled()
    return running


def stream(gateway: Gateway, model: str) -> Iterator[Any]:
    client = OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0)
    with client:
        yield from client.chat.completions.create(model=model, messages=MESSAGES, stream=True)


def post(gateway: Gateway, model: str, **fields: Any) -> httpx.Response:
    return httpx.post(
        f"{gateway.base_url}/chat/completions",
        headers={"authorization": f"Bearer {gateway.api_key}"},
        json={"model": model, "messages": MESSAGES, **fields},
        timeout=60,
        trust_env=False,
    )


def charged(money: Money) -> list[tuple[str, int]]:
    """Return outcome and completion tokens of each new record; their sum is what was lost."""
    records = money.new_records()
    assert money.lost == sum(record.quota for record in records)
    return [(record.outcome, record.tokens["completion"]) for record in records]


@pytest.mark.parametrize("model", names("broken"))
def test_broken_stream(faulty: Gateway, model: str) -> None:
    """The client raises; nothing looks finished, and what was sent is charged, once a request."""
    said: list[str] = []
    with faulty.watch() as money:
        with pytest.raises(APIError) as caught:
            said.extend(chunk.choices[0].delta.content or "" for chunk in stream(faulty, model))
        answer = post(faulty, f"{model}-official", stream=True)

    assert "".join(said) == TEXT
    assert caught.value.code in {"upstream_error", "upstream_timeout", "overloaded"}
    *events, last = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line]
    assert answer.status_code == 200
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert {event["choices"][0]["finish_reason"] for event in events} == {None}
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == TEXT
    assert charged(money) == [("broken", count_text(TEXT, "o200k_base"))] * 2


@pytest.mark.parametrize("model", names("failed"))
def test_stream_that_fails_before_its_first_word(faulty: Gateway, model: str) -> None:
    """An error with its status, in OpenAI's form, and nothing charged."""
    with faulty.watch() as money, pytest.raises(APIStatusError) as caught:
        list(stream(faulty, model))

    is_slow = "stalled" in model
    assert caught.value.status_code == (504 if is_slow else 502)
    assert caught.value.code == ("upstream_timeout" if is_slow else "upstream_error")
    assert charged(money) == []


@pytest.mark.parametrize("model", names("plain-failed"))
def test_whole_answer_that_fails(faulty: Gateway, model: str) -> None:
    """An error with its status, in OpenAI's form, and nothing charged."""
    client = OpenAI(base_url=faulty.base_url, api_key=faulty.api_key, max_retries=0)
    with faulty.watch() as money, client, pytest.raises(APIStatusError) as caught:
        client.chat.completions.create(model=model, messages=MESSAGES)

    is_slow = "stalled" in model
    assert caught.value.status_code == (504 if is_slow else 502)
    assert caught.value.code == ("upstream_timeout" if is_slow else "upstream_error")
    assert charged(money) == []


@pytest.mark.parametrize("model", names("sound"))
def test_odd_stream_is_whole(faulty: Gateway, model: str) -> None:
    """What has finished is complete, whatever comes of the line behind it."""
    with faulty.watch() as money:
        chunks = list(stream(faulty, model))
        answer = post(faulty, model, stream=True)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert answer.text.endswith("data: [DONE]\n\n")
    assert answer.headers["x-tollgate-channel"] == model
    assert charged(money) == [("complete", count_text(TEXT, "o200k_base"))] * 2


@pytest.mark.parametrize("model", names("plain-sound"))
def test_odd_answer_is_whole(faulty: Gateway, model: str) -> None:
    """Whatever its content type or encoding, a whole answer is one."""
    with faulty.watch() as money:
        answer = post(faulty, model)

    assert answer.json()["choices"][0]["message"]["content"] == TEXT
    assert answer.headers["x-tollgate-channel"] == model
    assert charged(money) == [("complete", count_text(TEXT, "o200k_base"))]
