"""Which catalog is in force."""

from pathlib import Path

import pytest
from tollgate.errors import CatalogError, LedgerUnavailableError
from tollgate.web.live_catalog import PACKAGED, REFRESH_S, LiveCatalog

PUSHED = "points_per_usd = 7\n"


class Store:
    """A table with a pushed text, or one that fails."""

    def __init__(self, text: str | None = None) -> None:
        self.text = text
        self.error: Exception | None = None
        self.asked: list[str | None] = []

    def load_catalog(self, known_version: str | None) -> str | None:
        self.asked.append(known_version)
        if self.error is not None:
            raise self.error
        return self.text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_packaged_until_one_is_pushed() -> None:
    """The default at first; a push is taken within a minute, without one being asked meanwhile."""
    store, clock = Store(), Clock()
    live = LiveCatalog(store, None, clock)
    first = await live.current()
    store.text = PUSHED
    clock.now = REFRESH_S - 1
    second = await live.current()
    clock.now = REFRESH_S
    third = await live.current()

    assert first is second
    assert "gpt-4o" in first.models
    assert third.points_per_usd == 7
    assert store.asked == [None, first.version]
    assert REFRESH_S <= 60


async def test_file_is_used_alone(tmp_path: Path) -> None:
    """With a file the table is not asked."""
    file, store = tmp_path / "c.toml", Store(PUSHED)
    file.write_text("points_per_usd = 9\n")

    assert (await LiveCatalog(store, file).current()).points_per_usd == 9
    assert store.asked == []


@pytest.mark.parametrize("error", [LedgerUnavailableError(), None])
async def test_bad_refresh_keeps_what_is_known(error: Exception | None) -> None:
    """Neither a database that is away nor a broken push takes prices away."""
    store, clock = Store(PUSHED), Clock()
    live = LiveCatalog(store, None, clock)
    await live.current()
    store.error, store.text, clock.now = error, "broken", REFRESH_S

    assert (await live.current()).points_per_usd == 7


@pytest.mark.parametrize(
    ("text", "error", "expected"),
    [(None, LedgerUnavailableError(), LedgerUnavailableError), ("broken", None, CatalogError)],
)
async def test_first_load_must_succeed(
    text: str | None, error: Exception | None, expected: type[Exception]
) -> None:
    """A guess at prices would charge wrongly."""
    store = Store(text)
    store.error = error

    with pytest.raises(expected):
        await LiveCatalog(store, None).current()


def test_packaged_catalog_is_in_the_layer() -> None:
    """The file is where Lambda finds it."""
    assert PACKAGED.is_file()
