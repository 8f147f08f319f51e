"""Tool calls of a stream, counted in the order in which they begin."""

from typing import Any

from tollgate.core.tool_calls import ToolCallOrder


def place(*fragments: dict[str, Any]) -> list[tuple[int, bool]]:
    order = ToolCallOrder()
    return [order.place(fragment) for fragment in fragments]


def test_given_indexes_are_counted_from_0() -> None:
    """Gaps and a first index of 1 leave no hole for the clients' helpers to fall into."""
    found = place({"index": 1, "id": "a"}, {"index": 4, "id": "b"}, {"index": 1}, {"index": 4})

    assert found == [(0, True), (1, True), (0, False), (1, False)]


def test_without_an_index_the_id_decides() -> None:
    """A new id begins a call, a known one goes on with it, none is the last one's."""
    found = place({"id": "a"}, {"id": "b"}, {"id": "a"}, {}, {"function": {"arguments": "{}"}})

    assert found == [(0, True), (1, True), (0, False), (1, False), (1, False)]


def test_without_index_and_id_a_name_begins_a_call() -> None:
    """What has neither belongs to the last call, or is the first one's beginning."""
    named = {"function": {"name": "f"}}

    assert place({}, named, {}, named) == [(0, True), (1, True), (1, False), (2, True)]
