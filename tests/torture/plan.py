"""What each task of a run is and what befalls it: drawn from the seed, task by task.

Three kinds of tasks: a request, a sweep, and what an operator does to an account in the midst.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from tollgate.core.units import Micropoints
from tollgate.ledger.model import Status

TWIN_WITHIN = 12  # requests after which a second run of one comes at the latest
GRANT = Micropoints(12_000)

KILLS = (
    "reserve before",
    "reserve after",
    "called",
    "streaming",
    "extend before",
    "extend after",
    "journal before",
    "journal after",
    "done",
    "settle before",
    "settle after",
    "release before",
    "release after",
)
SWEEP_KILLS = (
    "void before",
    "void after",
    "settle before",
    "settle after",
    "move before",
    "move after",
)
RULING_KILLS = ("grant before", "grant after", "status before", "status after")
OUTCOMES = ("answer",) * 12 + ("overrun",) * 3 + ("refused", "broken", "no usage")
AHEAD_SHARE = 0.05  # of the sweeps beside requests
RATES = (0.0, 0.05, 0.1, 0.2, 0.3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One request. Its twin has the same id and time, and other dice.

    `since_off`: of the clock of the API Gateway that took it, which its event brings and both runs
    go by; `clock_off`: of this run's sandbox, whose clock says nothing but when it ended. `size`:
    words of a chat's answer, `limit` their limit; of an image request twice the images.
    """

    index: int
    request_id: str
    is_image: bool
    since_off: timedelta
    clock_off: timedelta
    account: str
    key: str
    is_stream: bool
    size: int
    limit: int | None
    outcome: str
    rate: float
    kill: str
    seed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """One call of the sweep. `ahead`: of its clock; a day, and it takes live holds for dead."""

    ahead: timedelta
    rate: float
    kill: str
    seed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A top-up (`grant`: its id), or a new `status`; done again, by its id, until it is done."""

    account: str
    grant: str
    status: Status
    rate: float
    kill: str
    seed: str


def draw(seed: int, index: int, accounts: int) -> Plan:
    """Return the plan of request `index`; every twentieth is a second run of an earlier one."""
    dice = random.Random(f"{seed}/{index}")
    same = index - dice.randint(1, TWIN_WITHIN) if index % 20 == TWIN_WITHIN else index
    twin = random.Random(f"{seed}/{same}/same")
    is_killed = dice.random() < 0.15
    return Plan(
        index=index,
        request_id=f"{seed:08x}-{same:012d}",
        is_image=twin.random() < 0.25,
        since_off=timedelta(seconds=twin.choice((0, 0, -5, 10))),
        clock_off=timedelta(seconds=dice.choice((0, 0, 0, -86_400, 86_400, 0.5))),
        account=f"t-{twin.randrange(accounts)}",
        key=twin.choice(("k0", "k1", "k2")),
        is_stream=dice.random() < 0.8,
        size=dice.randint(1, 12),
        limit=dice.choice((None, 20, 20, 40)),
        outcome=dice.choice(OUTCOMES),
        rate=dice.choice(RATES),
        kill=dice.choice(KILLS) if is_killed else "",
        seed=f"{seed}/{index}/faults",
    )


def draw_sweep(seed: int, index: int, *, is_killed: bool | None = None) -> SweepPlan:
    """Return the plan of sweep `index`; `is_killed` None: the dice say."""
    dice = random.Random(f"{seed}/sweep/{index}")
    dies = dice.random() < 0.4 if is_killed is None else is_killed
    return SweepPlan(
        rate=dice.choice(RATES),
        kill=dice.choice(SWEEP_KILLS) if dies else "",
        ahead=timedelta(days=dice.random() < AHEAD_SHARE),
        seed=f"{seed}/sweep/{index}/faults",
    )


def certain_sweeps(seed: int) -> Iterator[SweepPlan]:
    """Yield a sweep that is killed if there is any hold, and one of which every call fails."""
    nothing = timedelta(0)
    yield SweepPlan(ahead=nothing, rate=0.0, kill="void before", seed=f"{seed}/sweep/killed")
    yield SweepPlan(ahead=nothing, rate=1.0, kill="", seed=f"{seed}/sweep/faults")


def draw_ruling(seed: int, index: int, accounts: int) -> Ruling | None:
    """Return what an operator does after `index` requests, now and then."""
    dice = random.Random(f"{seed}/ruling/{index}")
    chance = dice.random()
    if chance > 0.3:
        return None
    return Ruling(
        account=f"t-{dice.randrange(accounts)}",
        grant=f"g-{index}" if chance < 0.1 else "",
        status="suspended" if chance < 0.12 else "active",
        rate=dice.choice(RATES),
        kill=dice.choice(RULING_KILLS) if dice.random() < 0.15 else "",
        seed=f"{seed}/ruling/{index}/faults",
    )
