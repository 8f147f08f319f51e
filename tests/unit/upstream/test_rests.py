"""What a sandbox shares of its channels' rests, what it learns, and that nothing hangs on it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tollgate.core.catalog import Route
from tollgate.core.rests import Rest
from tollgate.upstream.cooldowns import PROBE_S, CooldownRules
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.rests import Leave, Rests
from tollgate.upstream.shared_rests import BOARD_MAX, LOOK_EVERY_S

from bench.dead_channel import simulate
from tests.fakes.rest_board import FakeRestBoard

ROUTE = Route(channel="a", upstream_model="m")
OTHER = Route(channel="a", upstream_model="n")
REJECTED = ChannelFailedError("credentials", status=401)
FAULT = ChannelFailedError("unavailable", status=500)


class Fleet:
    """Sandboxes with one board and one time."""

    def __init__(self, count: int, board: FakeRestBoard | None = None) -> None:
        self.now_s = 1000.0
        self.board = board or FakeRestBoard()
        clock: Callable[[], float] = lambda: self.now_s  # noqa: E731 - reads what is set later
        self.sandboxes = [
            Rests(clock=clock, rules=CooldownRules(), board=self.board, now_s=clock)
            for _ in range(count)
        ]

    async def look(self) -> None:
        """Let every sandbox look at the board."""
        self.now_s += LOOK_EVERY_S
        for sandbox in self.sandboxes:
            sandbox.look()
            await sandbox.catch_up()

    async def who_may(self, route: Route = ROUTE) -> list[Leave | None]:
        return [await sandbox.ask(route) for sandbox in self.sandboxes]

    def fail(self, number: int, failure: ChannelFailedError, route: Route = ROUTE) -> None:
        """Let a sandbox's request fail that was made just now."""
        sandbox = self.sandboxes[number]
        sandbox.note_failure(sandbox.ask_anyway(route), failure)


def may(leaves: list[Leave | None]) -> list[bool]:
    """Return who may ask."""
    return [leave is not None for leave in leaves]


async def test_single_fault_stays_in_its_sandbox() -> None:
    """One request that fails sends the channel to rest where it failed, and nowhere else."""
    fleet = Fleet(2)
    fleet.fail(0, FAULT)
    await fleet.look()

    assert may(await fleet.who_may()) == [False, True]
    assert fleet.board.calls == {"read": 2}


async def test_second_fault_in_a_row_is_shared() -> None:
    """A probe that fails too tells all."""
    fleet = Fleet(2)
    fleet.fail(0, FAULT)
    fleet.now_s += 30
    probe = await fleet.sandboxes[0].ask(ROUTE)
    assert probe is not None
    fleet.sandboxes[0].note_failure(probe, FAULT)
    await fleet.look()

    assert may(await fleet.who_may()) == [False, False]
    assert fleet.board.rests["a"].faults == 2


@pytest.mark.parametrize(
    ("failure", "is_shared"),
    [
        (ChannelFailedError("rate_limit", status=429, retry_after_s=20), True),
        (ChannelFailedError("rate_limit", status=429, retry_after_s=4), False),
        (ChannelFailedError("rate_limit", status=429), True),
        (ChannelFailedError("credentials", status=401), True),
        (ChannelFailedError("credentials", status=402), False),
        (ChannelFailedError("credentials", status=403), False),
        (ChannelFailedError("timeout"), False),
    ],
)
async def test_what_is_certain_is_shared_at_once(
    failure: ChannelFailedError, *, is_shared: bool
) -> None:
    """A rate limit or a key is the whole channel's; a 402 or a 403 may be about one request."""
    fleet = Fleet(1)
    fleet.fail(0, failure)
    await fleet.sandboxes[0].aclose()

    assert bool(fleet.board.rests) is is_shared


async def test_one_sandbox_probes_for_all() -> None:
    """When a shared rest is over one of many asks; the others go on avoiding the channel."""
    fleet = Fleet(20)
    fleet.fail(3, REJECTED)
    await fleet.look()
    assert not any(may(await fleet.who_may()))
    fleet.now_s += 30

    assert may(await fleet.who_may()).count(True) == 1
    assert not any(may(await fleet.who_may()))


