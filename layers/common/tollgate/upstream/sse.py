"""Server-sent events out of bytes, however the network cut them. Knows nothing of JSON or HTTP.

    bytes ──▶ lines (CR, LF or CRLF) ──▶ fields ──▶ blank line or end ──▶ ServerEvent
      └─▶ whole events of one line `data: …` each, as most streams are: cut at the blank lines

Hand-written because httpx-sse decodes lines without any limit, and drops the field `error:` that
one vendor sends in place of `data:`.
"""

from typing import NamedTuple

from tollgate.errors import UpstreamBrokenError

EVENT_BYTES_MAX = 16 * 1024 * 1024
_BLANK = b"\n\n"
_DATA = "data: "
_BOM = b"\xef\xbb\xbf"


class ServerEvent(NamedTuple):
    """One event with data; a tuple because one is made for each chunk.

    `event` is "message" unless the stream named it.
    """

    data: str
    event: str = "message"


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
        begun = 0 if self._is_between_events else chunk.find(_BLANK) + len(_BLANK)
        ended = chunk.rfind(_BLANK) + len(_BLANK)
        is_plain = _BLANK in chunk and b"\r" not in chunk
        if not is_plain or not begun < ended <= self._event_bytes_max:
            return self._feed_lines(chunk)
        events = self._feed_lines(chunk[:begun]) if begun else []
        events += self._feed_events(chunk[begun:ended])
        return [*events, *self._feed_lines(chunk[ended:])] if ended < len(chunk) else events

    @property
    def _is_between_events(self) -> bool:
        """Whether nothing has come since the last blank line."""
        is_within = self._line or self._data or self._event
        return not (is_within or self._is_first_line or self._has_pending_cr)

    def _feed_events(self, whole: bytes) -> list[ServerEvent]:
        """Return what `whole` has, which ends with a blank line, and is without any CR."""
        if not self._is_between_events:
            return self._feed_lines(whole)
        events: list[ServerEvent] = []
        for event in whole[: -len(_BLANK)].decode(errors="replace").split("\n\n"):
            if len(event) > len(_DATA) and event.startswith(_DATA) and "\n" not in event:
                events.append(ServerEvent(event[len(_DATA) :]))
            else:
                events += self._feed_lines(event.encode() + _BLANK)
        return events

    def _feed_lines(self, chunk: bytes) -> list[ServerEvent]:
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
