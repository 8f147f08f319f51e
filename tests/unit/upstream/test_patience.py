"""How long a channel is waited for."""

from dataclasses import replace
from typing import Any

import pytest
from tollgate.core.catalog import Timeouts
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.image_calls import ImageCall
from tollgate.upstream.patience import has_a_chance, stretch
from tollgate.upstream.vendor_requests import Call, ChatCall

from tests.fakes.models import make_model

TIMEOUTS = Timeouts(connect_s=1, first_byte_s=200, between_bytes_s=20, total_s=800)


def chat(*, budget_s: float = 895, is_padded: bool = False) -> ChatCall:
    return ChatCall(
        model=make_model(),
        body={},
        output_limit=None,
        is_stream=False,
        is_padded=is_padded,
        budget_s=lambda: budget_s,
    )


def image(*, is_padded: bool = False) -> ImageCall:
    return ImageCall(
        model=make_model(),
        task="edits",
        body={},
        is_stream=False,
        is_padded=is_padded,
        budget_s=lambda: 895,
    )


@pytest.mark.parametrize(
    ("call", "first_byte_s", "between_bytes_s"),
    [
        (chat(), 200, 20),
        (chat(is_padded=True), 800, 20),
        (image(), 200, 200),
        (image(is_padded=True), 800, 800),
    ],
)
def test_waits(call: Call, first_byte_s: float, between_bytes_s: float) -> None:
    """A padded answer has the whole attempt; a second image as long as the first."""
    expected = replace(TIMEOUTS, first_byte_s=first_byte_s, between_bytes_s=between_bytes_s)

    assert stretch(TIMEOUTS, call) == expected


@pytest.mark.parametrize(
    ("call", "reason", "expected"),
    [
        (chat(budget_s=1), None, True),
        (chat(budget_s=0), None, False),
        (chat(budget_s=199), "timeout", True),
        (chat(budget_s=199, is_padded=True), "timeout", False),
        (chat(budget_s=200, is_padded=True), "timeout", True),
        (chat(budget_s=1, is_padded=True), "rate_limit", True),
    ],
)
def test_another_channel(call: Call, reason: Any, *, expected: bool) -> None:
    """Only a time-out that took the time leaves too little of it."""
    last = ChannelFailedError(reason) if reason else None

    assert has_a_chance(TIMEOUTS, call, last) is expected
