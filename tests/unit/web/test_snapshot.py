"""What the hooks of SnapStart do, in which order, on parts that note it."""

import asyncio
import random
from collections.abc import Iterator
from functools import cache

import pytest
from tollgate.web.snapshot import freeze, thaw


@pytest.fixture(autouse=True)
def loop() -> Iterator[None]:
    """The runtime has a current loop that does not run."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


class Noting:
    """A part that notes what is done with it."""

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes
        notes.append("made")

    async def aclose(self) -> None:
        """Note it."""
        self._notes.append("closed")


def test_part_is_made_closed_and_made_anew() -> None:
    """What is prepared comes first; the copy's part is another one than the snapshot's."""
    notes: list[str] = []

    @cache
    def get_part() -> Noting:
        return Noting(notes)

    freeze([get_part], [lambda: notes.append("prepared")])
    assert notes == ["prepared", "made", "closed"]

    thaw([get_part])
    assert notes == ["prepared", "made", "closed", "made"]
    assert get_part() is get_part()
    assert notes.count("made") == 2


def test_part_of_the_start_is_not_in_the_snapshot() -> None:
    """One that was used before the snapshot, with what it has cached, is closed and let go."""
    notes: list[str] = []

    @cache
    def get_part() -> Noting:
        return Noting(notes)

    used = get_part()
    freeze([get_part], [])
    thaw([get_part])

    assert notes == ["made", "closed", "made"]
    assert get_part() is not used


def test_copies_draw_differently() -> None:
    """Two copies of one snapshot do not choose the same channels and waits."""
    state = random.getstate()
    draws = []
    for _ in range(2):
        random.setstate(state)
        thaw([])
        draws.append(random.random())

    assert draws[0] != draws[1]