async def test_probe_that_answers_ends_the_rest_for_all() -> None:
    """The others learn of it with their next look."""
    fleet = Fleet(3)
    fleet.fail(0, REJECTED)
    await fleet.look()
    fleet.now_s += 30
    leaves = await fleet.who_may()
    (number,) = [number for number, is_probe in enumerate(may(leaves)) if is_probe]
    prober, probe = fleet.sandboxes[number], leaves[number]
    assert probe is not None
    prober.note_answer(probe)
    await prober.aclose()
    await fleet.look()

    assert may(await fleet.who_may()) == [True] * 3
    assert fleet.board.rests == {}


async def test_probe_of_a_dead_sandbox_is_followed_by_another() -> None:
    """A claim is a lease."""
    fleet = Fleet(5)
    fleet.fail(0, REJECTED)
    await fleet.look()
    fleet.now_s += 30
    assert may(await fleet.who_may()).count(True) == 1
    fleet.now_s += PROBE_S

    assert may(await fleet.who_may()).count(True) == 1


async def test_board_is_looked_at_now_and_then() -> None:
    """Of a hundred requests in a second one reads."""
    fleet = Fleet(1)
    for _ in range(100):
        fleet.now_s += 0.01
        fleet.sandboxes[0].look()
        await fleet.sandboxes[0].catch_up()

    assert fleet.board.calls == {"read": 1}


async def test_board_that_is_down_changes_nothing() -> None:
    """Each sandbox then learns and probes for itself."""
    fleet = Fleet(2, FakeRestBoard(is_down=True))
    fleet.fail(0, REJECTED)
    await fleet.look()
    assert may(await fleet.who_may()) == [False, True]
    fleet.now_s += 30

    leaves = await fleet.who_may()
    assert may(leaves) == [True, True]
    assert leaves[0] is not None
    fleet.sandboxes[0].note_answer(leaves[0])
    await fleet.sandboxes[0].aclose()


async def test_board_that_hangs_holds_nobody_up() -> None:
    """A look that does not end is waited for a moment, and a claim too."""

    class Hanging(FakeRestBoard):
        async def read(self) -> dict[str, Rest]:
            await asyncio.Event().wait()
            return {}

    fleet = Fleet(1, Hanging())
    sandbox = fleet.sandboxes[0]
    sandbox.look()
    async with asyncio.timeout(5):
        await sandbox.catch_up()
        assert await sandbox.ask(ROUTE)
    for task in sandbox._shared._tasks:
        task.cancel()
    await sandbox.aclose()


async def test_wrong_clock_does_not_keep_a_channel_at_rest() -> None:
    """A rest to the end of days is one of the longest that the rules know."""
    fleet = Fleet(1, FakeRestBoard(rests={"a": Rest(until_ms=10**15, faults=1)}))
    await fleet.look()
    assert fleet.sandboxes[0].is_cooling(ROUTE)
    fleet.now_s += CooldownRules().longest_s

    assert not fleet.sandboxes[0].is_cooling(ROUTE)


async def test_look_that_is_older_than_a_post_is_not_believed() -> None:
    """A board read before this sandbox wrote does not take its rest away."""
    gate = asyncio.Event()

    class Slow(FakeRestBoard):
        async def read(self) -> dict[str, Rest]:
            await gate.wait()
            return {}

    fleet = Fleet(1, Slow())
    sandbox = fleet.sandboxes[0]
    sandbox.look()
    await asyncio.sleep(0)
    fleet.fail(0, REJECTED)
    await asyncio.sleep(0.01)
    gate.set()
    await sandbox.aclose()

    assert sandbox.is_cooling(ROUTE)


async def test_rate_limit_and_denied_access_are_one_models() -> None:
    """The channel's other models are asked at their place, in all sandboxes; a fault is all's."""
    for failure in (
        ChannelFailedError("rate_limit", status=429, retry_after_s=60),
        ChannelFailedError("credentials", status=403),
    ):
        fleet = Fleet(1)
        fleet.fail(0, failure)
        assert may(await fleet.who_may(ROUTE) + await fleet.who_may(OTHER)) == [False, True]
    fleet.fail(0, FAULT, OTHER)

    assert may(await fleet.who_may(ROUTE) + await fleet.who_may(OTHER)) == [False, False]


