"""A board of rests in memory, with the store's own semantics; it counts what it is asked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tollgate.core.rests import Board, Rest
from tollgate.errors import LedgerUnavailableError


@dataclass(slots=True)
class FakeRestBoard:
    """Implements `upstream.shared_rests.RestBoard`. `is_down`: every call fails."""

    rests: dict[str, Rest] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    is_down: bool = False

    async def read(self) -> Board:
        self._note("read")
        return dict(self.rests)

    async def post(self, key: str, rest: Rest, *, stale: Sequence[str] = ()) -> tuple[bool, Board]:
        self._note("post")
        standing = self.rests.get(key)
        is_free = standing is None or standing.until_ms < rest.until_ms
        for name in stale if is_free else ():
            self.rests.pop(name, None)
        return self._write(key, rest, is_free)

    async def claim(self, key: str, probe: Rest, *, now_ms: int) -> tuple[bool, Board]:
        self._note("claim")
        standing = self.rests.get(key)
        return self._write(key, probe, standing is not None and standing.until_ms <= now_ms)

    async def replace(self, key: str, rest: Rest, *, probe_ms: int) -> tuple[bool, Board]:
        self._note("replace")
        standing = self.rests.get(key)
        is_own = standing is not None and standing.is_probe and standing.until_ms == probe_ms
        return self._write(key, rest, is_own)

    async def remove(self, key: str, *, until_ms: int) -> None:
        self._note("remove")
        standing = self.rests.get(key)
        if standing is not None and (standing.until_ms <= until_ms or standing.is_probe):
            del self.rests[key]

    def _write(self, key: str, rest: Rest, is_free: bool) -> tuple[bool, Board]:
        if is_free:
            self.rests[key] = rest
        return is_free, dict(self.rests)

    def _note(self, name: str) -> None:
        self.calls[name] += 1
        if self.is_down:
            raise LedgerUnavailableError
