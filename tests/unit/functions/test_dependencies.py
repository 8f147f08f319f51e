"""What FastAPI injects, it finds on the event loop."""

import inspect
from collections.abc import Iterator
from typing import Any

from tests.functions import load_function


def _dependencies(dependant: Any) -> Iterator[Any]:
    for one in dependant.dependencies:
        yield one.call
        yield from _dependencies(one)


def test_no_dependency_takes_a_thread() -> None:
    """A plain function would get one, each time, and the request would wait for it."""
    routes = load_function("billing").app.routes
    found = {
        call
        for route in routes
        if hasattr(route, "dependant")
        for call in _dependencies(route.dependant)
    }

    assert found
    assert [call for call in found if not inspect.iscoroutinefunction(call)] == []
