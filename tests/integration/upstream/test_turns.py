"""Who is asked when, how long it is waited for, and who is asked again."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
from tollgate.core.catalog import Route, Timeouts
from tollgate.core.json_text import parse_object
from tollgate.core.rests import Rest
from tollgate.errors import (
    UpstreamError,
    UpstreamRateLimitedError,
    UpstreamRefusedError,
    UpstreamRestingError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from tollgate.upstream.cooldowns import CooldownRules
from tollgate.upstream.turns import WAIT_MAX_S

from tests.fakes.models import make_timeouts
from tests.fakes.rest_board import FakeRestBoard
from tests.fakes.scripted_server import (
    COMPLETION,
    Script,
    ScriptedServer,
    answer,
    error,
    hang,
    raw,
    serving,
    stream,
)
from tests.integration.upstream.world import CHUNK, GOOD, ROLE, World, pair, world

QUICK = CooldownRules(fair_s=0.1)
REJECTED = b'data: {"error": {"message": "no", "code": 401}}\n\n'


def from_now(seconds: float) -> Callable[[], float]:
    """Return what is left of a request's time."""
    ends_at = time.monotonic() + seconds
    return lambda: ends_at - time.monotonic()


async def test_channel_that_hangs_leaves_the_others_their_time() -> None:
    """With the time-outs of a catalog that sets none, and as little time as one of them has."""
    async with (
        serving(hang) as one,
        serving(GOOD) as two,
        world(one.base_url, two.base_url, timeouts=Timeouts(), rules=QUICK) as made,
    ):
        calls = [made.call(budget_s=from_now(2)), made.call(budget_s=from_now(4))]

        assert [(await made.read(call))[0] for call in calls] == ["c1", "c1"]
        assert len(one.bodies) == 1


async def test_channel_that_hangs_leaves_a_fallback_model_its_time() -> None:
    """Half of what is left, where one other model may be asked."""
    async with serving(hang) as one, world(one.base_url, timeouts=Timeouts()) as made:
        budget_s = from_now(2)
        with pytest.raises(UpstreamTimeoutError):
            await made.upstream.open_stream(replace(made.call(budget_s=budget_s), later_models=1))

        assert budget_s() > 0.5


async def test_those_that_rest_have_one_share_together() -> None:
    """One of them may have recovered; but two that are long dead cost the third half its time."""
    async with (
        serving(error(401)) as one,
        serving(hang) as two,
        world(one.base_url, one.base_url, two.base_url, timeouts=Timeouts(), rules=QUICK) as made,
    ):
        two.scripts[:] = [GOOD, hang]
        await made.read()
        one.scripts[:] = [hang, GOOD]
        began = time.monotonic()

        assert (await made.read(made.call(budget_s=from_now(2.4))))[0] == "c1"
        assert time.monotonic() - began > 1.7


async def test_those_that_must_not_be_asked_have_none() -> None:
    """The one that is left has all the time."""
    script = error(429, head="retry-after: 60\r\n")
    async with pair(script, timeouts=Timeouts(), rules=QUICK) as (made, _, two):
        await made.read()
        two.scripts[:] = [hang]
        began = time.monotonic()
        with pytest.raises(UpstreamTimeoutError):
            await made.read(made.call(budget_s=from_now(0.6)))

        assert time.monotonic() - began > 0.55


async def test_only_channel_that_hangs_rests() -> None:
    """It has had all the time that there was, so the next request's time goes to others first."""
    async with serving(hang) as one, world(one.base_url, rules=QUICK) as made:
        with pytest.raises(UpstreamTimeoutError):
            await made.read(made.call(budget_s=from_now(0.3)))
        made.channels |= {"c9": replace(made.channels["c0"], name="c9")}
        one.scripts[:] = [GOOD]

        assert (await made.read())[0] == "c9"


