"""The rests of channels in this process and, by a board, in all sandboxes of the deployment.

    a fault that is certain, or the second in a row ──▶ post      one conditional write
    a rest that was shared is over ──▶ claim: this sandbox probes   one conditional write
    a channel on the board has answered ──▶ remove                one write
    every request, at most every `LOOK_EVERY_S` ──▶ look          one read, beside the reserve

A single fault stays in its sandbox: where a thousand of them serve, one request in a thousand that
fails must not send a good channel to rest for all. Nothing of the board ever fails a request, and a
healthy one waits for no more than what is left of a look after its money is held. Costs and the
calls that a dead channel gets: docs/upstream.md#rest.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Protocol

from tollgate.core.rests import Board, Rest
from tollgate.errors import LedgerUnavailableError
from tollgate.upstream.cooldowns import PROBE_S, CooldownRules, Cooldowns
from tollgate.upstream.failures import ChannelFailedError

LOOK_EVERY_S = 5.0
LOOK_WAIT_S = 0.1
CLAIM_WAIT_S = 0.5
_SHORTEST_SHARED_S = 1.0  # a shorter rest is over before others have read of it
_FORBIDDEN = 403  # said of a single request too, by a firewall that does not like its text


class RestBoard(Protocol):
    """Where the sandboxes of a deployment say which channels rest.

    All raise LedgerUnavailableError. `post` and `claim` return whether they have written, and the
    board as it stands.
    """

    async def read(self) -> Board:
        """Return the board."""

    async def post(self, channel: str, rest: Rest) -> tuple[bool, Board]:
        """Say that `channel` rests, unless a longer rest stands."""

    async def claim(self, channel: str, probe: Rest, *, now_ms: int) -> tuple[bool, Board]:
        """Let `probe` stand in place of a rest that is over at `now_ms`, for one of all who ask."""

    async def remove(self, channel: str, *, until_ms: int) -> None:
        """Take the rest of `channel` off, unless one beyond `until_ms` stands."""


class Rests:
    """Keeps a process's rests, and shares them where there is a board."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        rules: CooldownRules,
        board: RestBoard | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """`clock`: seconds, monotonic; `now_s`: since the epoch. `board` None: none is shared."""
        self._clock = clock
        self._rules = rules
        self._board = board
        self._now_s = now_s
        self._cooldowns = Cooldowns(clock)
        self._next_look_s = clock()
        self._written = 0
        self._look: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def is_cooling(self, channel: str) -> bool:
        """Whether `channel` rests now, or is another request's to probe."""
        return self._cooldowns.is_cooling(channel)

    def look(self) -> None:
        """Begin to read the board, unless that was done just now; `catch_up` waits for it."""
        is_looking = self._look is not None and not self._look.done()
        if self._board is None or is_looking or self._clock() < self._next_look_s:
            return
        self._next_look_s = self._clock() + LOOK_EVERY_S
        self._look = self._begin(self._read(self._board))

    async def catch_up(self) -> None:
        """Wait a moment for a look under way. Without its answer, what is known has to do."""
        if self._look is not None and not self._look.done():
            await asyncio.wait([self._look], timeout=LOOK_WAIT_S)

    async def may_ask(self, channel: str) -> bool:
        """Whether `channel` is to be asked at its place: it is healthy, or this request probes it.

        Of all requests, in all sandboxes where the rest is shared, one at a time is its probe.
        """
        if self._cooldowns.is_cooling(channel):
            return False
        cooldown = self._cooldowns.find(channel)
        if cooldown is None:
            return True
        self._cooldowns.begin_probe(channel)
        return not cooldown.is_shared or await self._claim(channel, cooldown.faults)

    def note_failure(self, channel: str, failure: ChannelFailedError) -> None:
        """`channel` has failed, and rests."""
        is_rate_limit = failure.reason == "rate_limit"
        faults = 0 if is_rate_limit else self._cooldowns.count_fault(channel)
        rest_s = self._rules.rest_s(
            is_rate_limit=is_rate_limit, asked_s=failure.retry_after_s, faults=faults
        )
        self._cooldowns.start(channel, rest_s)
        if rest_s >= _SHORTEST_SHARED_S and (faults > 1 or _is_certain(failure)):
            self._share(channel)

    def note_answer(self, channel: str) -> None:
        """`channel` has answered: whatever rest it had is over."""
        cooldown = self._cooldowns.clear(channel)
        if self._board is not None and cooldown is not None and cooldown.is_shared:
            until_ms = self._to_ms(cooldown.until_s)
            self._begin(self._board.remove(channel, until_ms=until_ms))

    def end_probe(self, channel: str) -> None:
        """A request to `channel` has ended without a word about it."""
        self._cooldowns.end_probe(channel)

    async def aclose(self) -> None:
        """Wait for what is being said to the board."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _share(self, channel: str) -> None:
        cooldown = self._cooldowns.find(channel)
        if self._board is None or cooldown is None:
            return
        rest = Rest(until_ms=self._to_ms(cooldown.until_s), faults=cooldown.faults)
        self._begin(self._post(self._board, channel, rest))

    async def _read(self, board: RestBoard) -> None:
        written = self._written
        found = await board.read()
        if written == self._written:  # else it may be older than what was written meanwhile
            self._take(found)

    async def _post(self, board: RestBoard, channel: str, rest: Rest) -> None:
        _, found = await board.post(channel, rest)
        self._written += 1
        self._take(found)

    async def _claim(self, channel: str, faults: int) -> bool:
        """Return whether this sandbox is the one that probes; alone if the board cannot say."""
        if self._board is None:
            return True
        now_ms = int(self._now_s() * 1000)
        probe = Rest(until_ms=now_ms + int(PROBE_S * 1000), faults=faults)
        try:
            async with asyncio.timeout(CLAIM_WAIT_S):
                is_ours, found = await self._board.claim(channel, probe, now_ms=now_ms)
        except (TimeoutError, LedgerUnavailableError):
            return True
        self._written += 1
        if not is_ours:
            self._cooldowns.lose_probe(channel)
        self._take(found)
        return is_ours or channel not in found

    def _take(self, board: Board) -> None:
        """Let rests that others posted hold here, and end those that others have taken off.

        No clock that is wrong makes a rest longer than the rules allow.
        """
        for channel in self._cooldowns.shared():
            if channel not in board:
                self._cooldowns.clear(channel)
        for channel, rest in board.items():
            left_s = min(rest.until_ms / 1000 - self._now_s(), self._rules.longest_s)
            self._cooldowns.learn(channel, left_s=left_s, faults=rest.faults)

    def _to_ms(self, until_s: float) -> int:
        return int((self._now_s() + until_s - self._clock()) * 1000)

    def _begin(self, saying: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Let it go on beside the request; it is not the request's to fail."""
        task = asyncio.create_task(_forgive(saying))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _forgive(saying: Coroutine[None, None, None]) -> None:
    try:
        await saying
    except LedgerUnavailableError:
        return  # whatever else needs the table says so, and this was to spare calls only


def _is_certain(failure: ChannelFailedError) -> bool:
    """Whether one answer says it of the channel, and not perhaps of a single request."""
    if failure.reason == "rate_limit":
        return True
    return failure.reason == "credentials" and failure.status != _FORBIDDEN
