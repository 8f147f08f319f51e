"""Addresses, headers and bodies for each kind of channel."""

import json
from typing import Any

import pytest
from tollgate.core.catalog import Channel, Route
from tollgate.upstream.vendor_requests import ChatCall, VendorRequest, make_request

from tests.fakes.models import make_model

ROUTE = Route(channel="c", upstream_model="my deployment/1")


def make(
    channel: Channel,
    body: dict[str, object] | None = None,
    *,
    output_limit: int | None = None,
    is_stream: bool = False,
    key: str | None = "sk-1",
) -> VendorRequest:
    call = ChatCall(
        model=make_model(ROUTE),
        body=body or {},
        output_limit=output_limit,
        is_stream=is_stream,
        budget_s=lambda: 1.0,
    )
    return make_request(call, channel=channel, route=ROUTE, key=key)


def openai(**fields: Any) -> Channel:
    return Channel(name="c", base_url="https://vendor.example/v1/", **fields)


def azure(version: str | None) -> Channel:
    return Channel(name="c", kind="azure", base_url="https://res.example/", api_version=version)


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (openai(), "https://vendor.example/v1/chat/completions"),
        (azure(None), "https://res.example/openai/v1/chat/completions"),
        (azure("v1"), "https://res.example/openai/v1/chat/completions"),
        (
            azure("2024-10-21"),
            (
                "https://res.example/openai/deployments/my%20deployment%2F1/chat/completions"
                "?api-version=2024-10-21"
            ),
        ),
    ],
)
def test_address(channel: Channel, expected: str) -> None:
    """OpenAI's path, Azure's with a date, Azure's without."""
    assert expected == make(channel).url


def test_credentials() -> None:
    """A bearer token for OpenAI's kind, `api-key` for Azure's, nothing without a key."""
    assert make(openai()).headers["authorization"] == "Bearer sk-1"
    assert make(azure(None)).headers["api-key"] == "sk-1"
    assert "authorization" not in make(azure(None)).headers
    assert "authorization" not in make(openai(), key=None).headers


def test_channels_own_headers() -> None:
    """A channel's headers replace ours, but not the key."""
    headers = {"HTTP-Referer": "us", "Accept": "x", "Authorization": "Bearer stale"}
    made = make(openai(headers=headers)).headers

    assert (
        made["http-referer"],
        made["accept"],
        made["authorization"],
    ) == ("us", "x", "Bearer sk-1")


def test_key_is_not_in_the_repr() -> None:
    """A printed request shows no header."""
    assert "sk-1" not in repr(make(openai()))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, {"include_usage": True}),
        ({"include_usage": False, "x": 1}, {"include_usage": True, "x": 1}),
        ("nonsense", {"include_usage": True}),
    ],
)
def test_streams_always_report_usage(options: object, expected: object) -> None:
    """Usage is asked for whatever the caller said, and the other options stay."""
    body = json.loads(make(openai(), {"stream_options": options}, is_stream=True).content)

    assert (True, expected) == (body["stream"], body["stream_options"])


def test_channel_that_does_not_know_stream_options_gets_none() -> None:
    """Neither ours nor the caller's; the stream is asked for all the same."""
    for asked in ({}, {"stream_options": {"include_usage": True}}):
        made = make(openai(has_stream_options=False), asked, is_stream=True)
        body = json.loads(made.content)

        assert (body["stream"], "stream_options" in body) == (True, False)
        assert made.own_fields == frozenset()


@pytest.mark.parametrize(
    ("body", "limit", "expected"),
    [
        ({}, None, {"stream_options"}),
        ({"stream_options": None}, 9, {"stream_options", "max_tokens"}),
        ({"stream_options": {}, "max_tokens": 50}, 9, {"max_tokens"}),
        ({"stream_options": {}, "max_tokens": 50}, 50, set()),
        ({"stream_options": {}, "max_tokens": 50}, None, set()),
        ({"stream_options": {}, "max_completion_tokens": 50}, None, set()),
        ({"stream_options": {}, "max_completion_tokens": 50}, 9, {"max_tokens"}),
    ],
)
def test_fields_that_the_caller_did_not_ask_for_are_ours(
    body: dict[str, object], limit: int | None, expected: set[str]
) -> None:
    """A vendor that refuses one of them refuses us; the caller's own limit is the caller's."""
    assert make(openai(), body, output_limit=limit, is_stream=True).own_fields == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [({"max_tokens": 50}, set()), ({"max_completion_tokens": 50}, {"max_tokens"})],
)
def test_name_of_the_limits_field_is_ours(body: dict[str, object], expected: set[str]) -> None:
    """Where the caller's value went into another field, the channel's."""
    assert make(openai(), body).own_names == expected


def test_whole_answers_are_asked_for_as_the_caller_did() -> None:
    """Nothing but the model is changed, and fields that we do not know are kept."""
    asked = {"model": "story", "stream": False, "x": [1], "max_tokens": 5}

    assert asked | {"model": ROUTE.upstream_model} == json.loads(make(openai(), asked).content)
    assert asked["model"] == "story"


@pytest.mark.parametrize(
    ("body", "field", "limit", "expected"),
    [
        ({}, "max_tokens", 9, {"max_tokens": 9}),
        ({}, "max_completion_tokens", 9, {"max_completion_tokens": 9}),
        ({"max_tokens": 50}, "max_completion_tokens", 9, {"max_completion_tokens": 9}),
        ({"max_completion_tokens": None}, "max_tokens", 9, {"max_tokens": 9}),
        ({"max_tokens": 50, "max_completion_tokens": 60}, "max_tokens", 9, {"max_tokens": 9}),
        ({}, "max_tokens", None, {}),
        ({"max_tokens": None}, "max_tokens", None, {}),
        ({"max_completion_tokens": 1}, "max_tokens", None, {"max_tokens": 1}),
        ({"max_tokens": 1, "max_completion_tokens": 60}, "max_tokens", None, {"max_tokens": 1}),
        (
            {"max_tokens": 60, "max_completion_tokens": 1},
            "max_completion_tokens",
            None,
            {"max_completion_tokens": 1},
        ),
    ],
)
def test_vendor_is_told_one_limit_in_its_own_field(
    body: dict[str, object], field: Any, limit: int | None, expected: dict[str, object]
) -> None:
    """Ours, else the smaller of the caller's, which is what was held; never in another field."""
    made = json.loads(make(openai(output_limit_field=field), body, output_limit=limit).content)
    del made["model"]

    assert expected == made