async def test_one_without_a_chance_is_passed_over() -> None:
    """A caller who is kept alive has waited long: who needs less than what is left is asked."""
    async with (
        serving(hang) as one,
        serving(answer(COMPLETION)) as two,
        serving(answer(COMPLETION)) as three,
        world(one.base_url, two.base_url, three.base_url) as made,
    ):
        for name, first_byte_s in (("c0", 0.1), ("c1", 60.0), ("c2", 0.1)):
            timeouts = make_timeouts(first_byte_s=first_byte_s, total_s=0.1)
            made.channels[name] = replace(made.channels[name], timeouts=timeouts)
        call = made.call(is_stream=False, budget_s=from_now(5))

        assert (await made.upstream.complete(replace(call, is_padded=True))).channel == "c2"
        assert two.bodies == []


@pytest.mark.parametrize(
    "script",
    [
        error(503),
        error(500),
        error(529, head="retry-after: 0\r\n"),
        error(429, head="retry-after-ms: 20\r\n"),
    ],
)
async def test_channel_that_could_not_just_now_is_asked_again(script: Script) -> None:
    """Where there is no other: once, after as long as it asks."""
    async with serving(script, GOOD) as one, world(one.base_url) as made:
        assert (await made.read())[0] == "c0"
        assert len(one.bodies) == 2


@pytest.mark.parametrize(
    "script",
    [
        error(429),
        error(429, head="retry-after: 2\r\n"),
        error(503, head="retry-after: 2\r\n"),
        error(401),
        error(403),
        error(404),
        error(409),
        answer(b"{}", content_type="text/html"),
    ],
)
async def test_channel_that_will_not_soon_is_not(script: Script) -> None:
    """Nor one that has perhaps worked for the request, or refuses the operator."""
    async with serving(script, GOOD) as one, world(one.base_url) as made:
        with pytest.raises(UpstreamError):
            await made.read()
        assert len(one.bodies) == 1


async def test_second_try_is_one_for_all_channels() -> None:
    """Of those that failed, the one that asks for the shortest wait; and it is the last."""
    async with (
        serving(error(503)) as one,
        serving(error(503, head="retry-after-ms: 20\r\n")) as two,
        world(one.base_url, two.base_url) as made,
    ):
        with pytest.raises(UpstreamUnavailableError):
            await made.read()
        assert (len(one.bodies), len(two.bodies)) == (1, 2)


async def test_channel_that_rests_is_not_asked_again() -> None:
    """A dead channel gets no second call for each request that has no other."""
    async with serving(error(503)) as one, world(one.base_url) as made:
        for _ in range(3):
            with pytest.raises(UpstreamUnavailableError):
                await made.read()
        assert len(one.bodies) == 2 + 1 + 1


async def test_probe_that_fails_is_not_asked_again() -> None:
    """A channel whose rest is over gets one call to find out."""
    async with serving(error(503)) as one, world(one.base_url) as made:
        for made.now_s, calls in ((0, 2), (30, 3)):
            with pytest.raises(UpstreamUnavailableError):
                await made.read()
            assert len(one.bodies) == calls


async def test_second_try_is_within_the_requests_time() -> None:
    """Where a wait would take what is left, the failure is told."""
    async with serving(error(503), GOOD) as one, world(one.base_url) as made:
        with pytest.raises(UpstreamUnavailableError):
            await made.read(made.call(budget_s=from_now(0.2)))
        assert len(one.bodies) == 1


@pytest.mark.parametrize(
    ("status", "expected"), [(429, UpstreamRateLimitedError), (503, UpstreamRestingError)]
)
async def test_vendors_own_time_is_kept(
    status: int, expected: type[UpstreamRateLimitedError | UpstreamRestingError]
) -> None:
    """Where all have named one nobody is asked before it, and the caller is told."""
    script = error(status, head="retry-after: 60\r\n")
    async with serving(script, GOOD) as one, world(one.base_url) as made:
        waits = []
        for made.now_s in (0, 20):
            with pytest.raises(expected) as caught:
                await made.read()
            waits.append(caught.value.retry_after_s)
        assert (waits, len(one.bodies)) == ([60, 40], 1)
        made.now_s = 60

        assert (await made.read())[0] == "c0"


