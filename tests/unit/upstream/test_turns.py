"""How long each one whose turn it is may let the others wait."""

from contextlib import aclosing

import pytest
from tollgate.core.catalog import Route
from tollgate.upstream.cooldowns import PROBE_S, CooldownRules
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.rests import Rests
from tollgate.upstream.turns import Turns
from tollgate.upstream.vendor_requests import ChatCall

from tests.fakes.models import make_model

ROUTES = [Route(channel=name, upstream_model="m", priority=n) for n, name in enumerate("ab")]
DOWN = ChannelFailedError("unavailable", status=500)
SLOW = ChannelFailedError("timeout")


async def probe_share_s(
    failure: ChannelFailedError, *, is_stream: bool = True, count: int = 2
) -> float:
    """Return the share of the first of `count` channels, which has failed and is probed now."""
    now = [0.0]
    rests = Rests(clock=lambda: now[0], rules=CooldownRules())
    rests.note_failure(rests.ask_anyway(ROUTES[0]), failure)
    now[0] = 30.0
    call = ChatCall(
        model=make_model(*ROUTES[:count]),
        body={},
        output_limit=None,
        is_stream=is_stream,
        budget_s=lambda: 290.0,
    )
    turns = Turns(call, channels={}, rests=rests, random=lambda: 0.5)
    async with aclosing(turns.take()) as taken:
        turn = await anext(taken)
    assert turn.route == ROUTES[0]
    return turn.share_s


@pytest.mark.parametrize(
    ("failure", "is_stream", "count", "expected"),
    [
        (SLOW, True, 2, PROBE_S),
        (SLOW, True, 1, 290.0),
        (DOWN, True, 2, 145.0),
        (SLOW, False, 2, 145.0),
        (DOWN, False, 2, 290.0),
    ],
)
async def test_probe_of_a_channel_that_has_timed_out(
    failure: ChannelFailedError, *, is_stream: bool, count: int, expected: float
) -> None:
    """Of a stream it is over when the next one may begin; of a whole answer it has its share."""
    assert await probe_share_s(failure, is_stream=is_stream, count=count) == expected
