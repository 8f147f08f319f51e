"""Which channels of this process rest, and which request finds out that one answers again.

    healthy ──fails──▶ resting ──time──▶ due ──the first request──▶ probed ──answers──▶ healthy
                          ▲                                           │
                          └───────────── fails: a longer rest ────────┘

To the others a probed channel is still resting. No I/O; time is handed in.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

PROBE_S = 30.0  # after which a probe that said nothing is taken for dead, and another one begins


@dataclass(frozen=True, slots=True, kw_only=True)
class CooldownRules:
    """Seconds that a channel rests: after a fault, after a 429 that names no time, at most.

    Each fault that follows a rest without an answer in between doubles the rest, up to
    `fault_longest_s`.
    """

    fault_s: float = 30.0
    fault_longest_s: float = 120.0
    rate_limit_s: float = 5.0
    longest_s: float = 300.0

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
    """One channel that has failed and has not answered since. `until_s`: by the process's clock."""

    until_s: float = -math.inf
    faults: int = 0
    is_probed: bool = False
    is_shared: bool = False


class Cooldowns:
    """Which channels of this process are resting. A resting channel is tried last, not never."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds, monotonic."""
        self._clock = clock
        self._found: dict[str, Cooldown] = {}

    def find(self, channel: str) -> Cooldown | None:
        """Return what is known of a channel that has failed and not answered since."""
        return self._found.get(channel)

    def count_fault(self, channel: str) -> int:
        """Return how many faults in a row there are with this one.

        One more in the midst of a rest, of a request that had no other channel, says nothing new.
        """
        cooldown = self._found.setdefault(channel, Cooldown())
        if not self.is_cooling(channel) or cooldown.is_probed:
            cooldown.faults += 1
        return cooldown.faults

    def start(self, channel: str, duration_s: float) -> None:
        """Let `channel` rest from now; a rest that would end later stays, a probe is over."""
        cooldown = self._found.setdefault(channel, Cooldown())
        until_s = self._clock() + duration_s
        cooldown.until_s = until_s if cooldown.is_probed else max(until_s, cooldown.until_s)
        cooldown.is_probed = False

    def is_cooling(self, channel: str) -> bool:
        """Whether `channel` is resting now, or another request is finding out."""
        cooldown = self._found.get(channel)
        return cooldown is not None and cooldown.until_s > self._clock()

    def begin_probe(self, channel: str) -> None:
        """Let the others go on avoiding `channel`: this request asks it."""
        cooldown = self._found[channel]
        cooldown.until_s = self._clock() + PROBE_S
        cooldown.is_probed = True

    def end_probe(self, channel: str) -> None:
        """A probe that says nothing of the channel: the next request is one."""
        cooldown = self._found.get(channel)
        if cooldown is not None and cooldown.is_probed:
            cooldown.until_s, cooldown.is_probed = self._clock(), False

    def lose_probe(self, channel: str) -> None:
        """Another sandbox is the one that probes; how long it has is for `learn`."""
        cooldown = self._found.setdefault(channel, Cooldown())
        cooldown.is_probed, cooldown.is_shared = False, True

    def learn(self, channel: str, *, left_s: float, faults: int) -> None:
        """Take over what another sandbox says: `channel` rests for `left_s` seconds more.

        What this process alone has seen goes on if it lasts longer.
        """
        cooldown = self._found.setdefault(channel, Cooldown())
        until_s = self._clock() + left_s
        cooldown.until_s = until_s if cooldown.is_shared else max(until_s, cooldown.until_s)
        cooldown.faults = max(cooldown.faults, faults)
        cooldown.is_shared = True

    def shared(self) -> list[str]:
        """Return the channels whose rest other sandboxes know."""
        return [channel for channel, cooldown in self._found.items() if cooldown.is_shared]

    def clear(self, channel: str) -> Cooldown | None:
        """End the rest of `channel`: it has answered. Return what it was, if it was one."""
        return self._found.pop(channel, None)
