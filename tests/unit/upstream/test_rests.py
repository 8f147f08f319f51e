"""What a sandbox shares of its channels' rests, what it learns, and that nothing hangs on it."""

import asyncio
from collections.abc import Callable

import pytest
from tollgate.core.rests import Rest
from tollgate.upstream.cooldowns import PROBE_S, CooldownRules
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.rests import LOOK_EVERY_S, Rests

from bench.dead_channel import simulate
from tests.fakes.rest_board import FakeRestBoard

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

    async def who_may(self) -> list[bool]:
        return [await sandbox.may_ask("a") for sandbox in self.sandboxes]


async def test_single_fault_stays_in_its_sandbox() -> None:
    """One request that fails sends the channel to rest where it failed, and nowhere else."""
    fleet = Fleet(2)
    fleet.sandboxes[0].note_failure("a", FAULT)
    await fleet.look()

    assert await fleet.who_may() == [False, True]
    assert fleet.board.calls == {"read": 2}


async def test_second_fault_in_a_row_is_shared() -> None:
    """A probe that fails too tells all."""
    fleet = Fleet(2)
    one, _ = fleet.sandboxes
    one.note_failure("a", FAULT)
    fleet.now_s += 30
    assert await one.may_ask("a")
    one.note_failure("a", FAULT)
    await fleet.look()

    assert await fleet.who_may() == [False, False]
    assert fleet.board.rests["a"].faults == 2


@pytest.mark.parametrize(
    ("failure", "is_shared"),
    [
        (ChannelFailedError("rate_limit", status=429, retry_after_s=20), True),
        (ChannelFailedError("rate_limit", status=429, retry_after_s=0.5), False),
        (ChannelFailedError("credentials", status=401), True),
        (ChannelFailedError("credentials", status=402), True),
        (ChannelFailedError("credentials", status=403), False),
        (ChannelFailedError("timeout"), False),
    ],
)
async def test_what_is_certain_is_shared_at_once(
    failure: ChannelFailedError, *, is_shared: bool
) -> None:
    """A rate limit or a key is the whole channel's; a 403 may be about one request's text."""
    fleet = Fleet(1)
    fleet.sandboxes[0].note_failure("a", failure)
    await fleet.sandboxes[0].aclose()

    assert ("a" in fleet.board.rests) is is_shared


async def test_one_sandbox_probes_for_all() -> None:
    """When a shared rest is over one of many asks; the others go on avoiding the channel."""
    fleet = Fleet(20)
    fleet.sandboxes[3].note_failure("a", ChannelFailedError("credentials", status=401))
    await fleet.look()
    assert not any(await fleet.who_may())
    fleet.now_s += 30

    assert (await fleet.who_may()).count(True) == 1
    assert not any(await fleet.who_may())


async def test_probe_that_answers_ends_the_rest_for_all() -> None:
    """The others learn of it with their next look."""
    fleet = Fleet(3)
    fleet.sandboxes[0].note_failure("a", ChannelFailedError("credentials", status=401))
    await fleet.look()
    fleet.now_s += 30
    prober = fleet.sandboxes[(await fleet.who_may()).index(True)]
    prober.note_answer("a")
    await prober.aclose()
    await fleet.look()

    assert await fleet.who_may() == [True] * 3
    assert fleet.board.rests == {}


async def test_probe_of_a_dead_sandbox_is_followed_by_another() -> None:
    """A claim is a lease."""
    fleet = Fleet(5)
    fleet.sandboxes[0].note_failure("a", ChannelFailedError("credentials", status=401))
    await fleet.look()
    fleet.now_s += 30
    assert (await fleet.who_may()).count(True) == 1
    fleet.now_s += PROBE_S

    assert (await fleet.who_may()).count(True) == 1


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
    fleet.sandboxes[0].note_failure("a", ChannelFailedError("credentials", status=401))
    await fleet.look()
    assert await fleet.who_may() == [False, True]
    fleet.now_s += 30

    assert await fleet.who_may() == [True, True]
    fleet.sandboxes[0].note_answer("a")
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
        assert await sandbox.may_ask("a")
    for task in sandbox._tasks:
        task.cancel()
    await sandbox.aclose()


async def test_wrong_clock_does_not_keep_a_channel_at_rest() -> None:
    """A rest to the end of days is one of the longest that the rules know."""
    fleet = Fleet(1, FakeRestBoard(rests={"a": Rest(until_ms=10**15, faults=1)}))
    await fleet.look()
    assert fleet.sandboxes[0].is_cooling("a")
    fleet.now_s += CooldownRules().longest_s

    assert not fleet.sandboxes[0].is_cooling("a")


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
    sandbox.note_failure("a", ChannelFailedError("credentials", status=401))
    await asyncio.sleep(0.01)
    gate.set()
    await sandbox.aclose()

    assert sandbox.is_cooling("a")


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
            if await sandbox.may_ask("a"):
                if (turn + number) % 50:
                    sandbox.note_answer("a")
                else:
                    sandbox.note_failure("a", FAULT)
        await fleet.look()

    assert fleet.board.calls["post"] == 0
