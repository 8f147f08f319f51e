"""What the sandboxes of a deployment tell one another of their rests, on one board.

    a rest to be told ──▶ a look; post, if others do not know      one conditional write
    a rest that was shared is over ──▶ a look; claim, if nobody has: this sandbox probes
    what is on the board has answered ──▶ remove                   one write
    the probe has ended in anything else ──▶ replace its claim     one conditional write
    every request, at most every `LOOK_EVERY_S` ──▶ look           one read, beside the reserve

A look costs a tenth of a write, so each write has one before it: of a thousand sandboxes that learn
the same at once, few write. Nothing of the board ever fails a request, and a healthy one waits for
no more than what is left of a look after its money is held. Costs: docs/upstream.md#rest.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from tollgate.core.rests import Board, Rest
from tollgate.errors import LedgerUnavailableError
from tollgate.upstream.cooldowns import PROBE_S, Cooldown, Cooldowns

LOOK_EVERY_S = 5.0
LOOK_WAIT_S = 0.1
CLAIM_WAIT_S = 0.5
BOARD_MAX = 40  # rests; more would make each look and each write dearer
_ALIKE_MS = 2_000  # rests that end so closely are one: clocks differ, and so do answers
_STALE_MS = 600_000  # a rest that is over for so long is of what nobody asks any more


class RestBoard(Protocol):
    """Where the sandboxes of a deployment say what rests.

    All raise LedgerUnavailableError. All but `read` and `remove` return whether they have written,
    and the board as it stands.
    """

    async def read(self) -> Board:
        """Return the board."""

    async def post(self, key: str, rest: Rest, *, stale: Sequence[str] = ()) -> tuple[bool, Board]:
        """Say that `key` rests, unless a longer rest stands; and take `stale` ones off with it."""

    async def claim(self, key: str, probe: Rest, *, now_ms: int) -> tuple[bool, Board]:
        """Let `probe` stand in place of a rest that is over at `now_ms`, for one of all who ask."""

    async def replace(self, key: str, rest: Rest, *, probe_ms: int) -> tuple[bool, Board]:
        """Let `rest` stand in place of the probe that has until `probe_ms`, if it still stands."""

    async def remove(self, key: str, *, until_ms: int) -> None:
        """Take the rest of `key` off, or another's probe; not a rest beyond `until_ms`."""


