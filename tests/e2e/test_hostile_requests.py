"""Keys guessed and keys put where they do not belong, against the running gateway."""

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from tollgate.core.keys import key_sha256, make_key
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Key

from tests.e2e.gateway import Gateway


def ask(gateway: Gateway, address: str, *, key: str | None = None) -> httpx.Response:
    """Send a GET to an address under the base URL, as it stands."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx.get(gateway.base_url + address, headers=headers, timeout=60)


@pytest.fixture
def dead_keys(gateway: Gateway) -> dict[str, str]:
    """Keys that open nothing: malformed, unknown, expired, and one of another kind."""
    client = connect(region="us-east-1", endpoint_url=gateway.dynamodb_url)
    now, expired = datetime.now(UTC), make_key(secrets.choice)
    record = Key(
        account_id=gateway.account,
        key_id=f"key_{secrets.token_hex(4)}",
        label="test",
        status="active",
        created_at=now,
        expires_at=now - timedelta(seconds=1),
    )
    DynamoAccounts(client, gateway.table).create_key(record, key_sha256(expired))
    client.close()
    return {
        "malformed": gateway.api_key[:-1] + ("a" if gateway.api_key[-1] != "a" else "b"),
        "unknown": make_key(secrets.choice),
        "expired": expired,
        "another's": "sk-proj-" + "a" * 40,
    }


@pytest.mark.parametrize("path", ["/models", "/billing/subscription", "/billing/requests"])
def test_a_guess_learns_nothing(gateway: Gateway, dead_keys: dict[str, str], path: str) -> None:
    """Whatever is wrong with a key, the answer is the same, and does not quote it."""
    answers = [ask(gateway, path, key=key) for key in dead_keys.values()]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert len({frozenset(answer.headers) for answer in answers}) == 1


def test_a_key_in_an_address_opens_nothing_and_is_in_no_log(
    gateway: Gateway, gateway_logs: Callable[[], str]
) -> None:
    """Neither as a parameter nor as a part of the path, written plainly or in percents."""
    key = gateway.api_key
    percents = "".join(f"%{ord(char):02X}" for char in key)
    for text in (key, percents):
        assert ask(gateway, f"/models?api_key={text}&key={text}").status_code == 401
        assert ask(gateway, f"/models/{text}").status_code == 401
        assert ask(gateway, f"/models/{text}", key=key).status_code == 404
        assert ask(gateway, f"/billing/requests?after={text}", key=key).status_code == 400
        assert ask(gateway, f"/{text}", key=key).status_code == 404

    logs = gateway_logs()
    assert key not in logs
    assert percents not in logs
    assert key[10:40] not in logs


def test_a_callers_words_are_in_no_line_of_a_log(
    gateway: Gateway, gateway_logs: Callable[[], str]
) -> None:
    """CloudWatch makes a metric of a line that says it is one, and a terminal obeys escapes."""
    mark = f"evil{secrets.token_hex(8)}"
    metric = json.dumps({"_aws": {"CloudWatchMetrics": [{"Namespace": mark}]}})
    headers = {"authorization": f"Bearer {gateway.api_key}", "user-agent": metric}
    for word in (f"a\n{metric}", f"\x1b[2J{mark}", metric, f"\u2028{mark}"):
        body = {"model": "demo-echo", "messages": [{"role": "user", "content": word}], "user": word}
        for changes in ({}, {"model": word}, {word: word}, {"model": "demo-error-500"}):
            address = f"{gateway.base_url}/chat/completions"
            httpx.post(address, json=body | changes, headers=headers, timeout=60)
    httpx.get(f"{gateway.base_url}/models/a%0A%1B{mark}", headers=headers, timeout=60)
    gateway.wait_until_settled()

    logs = gateway_logs()
    found = [line for line in logs.splitlines() if mark in line]
    assert all(f" GET /v1/models/a%0A%1B{mark} 404 " in line for line in found)
    assert "\x1b" not in logs


def test_no_answer_invites_a_page_with_cookies(gateway: Gateway) -> None:
    """Any page may call with a key that it has; none may use what a browser keeps."""
    headers = {"origin": "https://evil.example", "authorization": f"Bearer {gateway.api_key}"}
    for method in ("GET", "OPTIONS", "DELETE"):
        answer = httpx.request(method, f"{gateway.base_url}/models", headers=headers, timeout=60)

        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert answer.headers.get("content-type", "application/json") == "application/json"