async def test_short_time_of_a_vendor_is_waited_for() -> None:
    """Rather than refuse the caller, who would come back a second later."""
    script = error(429, head="retry-after: 60\r\n")
    async with serving(script, GOOD) as one, world(one.base_url) as made:
        with pytest.raises(UpstreamRateLimitedError):
            await made.read()
        made.now_s = 60 - WAIT_MAX_S / 5
        began = time.monotonic()

        assert (await made.read())[0] == "c0"
        assert time.monotonic() - began >= WAIT_MAX_S / 5
        assert len(one.bodies) == 2


async def test_limit_of_one_model_is_kept_beside_another_model() -> None:
    """The channel serves its other model, whose answers end nothing of the limit."""
    script = error(429, head="retry-after: 60\r\n")
    async with pair(script, GOOD) as (made, one, _):
        other = made.call(upstream_model="v")
        calls = [made.call(), other, made.call(), other, made.call()]
        channels = [(await made.read(call))[0] for call in calls]

        assert channels == ["c1", "c0", "c1", "c0", "c1"]
        assert [body["model"] for body in one.bodies] == ["u", "v", "v"]


@pytest.mark.parametrize("kind", ["stream", "whole", "refused"])
async def test_probe_that_answers_takes_the_rest_off_the_board(kind: str) -> None:
    """Whatever the answer is: the other sandboxes need not wait until the probe's time is up."""
    board = FakeRestBoard(rests={"c0": Rest(until_ms=1, faults=2)})
    scripts = {"stream": GOOD, "whole": answer(COMPLETION), "refused": error(400)}
    async with serving(scripts[kind]) as one, world(one.base_url, board=board) as made:
        made.upstream.look()
        if kind == "stream":
            await made.read()
        else:
            with suppress(UpstreamRefusedError):
                await made.upstream.complete(made.call(is_stream=False))
        await made.upstream._rests.aclose()

        assert board.calls == {"read": 2, "claim": 1, "remove": 1}
        assert board.rests == {}


async def test_fault_is_the_whole_channels() -> None:
    """Where it is down for one model it is for the others."""
    async with pair(error(500), GOOD) as (made, _, _two):
        await made.read()

        assert (await made.read(made.call(upstream_model="v")))[0] == "c1"


