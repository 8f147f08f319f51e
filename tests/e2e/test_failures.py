"""Each failure of the error table through the official client, and the balance after it."""

import json
import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from openai import APIError, APIStatusError, OpenAI

from tests.e2e.conftest import Fragile
from tests.e2e.gateway import Gateway, micropoints

MESSAGES: Any = [{"role": "user", "content": "the quick brown fox"}]


@pytest.fixture
def client(gateway: Gateway) -> OpenAI:
    return OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0)


def refusal(call: Callable[[], object]) -> tuple[int, str | None, str | None]:
    """Return status, type and code of the error that `call` ends in."""
    with pytest.raises(APIStatusError) as caught:
        call()
    body: Any = caught.value.body
    assert set(body) == {"message", "type", "param", "code"}
    assert caught.value.response.headers["x-request-id"]
    return caught.value.status_code, body["type"], body["code"]


def chat(client: OpenAI, model: str, **params: Any) -> object:
    return client.chat.completions.create(model=model, messages=MESSAGES, **params)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("no-such-model", (404, "invalid_request_error", "model_not_found")),
        ("demo-error-429", (429, "rate_limit_error", "rate_limit_exceeded")),
        ("demo-error-401", (502, "server_error", "upstream_error")),
        ("demo-error-500", (502, "server_error", "upstream_error")),
    ],
)
def test_refused_requests_cost_nothing(
    gateway: Gateway,
    client: OpenAI,
    model: str,
    expected: tuple[int, str, str],
    *,
    is_stream: bool,
) -> None:
    """Before any output an error has its status, whole or streamed, and nothing is charged."""
    with gateway.watch() as money:
        assert expected == refusal(lambda: chat(client, model, stream=is_stream))

    assert money.lost == 0


def test_upstreams_own_refusal_keeps_its_words(gateway: Gateway, client: OpenAI) -> None:
    """A 400 of the upstream's about the request reaches the caller as it was said."""
    with gateway.watch() as money, pytest.raises(APIStatusError) as caught:
        chat(client, "demo-error-400")

    assert caught.value.status_code == 400
    assert money.lost == 0


@pytest.mark.parametrize("key", ["sk-tg-wrong", "sk-" + "a" * 48, "nonsense"])
def test_wrong_key(gateway: Gateway, key: str) -> None:
    """A key that is none is refused; the answer does not repeat it."""
    client = OpenAI(base_url=gateway.base_url, api_key=key, max_retries=0)

    with pytest.raises(APIStatusError) as caught:
        chat(client, "demo-echo")

    assert caught.value.status_code == 401
    assert caught.value.code == "invalid_api_key"
    assert key not in caught.value.response.text


def post(
    gateway: Gateway,
    body: bytes,
    *,
    path: str = "/chat/completions",
    method: str = "POST",
    authorization: str | None = None,
) -> tuple[int, dict[str, Any]]:
    """Return status and JSON body of a raw request."""
    if authorization is None:
        authorization = f"Bearer {gateway.api_key}"
    headers = {"authorization": authorization, "content-type": "application/json"}
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{gateway.base_url}{path}", body, headers, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"model": "demo-echo"}',
        b'{"model": 5, "messages": []}',
        b'{"model": "demo-echo", "messages": "hi"}',
        b'{"model": "demo-echo", "messages": [{"role": "user"}], "n": 0}',
        b'{"model": "demo-echo", "messages": [{"role": "user"}], "stream": "yes"}',
        b'{"model": "demo-echo", "messages": [{"role": "user"}], "max_tokens": NaN}',
        b"[" * 100_000,
        b'\xff\xfe{"model": "demo-echo"}',
    ],
)
def test_bad_bodies_are_400(gateway: Gateway, body: bytes) -> None:
    """Bad JSON, wrong types and missing fields are 400 in OpenAI's form, never 422 or 500."""
    status, answer = post(gateway, body)

    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"


def test_no_key(gateway: Gateway) -> None:
    """Without a key the code is null."""
    status, answer = post(gateway, b"{}", authorization="")

    assert (status, answer["error"]["code"]) == (401, None)


def test_oversized_body(gateway: Gateway) -> None:
    """More than Lambda takes is 413, and nothing is charged."""
    body = json.dumps(
        {"model": "demo-echo", "messages": [{"role": "user", "content": "x" * 7_000_000}]}
    )

    with gateway.watch() as money:
        status, answer = post(gateway, body.encode())

    assert (status, answer["error"]["code"]) == (413, "request_too_large")
    assert money.lost == 0


