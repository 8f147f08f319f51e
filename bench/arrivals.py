"""An answer as its receiver saw it: which bytes came when."""

import re
from dataclasses import dataclass, field

_SIZE = re.compile(rb"([0-9a-fA-F]+)\r\n")
_CHUNK = b'"choices"'
_TEXT = re.compile(rb'"content": ?"[^"]')
_END = re.compile(rb"\[DONE\]")
_MARK_BYTES_MAX = 16


class WrongAnswerError(Exception):
    """A gateway did not answer as it was asked: its figures would mean nothing."""


@dataclass(slots=True, kw_only=True)
class Arrivals:
    """The reads of one answer. Times are `time.perf_counter` seconds.

    `asked_s`: when the request was handed over; `reads`: the bytes with their time.
    """

    asked_s: float = 0.0
    reads: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def raw(self) -> bytes:
        """Return all that came, framing included."""
        return b"".join(data for _, data in self.reads)

    @property
    def body(self) -> bytes:
        """Return the answer's body: some gateways cut it within an event."""
        head, end, rest = self.raw.partition(b"\r\n\r\n")
        return dechunk(rest if end and head.startswith(b"HTTP/1.1 ") else self.raw)

    @property
    def first_s(self) -> float:
        """Return the seconds until the first chunk with a text was there.

        The one before it has only the role, and is held back by who may still ask another vendor.
        """
        return self._find(_TEXT) - self.asked_s

    @property
    def wall_s(self) -> float:
        """Return the seconds until `[DONE]` was there."""
        return self._find(_END, is_last=True) - self.asked_s

    def count_chunks(self) -> int:
        """Return how many chunks of a completion came."""
        return self.body.count(_CHUNK)

    def check(self, chunks: int) -> "Arrivals":
        """Return itself.

        Raises: WrongAnswerError: it has less than so many chunks, or no end.
        """
        body = self.body
        if body.count(_CHUNK) < chunks or _END.search(body[-2000:]) is None:
            raise WrongAnswerError(
                f"{body.count(_CHUNK)} of {chunks} chunks: {body[:600]!r} … {body[-200:]!r}"
            )
        return self

    def _find(self, mark: re.Pattern[bytes], *, is_last: bool = False) -> float:
        """Return when the read came that brought `mark`; a read may end in the midst of one."""
        before = b""
        reads = self.reads[-20:] if is_last else self.reads
        for at_s, data in reads:
            if mark.search(before + data):
                return at_s
            before = data[-_MARK_BYTES_MAX:]
        raise WrongAnswerError(f"no {mark.pattern!r} in {self.body[:600]!r}")


def dechunk(raw: bytes) -> bytes:
    """Return a body without its chunked framing; itself where it has none."""
    pieces, at = [], 0
    while (found := _SIZE.match(raw, at)) is not None and (size := int(found[1], 16)) > 0:
        pieces.append(raw[found.end() : found.end() + size])
        at = found.end() + size + 2
    return b"".join(pieces) or raw