async def test_answer_of_one_model_leaves_the_others_limit() -> None:
    """What a channel answers for one model says nothing of another's rate limit."""
    fleet = Fleet(1)
    sandbox = fleet.sandboxes[0]
    fleet.fail(0, ChannelFailedError("rate_limit", status=429, retry_after_s=60))
    sandbox.note_answer(sandbox.ask_anyway(OTHER))

    assert sandbox.is_cooling(ROUTE)
    assert sandbox.asked_left_s(ROUTE) == 60


async def test_all_are_told_the_vendors_own_time() -> None:
    """So that none of them asks before it, not even where nothing else is left."""
    fleet = Fleet(2)
    fleet.fail(0, ChannelFailedError("rate_limit", status=429, retry_after_s=60))
    await fleet.look()
    why = fleet.sandboxes[1].explain(ROUTE)

    assert (why.reason, why.retry_after_s) == ("rate_limit", 60 - LOOK_EVERY_S)


async def test_why_a_route_is_not_asked() -> None:
    """A fault with a time is a fault, a rate limit a rate limit."""
    fleet = Fleet(1)
    fleet.fail(0, ChannelFailedError("unavailable", status=503, retry_after_s=60))
    fault = fleet.sandboxes[0].explain(ROUTE)

    assert (fault.reason, fault.retry_after_s) == ("unavailable", 60)


async def test_request_that_is_no_probe_ends_none() -> None:
    """A late answer or failure of one that asked before leaves the probe what it is."""
    fleet = Fleet(1)
    sandbox = fleet.sandboxes[0]
    early = await sandbox.ask(ROUTE)
    assert early is not None
    fleet.fail(0, FAULT)
    fleet.now_s += 30
    probe = await sandbox.ask(ROUTE)
    assert probe is not None
    sandbox.end(early)

    assert sandbox.is_cooling(ROUTE)
    sandbox.end(probe)
    assert not sandbox.is_cooling(ROUTE)


async def test_thousand_sandboxes_at_their_limit_write_a_few_times() -> None:
    """Each looks before it writes: who is told already has nothing to say."""
    fleet = Fleet(1000)
    for number in range(1000):
        fleet.fail(number, ChannelFailedError("rate_limit", status=429, retry_after_s=20))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        fleet.now_s += 0.001
    fleet.now_s += 20
    leaves = await fleet.who_may()

    assert may(leaves).count(True) == 1
    assert fleet.board.calls["post"] <= 2
    assert fleet.board.calls["claim"] == 1


async def test_board_has_a_limit() -> None:
    """One more is told to nobody; what was over long ago makes room, in the same write."""
    old = {f"old{n}": Rest(until_ms=0, faults=1) for n in range(10)}
    full = {f"c{n}": Rest(until_ms=10**7, faults=1) for n in range(BOARD_MAX - 1)}
    fleet = Fleet(1, FakeRestBoard(rests=old | full))
    for channel in ("a", "b"):
        fleet.fail(0, REJECTED, Route(channel=channel, upstream_model="m"))
        await fleet.sandboxes[0].aclose()

    assert set(fleet.board.rests) == {"a", *full}
    assert fleet.board.calls["post"] == 1


def test_dead_channel_is_not_hammered_by_a_thousand_sandboxes() -> None:
    """Each has to find out once, or hears of it; then one call ends each rest."""
    outage = simulate(1000, 150.0, is_shared=True, after_s=0.0)

    assert outage.requests > 25_000
    assert outage.calls < 1150
    assert outage.usd_a_million < 0.1


async def test_channel_with_some_faults_is_not_put_to_rest_for_all() -> None:
    """Of a channel that fails once in fifty requests nobody is told to stay away."""
    fleet = Fleet(50)
    for turn in range(50):
        for number, sandbox in enumerate(fleet.sandboxes):
            leave = await sandbox.ask(ROUTE)
            if leave is not None:
                if (turn + number) % 50:
                    sandbox.note_answer(leave)
                else:
                    sandbox.note_failure(leave, FAULT)
        await fleet.look()

    assert fleet.board.calls["post"] == 0


async def probe_for_too_long(fleet: Fleet) -> Leave:
    """Return the leave of the first sandbox's probe, whose time is up without an answer."""
    fleet.fail(0, REJECTED)
    await fleet.look()
    fleet.now_s += 30
    slow = await fleet.sandboxes[0].ask(ROUTE)
    assert slow is not None
    fleet.now_s += PROBE_S
    return slow