def test_prompt_beyond_the_context(gateway: Gateway, client: OpenAI) -> None:
    """A prompt that the model cannot hold is refused before anything is held or called."""
    messages: Any = [{"role": "user", "content": "word " * 400_000}]

    with gateway.watch() as money:
        found = refusal(
            lambda: client.chat.completions.create(model="demo-echo", messages=messages)
        )

    assert found == (400, "invalid_request_error", "context_length_exceeded")
    assert money.lost == 0


@pytest.mark.parametrize("model", ["demo-break", "demo-stall", "demo-error-midstream"])
def test_what_was_sent_of_a_broken_stream_is_charged(
    gateway: Gateway, client: OpenAI, model: str
) -> None:
    """A stream that breaks off ends in an error, and costs what had been sent."""
    chunks: list[Any] = []
    with gateway.watch() as money, pytest.raises(APIError):
        chunks.extend(chat(client, model, stream=True))  # type: ignore[arg-type]

    assert money.lost > 0


def test_broken_stream_shows_its_charge_in_the_record(gateway: Gateway, client: OpenAI) -> None:
    """The record of a broken stream says so, and its quota is what the account lost."""
    chunks: list[Any] = []
    with gateway.watch() as money, suppress(APIError):
        chunks.extend(chat(client, "demo-break", stream=True))  # type: ignore[arg-type]

    [record] = [entry for entry in money.new_records() if entry.outcome == "broken"]
    assert record.quota == money.lost > 0


def test_hung_upstream_times_out(gateway: Gateway, client: OpenAI) -> None:
    """An upstream that never answers is 504, and nothing is charged."""
    with gateway.watch() as money:
        assert refusal(lambda: chat(client, "demo-hang")) == (
            504,
            "server_error",
            "upstream_timeout",
        )

    assert money.lost == 0


def test_whole_chat_answer_is_kept_alive_on_request(keepalive_gateway: Gateway) -> None:
    """Spaces before the JSON; the failure then comes under 200, and costs nothing all the same."""
    client = OpenAI(
        base_url=keepalive_gateway.base_url, api_key=keepalive_gateway.api_key, max_retries=0
    )

    with keepalive_gateway.watch() as money:
        raw = client.chat.completions.with_raw_response.create(
            model="demo-hang",
            messages=MESSAGES,
            extra_headers={"x-tollgate-keepalive": "whitespace"},
        )

    assert raw.status_code == 200
    assert raw.text.startswith("  ")
    assert json.loads(raw.text)["error"]["code"] == "upstream_timeout"
    assert money.lost == 0


def test_empty_balance_is_not_retried(poor_gateway: Gateway) -> None:
    """An account that cannot pay gets 429 with x-should-retry: false and keeps its balance."""
    client = OpenAI(base_url=poor_gateway.base_url, api_key=poor_gateway.api_key, max_retries=2)

    with poor_gateway.watch() as money, pytest.raises(APIStatusError) as caught:
        chat(client, "demo-echo")

    assert caught.value.status_code == 429
    assert caught.value.code == "insufficient_quota"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert money.lost == 0


def test_small_balance_lowers_the_output_limit(modest_gateway: Gateway) -> None:
    """A balance that pays for some output gets that much, says so, and is never below zero."""
    client = OpenAI(base_url=modest_gateway.base_url, api_key=modest_gateway.api_key, max_retries=0)

    with modest_gateway.watch() as money:
        raw = client.chat.completions.with_raw_response.create(
            model="demo-story", messages=MESSAGES, max_tokens=4000
        )
    answer = raw.parse()

    limit = int(raw.headers["x-tollgate-output-limit"])
    assert 16 <= limit < 4000
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= limit
    assert micropoints(answer.to_dict()["quota"]) == money.lost  # type: ignore[arg-type]
    assert money.after["balance"] >= 0


def test_upstream_that_ignores_the_limit_cannot_overdraw(modest_gateway: Gateway) -> None:
    """More usage than the balance pays for is capped at the balance; record and quota agree."""
    client = OpenAI(base_url=modest_gateway.base_url, api_key=modest_gateway.api_key, max_retries=0)

    with modest_gateway.watch() as money:
        answer = client.chat.completions.create(
            model="demo-usage-wrong", messages=MESSAGES, max_tokens=20
        )

    assert micropoints(answer.to_dict()["quota"]) == money.lost  # type: ignore[arg-type]
    assert money.record(answer.id).quota == money.lost
    assert money.after["balance"] >= 0