def slow(seconds: float) -> Script:
    """Write a whole answer after a while, without a sign of life before."""

    async def write(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await answer(COMPLETION)(writer)

    return write


@asynccontextmanager
async def slow_pair(*first: Script) -> AsyncIterator[tuple[World, ScriptedServer]]:
    """Two channels with a catalog's own time-outs, whose whole answers take more than a half.

    The first one has `first` before them. A request has a second.
    """
    async with (
        serving(*first, slow(0.6)) as one,
        serving(slow(0.6)) as two,
        world(one.base_url, two.base_url, timeouts=Timeouts(), rules=QUICK) as made,
    ):
        yield made, one


async def complete(made: World) -> str:
    """Ask for a whole answer within a second; return its channel, or how it failed."""
    call = made.call(is_stream=False, budget_s=from_now(1))
    try:
        return (await made.upstream.complete(call)).channel
    except UpstreamError as error:
        return type(error).__name__


async def test_whole_answer_may_take_more_than_a_share() -> None:
    """Where nothing speaks against the channel it is waited for, and then nothing rests."""
    async with slow_pair() as (made, _):
        assert [await complete(made), await complete(made)] == ["c0", "c0"]


async def test_hang_of_a_whole_answer_costs_one_request() -> None:
    """The next one asks another channel, and the probe leaves the others their time."""
    async with (
        serving(hang) as one,
        serving(answer(COMPLETION)) as two,
        world(one.base_url, two.base_url, timeouts=Timeouts(), rules=QUICK) as made,
    ):
        endings = [await complete(made)]
        for made.now_s in (0, 31, 31, 92, 213):
            endings.append(await complete(made))

        assert endings == ["UpstreamTimeoutError", *["c1"] * 5]
        assert len(one.bodies) == 4


async def test_shares_that_help_nobody_are_given_up() -> None:
    """One hang, and answers that take more than a share: one probe fails, not each."""
    async with slow_pair(hang) as (made, _):
        endings = []
        for made.now_s in (0, 0, 31, 100, 200, 300):
            endings.append(await complete(made))

        late = "UpstreamTimeoutError"
        assert endings == [late, "c1", late, "c0", "c0", "c0"]


async def test_whole_answer_that_is_cut_short_rests_one_model_of_one_sandbox() -> None:
    """However often: it may only have been a long one."""
    board = FakeRestBoard()
    async with (
        serving(slow(1.2)) as one,
        world(one.base_url, timeouts=Timeouts(), rules=QUICK, board=board) as made,
    ):
        for made.now_s in (0, 31, 100):
            assert await complete(made) == "UpstreamTimeoutError"
        await made.upstream._rests.aclose()
        rests = made.upstream._rests

        assert [rests.is_cooling(Route(channel="c0", upstream_model=name)) for name in "uv"] == [
            True,
            False,
        ]
        assert board.rests == {}


@pytest.mark.parametrize("script", [error(401), stream(CHUNK, REJECTED)])
@pytest.mark.parametrize(("key_name", "expected"), [("KEY", 1), (None, 0)])
async def test_rejected_signature_of_one_sandbox_is_not_told_at_once(
    key_name: str | None, expected: int, script: Script
) -> None:
    """A key is all sandboxes' and told at once; without one it is told if it happens again.

    Before the answer or in the midst of it.
    """
    board = FakeRestBoard()
    async with serving(script) as one, world(one.base_url, board=board) as made:
        made.channels["c0"] = replace(made.channels["c0"], key_name=key_name)
        for made.now_s, calls in ((0, expected), (31, 1)):
            with suppress(UpstreamUnavailableError):
                async with await made.upstream.open_stream(made.call()) as events:
                    found = [
                        events.find_error(event, parse_object(event.data)) async for event in events
                    ]
                    assert found[-1] is not None
                    events.note_broken(found[-1])
            await asyncio.gather(*made.upstream._rests._shared._tasks)
            assert board.calls["post"] == calls


@pytest.mark.parametrize(
    "script",
    [
        stream(ROLE, ending="hang"),
        raw(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{",
            ending="hang",
        ),
        raw(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n",
            ending="hang",
        ),
    ],
    ids=["a role", "a brace", "a head"],
)
async def test_channel_that_hangs_behind_a_beginning_has_its_share_too(script: Script) -> None:
    """What is no word yet gives no right to the others' time."""
    async with pair(script, timeouts=Timeouts(), rules=QUICK) as (made, _, _two):
        assert (await made.read(made.call(budget_s=from_now(2))))[0] == "c1"


async def test_channel_that_takes_nothing_has_its_share_too() -> None:
    """A request that nobody reads is not written for longer than that."""

    async def ignore(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(closing.wait(), 8)
        writer.close()

    closing = asyncio.Event()
    async with await asyncio.start_server(ignore, "127.0.0.1", 0, limit=1024) as deaf:
        url = f"http://127.0.0.1:{deaf.sockets[0].getsockname()[1]}/v1"
        async with (
            serving(GOOD) as two,
            world(url, two.base_url, timeouts=Timeouts(), rules=QUICK) as made,
        ):
            call = made.call(budget_s=from_now(4))
            call = replace(call, body={"messages": [{"role": "user", "content": "x" * 12_000_000}]})

            assert (await made.read(call))[0] == "c1"
        closing.set()
