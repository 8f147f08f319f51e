"""A board of rests in memory, with the store's own semantics; it counts what it is asked."""

from collections import Counter
from dataclasses import dataclass, field

from tollgate.core.rests import Board, Rest
from tollgate.errors import LedgerUnavailableError


@dataclass(slots=True)
class FakeRestBoard:
    """Implements `upstream.rests.RestBoard`. `is_down`: every call fails."""

    rests: dict[str, Rest] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    is_down: bool = False

    async def read(self) -> Board:
        self._note("read")
        return dict(self.rests)

    async def post(self, channel: str, rest: Rest) -> tuple[bool, Board]:
        self._note("post")
        standing = self.rests.get(channel)
        return self._write(channel, rest, standing is None or standing.until_ms < rest.until_ms)

    async def claim(self, channel: str, probe: Rest, *, now_ms: int) -> tuple[bool, Board]:
        self._note("claim")
        standing = self.rests.get(channel)
        return self._write(channel, probe, standing is not None and standing.until_ms <= now_ms)

    async def remove(self, channel: str, *, until_ms: int) -> None:
        self._note("remove")
        standing = self.rests.get(channel)
        if standing is not None and standing.until_ms <= until_ms:
            del self.rests[channel]

    def _write(self, channel: str, rest: Rest, is_free: bool) -> tuple[bool, Board]:
        if is_free:
            self.rests[channel] = rest
        return is_free, dict(self.rests)

    def _note(self, name: str) -> None:
        self.calls[name] += 1
        if self.is_down:
            raise LedgerUnavailableError
