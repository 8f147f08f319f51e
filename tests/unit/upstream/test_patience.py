"""How long a channel is waited for."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from tollgate.core.catalog import Timeouts
from tollgate.errors import UpstreamTimeoutError
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.image_calls import ImageCall
from tollgate.upstream.patience import has_a_chance, is_blamed, is_cut_short, stretch
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

    assert stretch(TIMEOUTS, call, share_s=895) == expected


@pytest.mark.parametrize(
    ("call", "share_s", "first_byte_s", "between_bytes_s"),
    [
        (chat(), 145, 145, 20),
        (chat(is_padded=True), 447, 447, 20),
        (chat(is_padded=True), 145, 200, 20),
        (image(), 145, 145, 200),
    ],
)
def test_share(call: Call, share_s: float, first_byte_s: float, between_bytes_s: float) -> None:
    """Nobody waits longer for a beginning than the others can spare; a padded caller may."""
    expected = replace(TIMEOUTS, first_byte_s=first_byte_s, between_bytes_s=between_bytes_s)

    assert stretch(TIMEOUTS, call, share_s=share_s) == expected


@pytest.mark.parametrize(
    ("failure", "share_s", "expected"),
    [
        (ChannelFailedError("timeout"), 200, True),
        (ChannelFailedError("timeout"), 30, True),
        (ChannelFailedError("timeout"), 29, False),
        (ChannelFailedError("unavailable"), 1, True),
        (ChannelFailedError("unavailable", is_resting=False), 200, False),
    ],
)
def test_blame(failure: ChannelFailedError, share_s: float, *, expected: bool) -> None:
    """Who had little time is not to blame for being slow; for any other fault it is."""
    assert is_blamed(failure, TIMEOUTS, share_s=share_s, fair_s=30) is expected


def test_blame_of_a_channel_with_a_short_patience() -> None:
    """Its own first byte's time is a chance."""
    hasty = replace(TIMEOUTS, first_byte_s=2)

    assert is_blamed(ChannelFailedError("timeout"), hasty, share_s=2, fair_s=30)


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


def test_chance_after_a_wait() -> None:
    """What is waited for first is gone."""
    assert has_a_chance(TIMEOUTS, chat(budget_s=1), None, after_s=0.5)
    assert not has_a_chance(TIMEOUTS, chat(budget_s=1), None, after_s=1)


@pytest.mark.parametrize(
    ("call", "cause", "share_s", "expected"),
    [
        (chat(), TimeoutError(), 199, True),
        (image(), UpstreamTimeoutError(), 199, True),
        (chat(), TimeoutError(), 200, False),
        (chat(is_padded=True), TimeoutError(), 199, False),
        (replace(chat(), is_stream=True), TimeoutError(), 199, False),
        (chat(), httpx.ConnectTimeout(""), 199, False),
    ],
)
def test_cut_short(call: Call, cause: Exception, share_s: float, *, expected: bool) -> None:
    """Only a wait for a whole answer, below the channel's own; not one for a connection."""
    failure = ChannelFailedError("timeout")
    failure.__cause__ = cause

    assert is_cut_short(failure, TIMEOUTS, call, share_s=share_s) is expected


def test_connection_is_waited_for_no_longer_than_the_share() -> None:
    """Where little is left for it."""
    assert stretch(TIMEOUTS, chat(), share_s=0.5).connect_s == 0.5
