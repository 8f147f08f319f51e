"""The calls that a dead channel gets from many sandboxes, and what sparing it costs: simulated.

Each sandbox is a real `Rests` with requests at random; the time and the board are simulated. The
channel is dead from the beginning, fails at once with 500, and answers again at the end.
"""

import asyncio
import heapq
import random
from collections import Counter, deque
from dataclasses import dataclass, field

from tollgate.core.catalog import Route
from tollgate.upstream.cooldowns import CooldownRules
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.rests import Rests

from tests.fakes.rest_board import FakeRestBoard

REQUESTS_EVERY_S = 5.0
AFTER_S = 300.0
READ_USD_A_MILLION = 0.125 / 2  # half a read unit each; us-east-1, on demand, November 2026
WRITE_USD_A_MILLION = 0.625

_ROUTE = Route(channel="c", upstream_model="m")


@dataclass(slots=True)
class Outage:
    """What happened. `back_s`: seconds after its end until most requests went to it again."""

    requests: int = 0
    calls: int = 0
    first_minute: int = 0
    back_s: float = 0.0
    board: Counter[str] = field(default_factory=Counter)

    @property
    def usd_a_million(self) -> float:
        """What the board costs for a million requests."""
        writes = self.board.total() - self.board["read"]
        cost = self.board["read"] * READ_USD_A_MILLION + writes * WRITE_USD_A_MILLION
        return cost / max(1, self.requests)


class _Simulation:
    def __init__(self, sandboxes: int, *, is_shared: bool, seed: int) -> None:
        self.now_s = 0.0
        self.board = FakeRestBoard()
        self.dice = random.Random(seed)
        self.outage = Outage(board=self.board.calls)
        self._fleet = [
            Rests(
                clock=lambda: self.now_s,
                now_s=lambda: self.now_s,
                rules=CooldownRules(),
                board=self.board if is_shared else None,
            )
            for _ in range(sandboxes)
        ]
        self._due = [(self._gap_s(), number) for number in range(sandboxes)]
        heapq.heapify(self._due)

    def _gap_s(self) -> float:
        return self.dice.expovariate(1 / REQUESTS_EVERY_S)

    async def run(self, dead_s: float, after_s: float) -> Outage:
        recent: deque[bool] = deque(maxlen=len(self._fleet) // 10)
        while self.now_s < dead_s + after_s:
            self.now_s, number = heapq.heappop(self._due)
            heapq.heappush(self._due, (self.now_s + self._gap_s(), number))
            is_dead = self.now_s < dead_s
            is_asked = await self._serve(self._fleet[number], is_dead=is_dead)
            recent.append(is_asked)
            if not is_dead and not self.outage.back_s and sum(recent) > len(self._fleet) // 20:
                self.outage.back_s = self.now_s - dead_s
        return self.outage

    async def _serve(self, rests: Rests, *, is_dead: bool) -> bool:
        """Serve one request; return whether the channel was asked."""
        rests.look()
        await rests.catch_up()
        leave = await rests.ask(_ROUTE)
        is_asked = leave is not None
        if is_dead:
            self.outage.requests += 1
            self.outage.calls += is_asked
            self.outage.first_minute += is_asked and self.now_s < 60
        if leave is not None and is_dead:
            rests.note_failure(leave, ChannelFailedError("unavailable", status=500))
        elif leave is not None:
            rests.note_answer(leave)
        await asyncio.sleep(0)
        return is_asked


def simulate(
    sandboxes: int, dead_s: float, *, is_shared: bool, after_s: float = AFTER_S, seed: int = 1
) -> Outage:
    """Return what a channel that is dead for `dead_s` seconds gets, and costs."""
    simulation = _Simulation(sandboxes, is_shared=is_shared, seed=seed)
    return asyncio.run(simulation.run(dead_s, after_s))


def main() -> None:
    """Print an hour's outage, a thousand sandboxes, with the board and without."""
    print("\nAn hour's dead channel, 1000 sandboxes, a request every 5 s each")
    for title, is_shared in (("each for itself", False), ("with the board", True)):
        outage = simulate(1000, 3600, is_shared=is_shared)
        print(
            f"  {title:16} {outage.calls:6} calls of {outage.requests} requests,"
            f" {outage.first_minute} in the first minute; back after {outage.back_s:.0f} s;"
            f" board {dict(outage.board)}, {outage.usd_a_million:.3f} USD a million requests"
        )
    healthy = simulate(1000, 0, is_shared=True)
    requests = AFTER_S * 1000 / REQUESTS_EVERY_S
    print(f"  healthy: {healthy.board['read'] / requests:.2f} reads a request, nothing else")


if __name__ == "__main__":
    main()
