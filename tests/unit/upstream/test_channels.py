"""Order, and what a 429 asks for."""

import random
from collections import Counter

import pytest
from tollgate.core.catalog import Route
from tollgate.upstream.channels import order_routes, read_retry_after_s


def route(name: str, priority: int = 0, weight: int = 1) -> Route:
    return Route(channel=name, upstream_model="m", priority=priority, weight=weight)


def order(*routes: Route, resting: str = "", seed: int = 1) -> str:
    draw = random.Random(seed).random
    ordered = order_routes(routes, is_cooling=lambda one: one.channel in resting, random=draw)
    return "".join(route.channel for route in ordered)


def test_lower_priority_is_first() -> None:
    """Priority decides before weight does."""
    assert order(route("c", 2), route("a", 0), route("b", 1, 100)) == "abc"


def test_resting_channels_are_last() -> None:
    """A rest weighs more than priority, and the order among the resting stays."""
    routes = [route("a"), route("b", 1), route("c", 2)]

    assert order(*routes, resting="ab") == "cab"
    assert order(*routes, resting="abc") == "abc"


def test_weight_is_a_share() -> None:
    """Of two routes, weight 3 is first about three times of four."""
    firsts = Counter(order(route("a", 0, 3), route("b"), seed=seed)[0] for seed in range(4000))

    assert 2850 < firsts["a"] < 3150


def test_weight_zero_is_after_all_others() -> None:
    """A spare route of a priority comes after its siblings, and before the next priority."""
    routes = [route("z", 0, 0), route("a"), route("n", 1)]

    assert {"azn"} == {order(*routes, seed=seed) for seed in range(50)}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "7", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "7", "retry-after-ms": "soon"}, 7.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:16:50 GMT"}, 10.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    """Milliseconds, seconds and dates are read; nonsense is no answer."""
    assert expected == read_retry_after_s(headers, now_s=1000.0)
