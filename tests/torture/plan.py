"""What each request of a run is and what befalls it: drawn from the seed, request by request."""

import random
from dataclasses import dataclass
from datetime import timedelta

TWIN_WITHIN = 12  # requests after which a second run of one comes at the latest

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
OUTCOMES = ("answer",) * 12 + ("overrun",) * 3 + ("refused", "broken", "no usage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One request. Its twin has the same id and time, and other dice."""

    index: int
    request_id: str
    clock_off: timedelta
    account: str
    key: str
    is_stream: bool
    words: int
    limit: int | None
    outcome: str
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
        clock_off=timedelta(seconds=dice.choice((0, 0, 0, -86_400, 86_400, 0.5))),
        account=f"t-{twin.randrange(accounts)}",
        key=twin.choice(("k0", "k1", "k2")),
        is_stream=dice.random() < 0.8,
        words=dice.randint(1, 12),
        limit=dice.choice((None, 20, 20, 40)),
        outcome=dice.choice(OUTCOMES),
        rate=dice.choice((0.0, 0.05, 0.1, 0.2, 0.3)),
        kill=dice.choice(KILLS) if is_killed else "",
        seed=f"{seed}/{index}/faults",
    )
