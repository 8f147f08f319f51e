"""The figures that this project wants to reach, each a ratio, and how they come from the results.

A goal that is missed says why. Source of the goals: figures of prototypes on a machine of the same
kind, before the build.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

type Results = Mapping[str, Any]

OURS = "tollgate"
GATEWAYS = (OURS, "naive", "adapter", "uvloop", "portkey", "litellm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One row. `find`: the figure of a gateway, KeyError where it was not measured.

    `most`: what ours is to be at most; None: only shown. `reason`: why it is missed, if it is.
    """

    what: str
    find: Callable[[Results, str], float]
    most: float | None = None
    reason: str = ""

    def of(self, results: Results, gateway: str) -> float | None:
        """Return the figure of a gateway, or None where there is none."""
        try:
            return self.find(results, gateway)
        except (KeyError, ZeroDivisionError):
            return None


def middle(results: Results, gateway: str, name: str) -> float:
    """Return the median of one of a gateway's figures of streams."""
    return float(results["streams"][gateway][name]["median"])


def added_first(results: Results, gateway: str) -> float:
    """Return the milliseconds that a gateway adds to the time to the first chunk."""
    return middle(results, gateway, "first_ms") - middle(results, "direct", "first_ms")


def _by_litellm(name: str) -> Callable[[Results, str], float]:
    return lambda results, who: middle(results, who, name) / middle(results, "litellm", name)


def _by_adapter(name: str) -> Callable[[Results, str], float]:
    def find(results: Results, who: str) -> float:
        return middle(results, _only(who), name) / middle(results, "adapter", name)

    return find


def _only(gateway: str) -> str:
    """Return the gateway if a row is about it: those against the adapter are about ours alone."""
    if gateway != OURS:
        raise KeyError(gateway)
    return gateway


def _start(name: str) -> Callable[[Results, str], float]:
    """Return what finds a start's ratio to `import fastapi, boto3`."""
    cases = {OURS: f"{name}, ready", "naive": f"naive {name}"}
    return lambda results, who: results["imports"][cases[who]]


def _ready_by_adapter(results: Results, who: str) -> float:
    ready = {name: results["starts"][name]["ready_s"]["median"] for name in (_only(who), "adapter")}
    return float(ready[who] / ready["adapter"])


def _stretch(results: Results, who: str) -> float:
    return float(results["shares"][who]["256"]["stretch_at_the_rate"])


def _long(results: Results, who: str) -> float:
    long = results["long"][who]
    return float(long["memory_at_the_end_mb"] / long["memory_after_a_tenth_mb"])


_SAME_APP = (
    "the same app does nearly all of the work; between it and Lambda is Python here, a proxy in"
    " Rust and uvicorn there"
)

GOALS = (
    Goal(
        what="added time to the first chunk, metered ÷ LiteLLM's, unmetered",
        find=lambda results, who: added_first(results, who) / added_first(results, "litellm"),
        most=0.20,
        reason=(
            "a fifth each goes by until the app has its event, until the hold is asked for, in the"
            " hold's call, until the vendor is asked, and from its first word to ours, in many"
            " small steps of Python's; LiteLLM holds no money before it asks"
        ),
    ),
    Goal(
        what="CPU a chunk in bursts ÷ LiteLLM's",
        find=_by_litellm("burst_cpu_us"),
        most=0.015,
        reason=(
            "two fifths of it are the request's own, its hold, journal and settlement; the next"
            " row is what a chunk adds, of which the relay is half"
        ),
    ),
    Goal(what="CPU of each further chunk ÷ LiteLLM's", find=_by_litellm("burst_cpu_further_us")),
    Goal(
        what="CPU a chunk, one a millisecond ÷ LiteLLM's",
        find=_by_litellm("paced_cpu_us"),
        most=0.16,
        reason=(
            "a client that does nothing but read such a stream takes 63 µs a chunk, and the write"
            " nearly half as much again; the rest is the relay, ASGI's layers and a hundredth of"
            " the request's own"
        ),
    ),
    Goal(
        what="a burst of 1000 chunks, until `[DONE]` ÷ without a gateway",
        find=lambda results, who: (
            middle(results, who, "burst_wall_ms") / middle(results, "direct", "burst_wall_ms")
        ),
        most=4,
        reason=(
            "a chunk takes 7 µs of Python where the way without a gateway takes 1, and the hold"
            " before and the journal after them are in it"
        ),
    ),
    Goal(
        what="500 chunks a second at the CPU of 256 MB: time until all are there ÷ sent",
        find=_stretch,
        most=1.02,
    ),
    Goal(
        what="start of chat, ready ÷ `import fastapi, boto3`, CPU",
        find=_start("chat"),
        most=1.2,
        reason=(
            "FastAPI, httpx and aiohttp are nine tenths of it; aiohttp alone, which is"
            " there for the CPU of chunks, is a seventh"
        ),
    ),
    Goal(what="start of models, ready ÷ the same", find=_start("models"), most=0.9),
    Goal(
        what="peak memory of chat with its tokenizer ÷ LiteLLM's",
        find=lambda results, who: results["peaks_mb"][who] / results["peaks_mb"]["litellm"],
        most=0.35,
    ),
    Goal(
        what="counting the worst 1 MB prompt ÷ 1 MB of prose",
        find=lambda results, who: max(
            ratio for ratio in results["counting"][who].values() if ratio is not None
        ),
        most=3,
    ),
    Goal(
        what="kinds of prompts that the count fails on",
        find=lambda results, who: list(results["counting"][who].values()).count(None),
        most=0,
    ),
    Goal(what="memory at the end of 100 000 chunks ÷ after 10 000", find=_long, most=1.05),
    Goal(
        what="CPU a chunk at their end ÷ at their begin",
        find=lambda results, who: results["long"][who]["cpu_end_by_begin"],
        most=1.1,
    ),
    Goal(
        what="time to the first chunk ÷ Web Adapter's, same app",
        find=_by_adapter("first_ms"),
        most=1,
        reason=_SAME_APP,
    ),
    Goal(
        what="CPU a chunk in bursts ÷ Web Adapter's",
        find=_by_adapter("burst_cpu_us"),
        most=1,
        reason=_SAME_APP,
    ),
    Goal(
        what="CPU a chunk, one a millisecond ÷ Web Adapter's",
        find=_by_adapter("paced_cpu_us"),
        most=1,
        reason=_SAME_APP,
    ),
    Goal(what="start until the first event ÷ Web Adapter's", find=_ready_by_adapter, most=1),
)