@pytest.mark.parametrize(
    "model",
    [
        "demo-usage-none",
        "demo-usage-every-chunk",
        "demo-usage-in-finish",
        "demo-no-done",
        "demo-crlf",
    ],
)
def test_odd_usage_is_still_one_number(gateway: Gateway, client: OpenAI, model: str) -> None:
    """Wherever the upstream puts its usage, or none, the last quota is what the account lost."""
    with gateway.watch() as money:
        chunks: Any = [chunk.to_dict() for chunk in chat(client, model, stream=True)]  # type: ignore[attr-defined]

    assert micropoints(chunks[-1]["quota"]) == money.lost > 0
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_stopped_ledger(fragile: Fragile) -> None:
    """With the database gone each request is 503, in OpenAI's form, in bounded time."""
    gateway = fragile.gateway
    client = OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0)
    fragile.signal_database("KILL")

    for is_stream in (False, True):
        found = refusal(lambda stream=is_stream: chat(client, "demo-echo", stream=stream))
        assert found == (503, "server_error", "ledger_unavailable")


def test_ledger_that_hangs_in_mid_stream(fragile: Fragile) -> None:
    """The answer is completed while the database hangs, and charged exactly when it is back."""
    gateway = fragile.gateway
    client = OpenAI(base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0)
    chunks: list[dict[str, Any]] = []

    with gateway.watch() as money:
        for chunk in client.chat.completions.create(
            model="demo-story", messages=MESSAGES, stream=True, max_tokens=30
        ):
            if len(chunks) == 5:
                fragile.signal_database("STOP")
            if chunk.choices and chunk.choices[0].finish_reason:
                fragile.signal_database("CONT")
            chunks.append(chunk.to_dict())

    assert micropoints(chunks[-1]["quota"]) == money.lost > 0  # type: ignore[arg-type]
    [record] = money.new_records()
    assert (record.quota, record.outcome) == (money.lost, "complete")


def test_dead_upstream(dead_gateway: Gateway) -> None:
    """Nothing listens at the upstream's address: 502, and nothing is charged."""
    client = OpenAI(base_url=dead_gateway.base_url, api_key=dead_gateway.api_key, max_retries=0)

    with dead_gateway.watch() as money:
        for is_stream in (False, True):
            found = refusal(lambda stream=is_stream: chat(client, "dead", stream=stream))
            assert found == (502, "server_error", "upstream_error")

    assert money.lost == 0


def test_parallel_streams_of_one_account_add_up(gateway: Gateway, client: OpenAI) -> None:
    """Twelve at once: what they said is what was recorded and what the account lost."""

    def stream(_: int) -> int:
        last = list(chat(client, "demo-story", stream=True, max_tokens=10))[-1]  # type: ignore[call-overload]
        return micropoints(last.to_dict()["quota"])

    with gateway.watch() as money, ThreadPoolExecutor(12) as pool:
        quotas = list(pool.map(stream, range(12)))

    assert sum(quotas) == money.lost == sum(record.quota for record in money.new_records())
    assert len(money.new_records()) == 12


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/chat/completions", 405), ("POST", "/nothing", 404)]
)
def test_unknown_route_and_wrong_method(
    gateway: Gateway, method: str, path: str, status: int
) -> None:
    """What does not exist is 404, what is not allowed 405, both in OpenAI's form."""
    found = post(gateway, b"", path=path, method=method)

    assert (found[0], found[1]["error"]["type"]) == (status, "invalid_request_error")


def metric_sums(logs: str, function: str, model: str) -> Counter[str]:
    """Return the sums of the figures in the lines that CloudWatch would make metrics of."""
    sums: Counter[str] = Counter()
    for line in logs.splitlines():
        fields = json.loads(line) if line.startswith('{"_aws"') else {}
        if (fields.get("Function"), fields.get("model")) == (function, model):
            sums.update({name: one for name, one in fields.items() if isinstance(one, int | float)})
    return sums


def test_no_log_has_a_key_or_a_prompt(
    gateway: Gateway, client: OpenAI, gateway_logs: Callable[[], str]
) -> None:
    """After all kinds of requests the logs have neither key nor prompt nor answer."""
    secret = "xylophone-zeppelin quagmire-and-a-half of words"
    for model in ("demo-echo", "demo-error-400", "demo-break", "demo-stall"):
        with suppress(APIError):
            list(
                client.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": secret}], stream=True
                )
            )
    gateway.wait_until_settled()

    logs = gateway_logs()
    assert "charged" in logs
    assert metric_sums(logs, "chat", "demo-echo")["Requests"] >= 1
    assert metric_sums(logs, "chat", "demo-echo")["Quota"] > 0
    assert "zeppelin" not in logs
    assert gateway.api_key not in logs
    assert not re.search(r"sk-tg-[A-Za-z0-9]{20}", logs)
