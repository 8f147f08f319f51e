"""Which route is asked next, by whose leave, and how long it may let the others wait.

those that do not rest, in their order ──▶ those that rest ──▶ once more: the one that was
                                           (not before the      healthy and asks for the
                                           vendor's own time)   shortest wait
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass

from tollgate.core.catalog import Channel, Route, Timeouts
from tollgate.upstream.channels import order_routes
from tollgate.upstream.cooldowns import PROBE_S
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.patience import has_a_chance, is_unheard
from tollgate.upstream.rests import Leave, Rests
from tollgate.upstream.vendor_requests import Call

WAIT_MAX_S = 1.0  # that a caller is kept waiting for a channel to be ready, and not refused
AGAIN_AFTER_S = 0.25  # where the vendor names no time
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One route's turn. `channel` None: the catalog has none of its name.

    `share_s`: seconds that are its own to begin in; `is_cut`: others have yet to be asked, and
    are left theirs. Its leave has to be ended.
    """

    route: Route
    channel: Channel | None
    leave: Leave
    share_s: float
    is_cut: bool

    @property
    def has_key(self) -> bool:
        """Whether the channel has a key, and no signature."""
        return self.channel is not None and self.channel.key_name is not None


class Turns:
    """One call's turns, until one answers. Whoever takes them notes each one's failure."""

    def __init__(
        self,
        call: Call,
        *,
        channels: Mapping[str, Channel],
        rests: Rests,
        random: Callable[[], float],
    ) -> None:
        """`random` returns 0 <= x < 1."""
        self.failures: list[ChannelFailedError] = []
        self._late: list[Turn] = []
        self._call = call
        self._channels = channels
        self._rests = rests
        self._routes = order_routes(call.model.routes, is_cooling=rests.is_cooling, random=random)

    def note_failure(self, turn: Turn, failure: ChannelFailedError) -> None:
        """The turn that was taken last has failed."""
        self.failures.append(failure)
        if failure.reason == "timeout":
            self._late.append(turn)

    async def take(self) -> AsyncGenerator[Turn]:
        """Yield the next turn each time the last one has failed."""
        resting: list[Route] = []
        again: list[tuple[float, Turn]] = []
        for place, route in enumerate(self._routes):
            if not self._has_a_chance(route):
                continue
            leave = await self._rests.ask(route)
            if leave is None:
                resting.append(route)
                continue
            later = self._routes[place + 1 :]
            turn = self._make_turn(route, leave, others=self._count_others(later, resting))
            yield turn
            wait_s = second_try_s(self.failures[-1])
            if leave.is_healthy and wait_s is not None:
                again.append((wait_s, turn))
        resting.sort(key=self._rests.asked_left_s)
        for place, route in enumerate(resting):
            last_resort = await self._wait_for(route, others=len(resting) - place - 1)
            if last_resort is not None:
                yield last_resort
        second = await self._ask_again(again)
        if second is not None:
            yield second
        self._excuse()

    def _excuse(self) -> None:
        """Nobody has served: if shares have cut the time, they have helped nobody.

        The next request may need as long: those that it asks have all of its time.
        """
        if any(turn.is_cut for turn in self._late):
            for turn in self._late:
                self._rests.excuse(turn.leave)

    async def _wait_for(self, route: Route, *, others: int) -> Turn | None:
        """Return the turn of one that rests and may serve all the same; not before its time.

        Where its vendor has named a time that is too far off, it has failed without being asked.
        """
        left_s = self._rests.asked_left_s(route)
        if left_s > WAIT_MAX_S:
            self.failures.append(self._rests.explain(route))
            return None
        if not self._has_a_chance(route, after_s=left_s):
            return None
        await asyncio.sleep(left_s)
        return self._make_turn(route, self._rests.ask_anyway(route), others=others)

    async def _ask_again(self, again: Sequence[tuple[float, Turn]]) -> Turn | None:
        """Return one more turn of the one that is ready soonest, if any is."""
        if not again:
            return None
        wait_s, turn = min(again, key=lambda entry: entry[0])
        if not self._has_a_chance(turn.route, after_s=wait_s):
            return None
        await asyncio.sleep(wait_s)
        return self._make_turn(turn.route, self._rests.ask_anyway(turn.route), others=0)

    def _has_a_chance(self, route: Route, *, after_s: float = 0.0) -> bool:
        channel = self._channels.get(route.channel)
        timeouts = channel.timeouts if channel else Timeouts()
        last = self.failures[-1] if self.failures else None
        return has_a_chance(timeouts, self._call, last, after_s=after_s)

    def _count_others(self, later: Sequence[Route], resting: Sequence[Route]) -> int:
        """Return how many are still to be asked; all that rest and may serve are one together."""
        healthy = [route for route in later if not self._rests.is_cooling(route)]
        asleep = [*resting, *(route for route in later if self._rests.is_cooling(route))]
        may_serve = any(self._rests.asked_left_s(route) <= WAIT_MAX_S for route in asleep)
        return len(healthy) + may_serve

    def _make_turn(self, route: Route, leave: Leave, *, others: int) -> Turn:
        """Share out what is left: an equal part to each that is still to be asked.

        A fallback model is one of them, however many channels it has. Of a whole answer nothing
        is heard until it is done, and cutting a long one would waste it: there only a channel that
        has timed out before has to leave the others theirs. Of a stream whose channel has, the
        probe waits no longer than a probe has before another one begins.
        """
        parts = 1 + others + self._call.later_models
        if is_unheard(self._call) and not self._rests.is_slow(route):
            parts = 1
        share_s = self._call.budget_s() / parts
        if parts > 1 and self._call.is_stream and leave.probes and self._rests.is_slow(route):
            share_s = min(share_s, PROBE_S)
        return Turn(
            route=route,
            channel=self._channels.get(route.channel),
            leave=leave,
            share_s=share_s,
            is_cut=parts > 1,
        )


def second_try_s(failure: ChannelFailedError) -> float | None:
    """Return the seconds after which the same channel is worth a second try; None: it is not.

    Where it has answered that it cannot just now, and so has not worked for the request: a server
    error, or a rate limit that names a short time.
    """
    asked_s = failure.retry_after_s
    if failure.reason == "rate_limit":
        return asked_s if asked_s is not None and asked_s <= WAIT_MAX_S else None
    if failure.reason != "unavailable" or (failure.status or 0) < _SERVER_ERROR:
        return None
    wait_s = AGAIN_AFTER_S if asked_s is None else asked_s
    return wait_s if wait_s <= WAIT_MAX_S else None
