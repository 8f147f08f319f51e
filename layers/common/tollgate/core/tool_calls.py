"""The tool calls of one streamed choice, counted from 0 in the order in which they begin.

Vendors leave the index out, or count from 1 where a text came before (the calls are then the second
block of the answer). The clients' own helpers put a call where its index says, and fail on a gap.
"""

from collections.abc import Mapping


class ToolCallOrder:
    """Which calls have begun, by the vendor's index where there is one, else by id."""

    def __init__(self) -> None:
        self._ids: list[str | None] = []
        self._positions: dict[int, int] = {}

    def place(self, fragment: Mapping[str, object]) -> tuple[int, bool]:
        """Return the index of the call that a fragment belongs to, and whether it begins it."""
        given = fragment.get("index")
        if isinstance(given, int) and given >= 0:
            position = self._positions.setdefault(given, len(self._ids))
        else:
            position = self._find(fragment)
        is_first = position == len(self._ids)
        if is_first:
            call_id = fragment.get("id")
            self._ids.append(str(call_id) if call_id else None)
        return position, is_first

    def _find(self, fragment: Mapping[str, object]) -> int:
        """Return the place by id; without one, a name begins a call, and all else is the last's."""
        call_id = fragment.get("id")
        if call_id:
            text = str(call_id)
            return self._ids.index(text) if text in self._ids else len(self._ids)
        function = fragment.get("function")
        is_new = isinstance(function, Mapping) and bool(function.get("name"))
        return len(self._ids) if is_new else max(0, len(self._ids) - 1)
