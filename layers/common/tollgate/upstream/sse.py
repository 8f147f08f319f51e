"""Server-sent events out of bytes, however the network cut them. Knows nothing of JSON or HTTP.

    bytes ──▶ lines (CR, LF or CRLF) ──▶ fields ──▶ blank line or end ──▶ ServerEvent

Hand-written because httpx-sse decodes lines without any limit, and drops the field `error:` that
one vendor sends in place of `data:`.
"""

from dataclasses import dataclass

from tollgate.errors import UpstreamBrokenError

EVENT_BYTES_MAX = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEvent:
    """One event with data. `event` is "message" unless the stream named it."""

    event: str = "message"
    data: str


class SseParser:
    """Collects bytes until events are whole; the work is linear in the bytes, wherever they end.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
    It differs on purpose: an event that the stream's end cuts off is delivered (vendors forget the
    last blank line), and a field `error:` is data of an event named "error".
    """

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        """`event_bytes_max`: most bytes of one event, its unfinished line included."""
        self._event_bytes_max = event_bytes_max
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._event = ""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._is_first_line = True
        self._has_pending_cr = False

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Return the events that `chunk` completes.

        Raises: UpstreamBrokenError: an event is larger than the limit.
        """
        events: list[ServerEvent] = []
        for piece in self._cut(chunk):
            self._line.append(piece)
            self._line_bytes += len(piece)
            if self._line_bytes + self._data_bytes > self._event_bytes_max:
                raise UpstreamBrokenError
            if piece.endswith((b"\n", b"\r")):
                events.extend(self._take_line())
        return events

    def end(self) -> list[ServerEvent]:
        """Return what the end of the stream completes: at most one event."""
        events = self._take_line() if self._line else []
        return [*events, *self._dispatch()]

    def _cut(self, chunk: bytes) -> list[bytes]:
        """Cut after each line end; a LF that belongs to the last chunk's CR is dropped."""
        if not chunk:
            return []
        if self._has_pending_cr:
            chunk = chunk.removeprefix(b"\n")
        self._has_pending_cr = chunk.endswith(b"\r")
        return chunk.splitlines(keepends=True)

    def _take_line(self) -> list[ServerEvent]:
        line = b"".join(self._line).rstrip(b"\r\n")
        size, self._line_bytes = self._line_bytes, 0
        self._line.clear()
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        self._take_field(line, size)
        return []

    def _take_field(self, line: bytes, size: int) -> None:
        """Keep what counts; comments (an empty name) and unknown fields do not."""
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"event":
            self._event = value.decode(errors="replace")
        elif name in {b"data", b"error"}:
            self._data.append(value)
            self._data_bytes += size
            if name == b"error":
                self._event = "error"

    def _dispatch(self) -> list[ServerEvent]:
        data = b"\n".join(self._data)
        event, self._event = self._event or "message", ""
        self._data.clear()
        self._data_bytes = 0
        if not data:
            return []
        return [ServerEvent(event=event, data=data.decode(errors="replace"))]
