"""What rests in this process, as a request meets it: may it ask, and what has come of it.

A fault is the whole channel's; a rate limit, and a 403, are one model's. A single fault stays in
its sandbox: where a thousand of them serve, one request in a thousand that fails must not send a
good channel to rest for all. What is certain, or the second fault in a row, all are told.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tollgate.core.catalog import Route
from tollgate.core.rests import rest_keys
from tollgate.upstream.cooldowns import CooldownRules, Cooldowns
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.shared_rests import LOOK_EVERY_S, RestBoard, SharedRests
from tollgate.upstream.streams import Ending

_SHORTEST_SHARED_S = LOOK_EVERY_S  # a shorter rest is over before most have read of it
# Said of a single request too: one that asks for more than the credit that is left (OpenRouter's
# 402), or whose text a firewall does not like (403).
_OF_ONE_REQUEST = frozenset({402, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """One request's leave to ask a channel for a model.

    `at_s`: since when, by the process's clock. `probes`: the rests that are over and whose probe it
    is, with its number. `is_healthy`: nothing was known against either.
    """

    channel_key: str
    model_key: str
    at_s: float
    probes: Mapping[str, int]
    is_healthy: bool


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
        self._cooldowns = Cooldowns(clock)
        self._shared = SharedRests(
            self._cooldowns, clock=clock, longest_s=rules.longest_s, board=board, now_s=now_s
        )

    def is_cooling(self, route: Route) -> bool:
        """Whether `route` rests now, or is another request's to probe."""
        return any(self._cooldowns.is_cooling(key) for key in _keys(route))

    def asked_left_s(self, route: Route) -> float:
        """Return the seconds for which the vendor itself wants no call; 0 or more."""
        return max(self._cooldowns.asked_left_s(key) for key in _keys(route))

    def explain(self, route: Route) -> ChannelFailedError:
        """Return why `route` is not asked: what its vendor said when it named the time."""
        left_s = self.asked_left_s(route)
        key = max(_keys(route), key=self._cooldowns.asked_left_s)
        cooldown = self._cooldowns.find(key)
        is_fault = cooldown is not None and cooldown.faults
        return ChannelFailedError("unavailable" if is_fault else "rate_limit", retry_after_s=left_s)

    def look(self) -> None:
        """Begin to learn what others say, unless that was done just now."""
        self._shared.look()

    async def catch_up(self) -> None:
        """Wait a moment for a look under way. Without its answer, what is known has to do."""
        await self._shared.catch_up()

    async def ask(self, route: Route) -> Leave | None:
        """Return the leave to ask `route` at its place: it is healthy, or this request probes it.

        Of all requests, in all sandboxes where the rest is shared, one at a time is its probe. The
        leave has to be ended: by `note_failure`, `note_answer` or `end`.
        """
        if self.is_cooling(route):
            return None
        due = [key for key in reversed(_keys(route)) if self._cooldowns.find(key)]
        leave = self._make_leave(route, {key: self._cooldowns.begin_probe(key) for key in due})
        is_ours = False
        try:
            is_ours = await self._claim_all(due)
        finally:
            if not is_ours:
                self.end(leave)
        return leave if is_ours else None

    async def _claim_all(self, due: Sequence[str]) -> bool:
        """Return whether this sandbox is to probe all of `due`. The first that it is not ends it.

        A model's comes before its channel's, which others may wait for.
        """
        for key in due:
            if not await self._shared.claim(key):
                return False
        return True

    def ask_anyway(self, route: Route) -> Leave:
        """Return the leave to ask a route that rests: there is none that does not."""
        return self._make_leave(route, {})

    def is_slow(self, route: Route) -> bool:
        """Whether the last that is known of `route`'s channel, or its model, is a time-out."""
        return any(self._cooldowns.is_slow(key) for key in _keys(route))

    def excuse(self, leave: Leave) -> None:
        """It has timed out, but for want of time: that is no sign that it hangs."""
        for key in (leave.channel_key, leave.model_key):
            self._cooldowns.excuse(key)

    def note_failure(
        self,
        leave: Leave,
        failure: ChannelFailedError,
        *,
        is_cut_short: bool = False,
        has_key: bool = True,
    ) -> None:
        """It has failed, and rests: the channel, or only the model where that is what failed.

        `is_cut_short`: it might have answered later. Then only the model rests, and only here.
        `has_key`: its key is the same for all sandboxes, and no signature of this one's.
        """
        key = leave.model_key if failure.is_models or is_cut_short else leave.channel_key
        is_rate_limit = failure.reason == "rate_limit"
        probe = leave.probes.get(key, 0)
        faults = 0 if is_rate_limit else self._cooldowns.count_fault(key, probe=probe)
        rest_s = self._rules.rest_s(
            is_rate_limit=is_rate_limit, asked_s=failure.retry_after_s, faults=faults
        )
        asked_s = min(failure.retry_after_s or 0.0, self._rules.longest_s)
        is_slow = failure.reason == "timeout"
        has_begun = self._cooldowns.start(
            key, rest_s, asked_s=asked_s, is_slow=is_slow, probe=probe
        )
        self.end(leave)
        if not has_begun:
            return
        is_news = not is_cut_short and (faults > 1 or _is_certain(failure, has_key=has_key))
        if is_news and rest_s >= _SHORTEST_SHARED_S:
            self._shared.share(key)
        else:
            self._shared.give_back(key)

    def note_answer(self, leave: Leave) -> None:
        """It has answered: whatever rest it had when it was asked is over."""
        self._answer(leave, leave.model_key)
        self._answer(leave, leave.channel_key)
        self.end(leave)

    def note_spared(self, leave: Leave, failure: ChannelFailedError) -> None:
        """It has failed, and need not rest. Where it said that it cannot do this, it is up."""
        if failure.reason in {"not_found", "configuration"}:
            self._answer(leave, leave.channel_key)
        self.end(leave)

    def _answer(self, leave: Leave, key: str) -> None:
        cooldown = self._cooldowns.answer(key, leave.at_s)
        if cooldown is not None:
            self._shared.take_off(key, cooldown)

    def note_ending(self, leave: Leave, ending: Ending, *, has_key: bool = True) -> None:
        """A stream that had begun has ended: only a whole one is an answer.

        `has_key`: see `note_failure`.
        """
        if ending == "complete":
            self.note_answer(leave)
        elif ending == "left":
            self.end(leave)
        elif ending.is_resting:
            self.note_failure(leave, ending, has_key=has_key)
        else:
            self.note_spared(leave, ending)

    def end(self, leave: Leave) -> None:
        """The request has ended. Where it was a probe and has said nothing, the next one is."""
        for key, probe in leave.probes.items():
            if self._cooldowns.end_probe(key, probe):
                self._shared.give_back(key)

    async def aclose(self) -> None:
        """Wait for what is being said to the board."""
        await self._shared.aclose()

    def _make_leave(self, route: Route, probes: Mapping[str, int]) -> Leave:
        channel_key, model_key = _keys(route)
        is_known = any(self._cooldowns.find(key) for key in (channel_key, model_key))
        return Leave(
            channel_key=channel_key,
            model_key=model_key,
            at_s=self._clock(),
            probes=probes,
            is_healthy=not is_known,
        )


def _keys(route: Route) -> tuple[str, str]:
    return rest_keys(route.channel, route.upstream_model)


def _is_certain(failure: ChannelFailedError, *, has_key: bool) -> bool:
    """Whether one answer says it of the channel, and not perhaps of a request, or a sandbox.

    A signature may have expired in one sandbox only.
    """
    if failure.reason == "rate_limit":
        return True
    is_rejected = failure.reason == "credentials" and failure.status not in _OF_ONE_REQUEST
    return is_rejected and has_key