class SharedRests:
    """Keeps a process's cooldowns and the board's rests alike; without a board it does nothing."""

    def __init__(
        self,
        cooldowns: Cooldowns,
        *,
        clock: Callable[[], float],
        longest_s: float,
        board: RestBoard | None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """`clock`: seconds, monotonic; `now_s`: since the epoch; `longest_s`: any rest at most."""
        self._cooldowns = cooldowns
        self._clock = clock
        self._longest_s = longest_s
        self._board = board
        self._now_s = now_s
        self._next_look_s = clock()
        self._written = 0
        self._claims: dict[str, int] = {}  # until when this sandbox's probes have, since the epoch
        self._look: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

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

    def share(self, key: str) -> None:
        """Begin to tell that `key` rests."""
        rest = self._find_rest(key)
        if self._board is not None and rest is not None:
            self._begin(self._post(self._board, key, rest, self._claims.pop(key, None)))

    def give_back(self, key: str) -> None:
        """Begin to tell what is known of `key` where this sandbox has claimed to find out."""
        rest, probe_ms = self._find_rest(key), self._claims.pop(key, None)
        if self._board is not None and rest is not None:
            self._begin(self._replace(self._board, key, rest, probe_ms))

    def _find_rest(self, key: str) -> Rest | None:
        cooldown = self._cooldowns.find(key)
        if cooldown is None:
            return None
        is_asked = cooldown.asked_until_s > self._clock()
        return Rest(
            until_ms=self._to_ms(cooldown.until_s),
            faults=cooldown.faults,
            asked_ms=self._to_ms(cooldown.asked_until_s) if is_asked else 0,
        )

    def take_off(self, key: str, cooldown: Cooldown) -> None:
        """Begin to tell that `key` has answered; `cooldown`: what its rest was."""
        self._claims.pop(key, None)
        if self._board is not None and cooldown.is_shared:
            until_ms = self._to_ms(cooldown.until_s) + _ALIKE_MS
            self._begin(self._board.remove(key, until_ms=until_ms))

    async def aclose(self) -> None:
        """Wait for what is being said to the board."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self, board: RestBoard) -> None:
        written = self._written
        found = await board.read()
        if written == self._written:  # else it may be older than what was written meanwhile
            self._take(found)

    async def _replace(self, board: RestBoard, key: str, rest: Rest, probe_ms: int | None) -> bool:
        """Put `rest` in the place of this sandbox's own probe; return whether that was there."""
        if probe_ms is None:
            return False
        is_written, found = await board.replace(key, rest, probe_ms=probe_ms)
        self._written += 1
        self._take(found)
        return is_written

    async def _post(self, board: RestBoard, key: str, rest: Rest, probe_ms: int | None) -> None:
        """Post, unless others know as much already, or there is no room."""
        if await self._replace(board, key, rest, probe_ms):
            return
        found = await board.read()
        if _is_known(found.get(key), rest):
            self._take(found)
            return
        over_ms = int(self._now_s() * 1000) - _STALE_MS
        stale = [name for name, rest in found.items() if rest.until_ms < over_ms and name != key]
        if key not in found and len(found) - len(stale) >= BOARD_MAX:
            return
        _, found = await board.post(key, rest, stale=stale)
        self._written += 1
        self._take(found)

    async def claim(self, key: str) -> bool:
        """Return whether this sandbox is the one that probes; alone if the board cannot say."""
        cooldown = self._cooldowns.find(key)
        if self._board is None or cooldown is None or not cooldown.is_shared:
            return True
        now_ms = int(self._now_s() * 1000)
        until_ms = now_ms + int(PROBE_S * 1000)
        probe = Rest(until_ms=until_ms, faults=cooldown.faults, is_probe=True)
        try:
            async with asyncio.timeout(CLAIM_WAIT_S):
                found, is_ours = await self._board.read(), False
                if key in found and found[key].until_ms <= now_ms:
                    is_ours, found = await self._board.claim(key, probe, now_ms=now_ms)
                    self._written += 1
        except (TimeoutError, LedgerUnavailableError):
            return True
        if is_ours:
            self._claims[key] = until_ms
        else:
            self._cooldowns.lose_probe(key)
        self._take(found)
        return is_ours or key not in found

    def _take(self, board: Board) -> None:
        """Let rests that others posted hold here, and end those that others have taken off.

        No clock that is wrong makes a rest longer than the rules allow.
        """
        for key in self._cooldowns.shared():
            if key not in board:
                self._cooldowns.forget(key)
        for key, rest in board.items():
            self._cooldowns.learn(
                key,
                left_s=self._left_s(rest.until_ms),
                asked_left_s=self._left_s(rest.asked_ms),
                faults=rest.faults,
                is_probe=rest.is_probe,
            )

    def _left_s(self, until_ms: int) -> float:
        return min(until_ms / 1000 - self._now_s(), self._longest_s)

    def _to_ms(self, until_s: float) -> int:
        return int((self._now_s() + until_s - self._clock()) * 1000)

    def _begin(self, saying: Coroutine[None, None, object]) -> asyncio.Task[None]:
        """Let it go on beside the request; it is not the request's to fail."""
        task = asyncio.create_task(_forgive(saying))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _forgive(saying: Coroutine[None, None, object]) -> None:
    try:
        await saying
    except LedgerUnavailableError:
        return  # whatever else needs the table says so, and this was to spare calls only


def _is_known(standing: Rest | None, rest: Rest) -> bool:
    """Whether the board says of one about what is to be said."""
    return (
        standing is not None
        and standing.until_ms >= rest.until_ms - _ALIKE_MS
        and standing.asked_ms >= rest.asked_ms - _ALIKE_MS
    )
