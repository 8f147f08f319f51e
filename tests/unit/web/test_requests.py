"""Bodies and deadlines."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from tollgate.errors import InvalidRequestError, RequestTooLargeError
from tollgate.web.requests import (
    KEEPALIVE_HEADER,
    MARGIN_S,
    SETTLE_S,
    SILENCE_S_MAX,
    find_budget_s,
    find_request_time,
    find_send_s,
    read_body,
    read_json,
    wants_padding,
)


def request(*pieces: bytes, **headers: str) -> Request:
    left = list(pieces)

    async def receive() -> Any:
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw}, receive)


async def test_body_in_pieces() -> None:
    """However it comes, it is one object."""
    assert await read_json(request(b'{"a"', b": 1", b"}"), 100) == {"a": 1}


async def test_limit_is_exact() -> None:
    """As many bytes as allowed, and not one more."""
    assert await read_json(request(b'{"a":1}'), 7) == {"a": 1}
    with pytest.raises(RequestTooLargeError):
        await read_json(request(b'{"a"', b":12}"), 7)


async def test_body_in_one_piece_is_not_copied() -> None:
    """As Lambda's comes: megabytes of files stay where they are."""
    body = b"x" * 1000

    assert await read_body(request(body), 1000) is body
    assert await read_body(request(b"x", b"y"), 1000) == b"xy"
    assert await read_body(request(b""), 1000) == b""


def test_padding_is_asked_for_by_its_name() -> None:
    """Absent, asked for, and anything else, which is 400."""
    assert not wants_padding(request(b""))
    assert wants_padding(request(b"", x_tollgate_keepalive="whitespace"))
    with pytest.raises(InvalidRequestError) as caught:
        wants_padding(request(b"", x_tollgate_keepalive="yes"))
    assert caught.value.param == KEEPALIVE_HEADER


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b'{"a": NaN}', b"[" * 99_999])
async def test_what_is_no_object(body: bytes) -> None:
    """One message for all, that does not quote the body."""
    with pytest.raises(InvalidRequestError, match="could not parse"):
        await read_json(request(body), 100_000)


def test_budget_is_lambdas_time_less_a_margin() -> None:
    """What the Lambda has left, minus what the end of a stream needs."""
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)

    left_s = find_budget_s({"aws.context": context}, is_silent=False)()

    assert 60 - MARGIN_S - 1 < left_s <= 60 - MARGIN_S
    assert find_budget_s({}, is_silent=False)() > 600


def test_silent_answers_end_before_api_gateway_cuts_them() -> None:
    """Whatever the Lambda has left, a line without a byte is not waited on for 300 seconds."""
    long = SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000)
    short = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)

    assert find_budget_s({"aws.context": long}, is_silent=True)() <= SILENCE_S_MAX < 300
    assert find_budget_s({"aws.context": short}, is_silent=True)() <= 60 - MARGIN_S


def test_sending_ends_after_the_upstream_and_before_the_ledger() -> None:
    """Whatever the silent limit: an answer may take the Lambda's time to be read."""
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000)

    assert find_send_s({"aws.context": context}) == 900 - SETTLE_S
    assert find_send_s({}) > 600
    assert 0 < SETTLE_S < MARGIN_S


def test_time_of_a_request_is_api_gateways() -> None:
    """Two runs of one invocation, on clocks that differ, have one time."""
    event = {"requestContext": {"requestTimeEpoch": 1_795_521_600_123}}

    found = [
        find_request_time({"aws.event": event}, datetime(2026, 11, day, tzinfo=UTC))
        for day in (1, 24)
    ]

    assert found == [datetime(2026, 11, 24, 12, 0, 0, 123_000, tzinfo=UTC)] * 2


@pytest.mark.parametrize(
    "scope", [{}, {"aws.event": {}}, {"aws.event": {"requestContext": {"requestTimeEpoch": "x"}}}]
)
def test_request_without_a_time_came_now(scope: dict[str, Any]) -> None:
    """Outside of API Gateway the own clock has to do."""
    now = datetime(2026, 11, 24, tzinfo=UTC)

    assert find_request_time(scope, now) == now