async def test_answer_that_lasts_longer_than_a_probe_ends_the_rest_for_all() -> None:
    """Though another sandbox has claimed the probe meanwhile: its claim is no newer fault."""
    fleet = Fleet(2)
    first, second = fleet.sandboxes
    slow = await probe_for_too_long(fleet)
    assert await second.ask(ROUTE) is not None
    await fleet.look()
    fleet.now_s += 10
    first.note_answer(slow)
    await first.aclose()

    assert fleet.board.rests == {}
    await fleet.look()
    assert may(await fleet.who_may()) == [True, True]


async def test_late_answer_leaves_a_fault_that_others_have_met_since() -> None:
    """A probe that has failed stands on the board, whatever was asked before it."""
    fleet = Fleet(2)
    first, second = fleet.sandboxes
    slow = await probe_for_too_long(fleet)
    probe = await second.ask(ROUTE)
    assert probe is not None
    second.note_failure(probe, FAULT)
    await second.aclose()
    first.note_answer(slow)
    await first.aclose()

    assert fleet.board.rests["a"].faults == 2


async def shared(fleet: Fleet, *keys: str) -> None:
    """Let `keys` rest for all, and each of the rests be over."""
    for key in keys:
        fleet.board.rests[key] = Rest(until_ms=int(fleet.now_s * 1000), faults=2)
    await fleet.look()


def is_free(fleet: Fleet, key: str) -> bool:
    """Whether all are told that `key` is due, and nobody's to find out."""
    rest = fleet.board.rests[key]
    return not rest.is_probe and rest.until_ms <= fleet.now_s * 1000


async def test_probe_that_says_nothing_is_given_back() -> None:
    """A request that was cancelled, or never sent, leaves the probe to any sandbox at once."""
    fleet = Fleet(2)
    await shared(fleet, "a")
    probe = await fleet.sandboxes[0].ask(ROUTE)
    assert probe is not None
    assert fleet.board.rests["a"].is_probe
    fleet.sandboxes[0].end(probe)
    await fleet.sandboxes[0].aclose()

    assert is_free(fleet, "a")
    await fleet.look()
    assert may(await fleet.who_may()).count(True) == 1


async def test_probe_that_fails_for_a_moment_gives_its_claim_back() -> None:
    """A rest that is shorter than the probe's time is what the others are told."""
    fleet = Fleet(1)
    await shared(fleet, "a m")
    probe = await fleet.sandboxes[0].ask(ROUTE)
    assert probe is not None
    limit = ChannelFailedError("rate_limit", status=429, retry_after_s=2)
    fleet.sandboxes[0].note_failure(probe, limit)
    await fleet.sandboxes[0].aclose()

    rest = fleet.board.rests["a m"]
    assert (rest.until_ms, rest.is_probe) == (int(fleet.now_s * 1000) + 2000, False)


@pytest.mark.parametrize(
    ("taken", "free", "claims"), [("a m", "a", 0), ("a", "a m", 1)], ids=["model", "channel"]
)
async def test_probe_of_two_rests_is_all_or_nothing(taken: str, free: str, claims: int) -> None:
    """Where another sandbox has one of the two, this one keeps neither."""
    fleet = Fleet(1)
    await shared(fleet, "a", "a m")
    until_ms = int((fleet.now_s + PROBE_S) * 1000)
    fleet.board.rests[taken] = Rest(until_ms=until_ms, faults=2, is_probe=True)

    assert may(await fleet.who_may()) == [False]
    await fleet.sandboxes[0].aclose()
    assert is_free(fleet, free)
    assert fleet.board.calls["claim"] == claims


@pytest.mark.parametrize("reason", ["not_found", "configuration"])
async def test_channel_that_says_what_it_lacks_is_up(reason: Any) -> None:
    """Its own rest is over for all; what is said of the model stays."""
    fleet = Fleet(1)
    await shared(fleet, "a", "a m")
    probe = await fleet.sandboxes[0].ask(ROUTE)
    assert probe is not None
    failure = ChannelFailedError(reason, status=404, is_resting=False)
    fleet.sandboxes[0].note_spared(probe, failure)
    await fleet.sandboxes[0].aclose()

    assert set(fleet.board.rests) == {"a m"}
    assert is_free(fleet, "a m")
