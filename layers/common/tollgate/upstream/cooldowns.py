"""What rests in this process, and which request finds out that it answers again.

    healthy ──fails──▶ resting ──time──▶ due ──the first request──▶ probed ──answers──▶ healthy
                          ▲                                           │
                          └───────────── fails: a longer rest ────────┘

To the others what is probed is still resting. Keys are those of `core.rests`: a channel, or one
model of it. No I/O; time is handed in.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

PROBE_S = 30.0  # after which a probe that said nothing is taken for dead, and another one begins


@dataclass(frozen=True, slots=True, kw_only=True)
class CooldownRules:
    """Seconds of rest: after a fault, after a 429 that names no time, at most.

    Each fault that follows a rest without an answer in between doubles the rest, up to
    `fault_longest_s`. `fair_s`: who was waited for so long has had its chance, if less was left of
    the request's time than it is usually given.
    """

    fault_s: float = 30.0
    fault_longest_s: float = 120.0
    rate_limit_s: float = 5.0
    longest_s: float = 300.0
    fair_s: float = 30.0

    def rest_s(self, *, is_rate_limit: bool, asked_s: float | None, faults: int = 1) -> float:
        """Return how long one rests; `asked_s`: what the vendor asks to wait, if it says so.

        `faults`: how many in a row, this one included.
        """
        if is_rate_limit:
            return min(self.rate_limit_s if asked_s is None else asked_s, self.longest_s)
        doublings = min(max(faults, 1) - 1, 16)
        own_s = min(self.fault_s * (1 << doublings), self.fault_longest_s)
        return max(own_s, min(asked_s or 0.0, self.longest_s))


@dataclass(slots=True, kw_only=True)
class Cooldown:
    """What has failed and has not answered since. Times are the process's clock's.

    `asked_until_s`: until when the vendor has asked not to be called. `probe`: the number of the
    probe that is under way, or 0. `is_slow`: what failed last was a time-out.
    """

    since_s: float = -math.inf
    until_s: float = -math.inf
    asked_until_s: float = -math.inf
    faults: int = 0
    probe: int = 0
    is_shared: bool = False
    is_slow: bool = False


class Cooldowns:
    """What is resting in this process. It is tried last, not never, unless its vendor said when."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds, monotonic."""
        self._clock = clock
        self._found: dict[str, Cooldown] = {}
        self._probes = 0

    def find(self, key: str) -> Cooldown | None:
        """Return what is known of one that has failed and not answered since."""
        return self._found.get(key)

    def count_fault(self, key: str, *, probe: int = 0) -> int:
        """Return how many faults in a row there are with this one.

        One more in the midst of a rest, of a request that had no other channel, says nothing new:
        nor does one beside a probe; `probe`: that of the request which has failed, or 0.
        """
        cooldown = self._found.setdefault(key, Cooldown())
        if not self.is_cooling(key) or (cooldown.probe and cooldown.probe == probe):
            cooldown.faults += 1
        return cooldown.faults

    def start(
        self,
        key: str,
        duration_s: float,
        *,
        asked_s: float = 0.0,
        is_slow: bool = False,
        probe: int = 0,
    ) -> bool:
        """Let `key` rest from now; a rest that would end later stays, its own probe is over.

        `asked_s`: seconds in which the vendor wants no call. `is_slow`: it has timed out. `probe`:
        that of the request which has failed, or 0: another's goes on, and says what is so. Return
        whether a rest has begun.
        """
        cooldown = self._found.setdefault(key, Cooldown())
        now_s = self._clock()
        if asked_s > 0:
            cooldown.asked_until_s = max(now_s + asked_s, cooldown.asked_until_s)
        if cooldown.probe and cooldown.probe != probe and self.is_cooling(key):
            cooldown.until_s = max(cooldown.until_s, cooldown.asked_until_s)
            return False
        until_s = now_s + duration_s
        cooldown.until_s = until_s if cooldown.probe else max(until_s, cooldown.until_s)
        cooldown.since_s, cooldown.probe, cooldown.is_slow = now_s, 0, is_slow
        return True

    def is_cooling(self, key: str) -> bool:
        """Whether `key` is resting now, or another request is finding out."""
        cooldown = self._found.get(key)
        return cooldown is not None and cooldown.until_s > self._clock()

    def is_slow(self, key: str) -> bool:
        """Whether `key` has timed out, and has neither answered nor been excused since."""
        cooldown = self._found.get(key)
        return cooldown is not None and cooldown.is_slow

    def excuse(self, key: str) -> None:
        """Its last time-out is no sign that it hangs."""
        cooldown = self._found.get(key)
        if cooldown is not None:
            cooldown.is_slow = False

    def asked_left_s(self, key: str) -> float:
        """Return the seconds for which the vendor goes on wanting no call; 0 or more."""
        cooldown = self._found.get(key)
        return 0.0 if cooldown is None else max(0.0, cooldown.asked_until_s - self._clock())

    def begin_probe(self, key: str) -> int:
        """Let the others go on avoiding `key`: this request asks. Return the probe's number."""
        self._probes += 1
        cooldown = self._found[key]
        cooldown.until_s, cooldown.probe = self._clock() + PROBE_S, self._probes
        return self._probes

    def end_probe(self, key: str, probe: int) -> bool:
        """A probe has ended without a word: the next request is one. Only who has begun it can.

        Return whether that was so.
        """
        cooldown = self._found.get(key)
        if cooldown is None or cooldown.probe != probe:
            return False
        cooldown.until_s, cooldown.probe = max(self._clock(), cooldown.asked_until_s), 0
        return True

    def lose_probe(self, key: str) -> None:
        """Another sandbox is the one that probes; how long it has is for `learn`."""
        cooldown = self._found.setdefault(key, Cooldown())
        cooldown.probe, cooldown.is_shared = 0, True

    def learn(
        self,
        key: str,
        *,
        left_s: float,
        faults: int,
        asked_left_s: float = 0.0,
        is_probe: bool = False,
    ) -> None:
        """Take over what another sandbox says: `key` rests for `left_s` seconds more.

        What this process alone has seen goes on if it lasts longer. A probe of another's is no rest
        that has begun: what was asked of `key` before it may still end the rest.
        """
        now_s = self._clock()
        if key not in self._found or not (is_probe or self.is_cooling(key)):
            self._found.setdefault(key, Cooldown()).since_s = now_s
        cooldown = self._found[key]
        until_s, asked_until_s = now_s + left_s, now_s + asked_left_s
        if not cooldown.is_shared:
            until_s = max(until_s, cooldown.until_s)
            asked_until_s = max(asked_until_s, cooldown.asked_until_s)
        cooldown.until_s, cooldown.asked_until_s = until_s, asked_until_s
        cooldown.faults = max(cooldown.faults, faults)
        cooldown.is_shared = True

    def shared(self) -> list[str]:
        """Return the keys whose rest other sandboxes know."""
        return [key for key, cooldown in self._found.items() if cooldown.is_shared]

    def answer(self, key: str, asked_at_s: float) -> Cooldown | None:
        """A request made at `asked_at_s` was answered: end the rest, and return what it was.

        Not one that has begun since, of which that answer says nothing; nor one for which the
        vendor has named a time that is still to come.
        """
        cooldown = self._found.get(key)
        if cooldown is None or cooldown.since_s > asked_at_s or self.asked_left_s(key):
            return None
        return self._found.pop(key)

    def forget(self, key: str) -> None:
        """End the rest of `key`: others have had an answer. Not before the vendor's own time."""
        if not self.asked_left_s(key):
            self._found.pop(key, None)
