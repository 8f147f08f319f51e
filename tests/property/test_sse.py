"""The SSE parser does not care how bytes are cut, nor how long lines are."""

from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tollgate.errors import UpstreamBrokenError
from tollgate.upstream.sse import ServerEvent, SseParser

from tests.recordings import Recording, load_recordings, parametrize

FRAGMENTS = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data",
        b"event: e",
        b"error: c",
        b": comment",
        b"id: 1",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b" ",
        b"\xef\xbb\xbf",
        "ü\u2028".encode(),
        b"\xff",
    ]
)
STREAMS = [recording for recording in load_recordings() if recording.is_stream]


def parse(*pieces: bytes) -> list[ServerEvent]:
    parser = SseParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.end()


def feed_all(parser: SseParser, pieces: list[bytes]) -> None:
    for piece in pieces:
        parser.feed(piece)


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


@given(fragments=st.lists(FRAGMENTS, max_size=30), data=st.data())
def test_any_cut_of_any_stream_gives_the_same_events(
    fragments: list[bytes], data: st.DataObject
) -> None:
    """Empty pieces and cuts inside CRLF, the BOM or a character change nothing."""
    body = b"".join(fragments)
    places = sorted(data.draw(st.lists(st.integers(0, len(body)))))
    edges = [0, *places, len(body)]
    pieces = [body[start:end] for start, end in pairwise(edges)]

    assert parse(body) == parse(*pieces)


@given(text=st.text(min_size=1).filter(lambda text: "\r" not in text))
def test_data_survives(text: str) -> None:
    """Text sent as SSE, a data line for each of its lines, comes back as it was."""
    body = b"".join(b"data: %b\n" % line.encode(errors="ignore") for line in text.split("\n"))
    expected = text.encode(errors="ignore").decode()

    assert [event.data for event in parse(body + b"\n")] == ([expected] if expected else [])


@parametrize(STREAMS)
def test_any_cut_of_a_recording_gives_the_same_events(recording: Recording) -> None:
    """Every recorded stream, cut into single bytes and other sizes, gives the same events."""
    whole = parse(recording.body)

    assert whole
    for size in (1, 2, 3, 7, 64, 1000):
        assert whole == parse(*cut(recording.body, size))


@parametrize(STREAMS)
def test_recordings_read_the_same_with_other_line_ends(recording: Recording) -> None:
    """LF, CR and CRLF are the same line end."""
    lf = recording.body.replace(b"\r\n", b"\n")

    assert parse(recording.body) == parse(lf)
    assert parse(lf) == parse(lf.replace(b"\n", b"\r")) == parse(lf.replace(b"\n", b"\r\n"))


class CountingBytes(bytes):
    """Counts how often a piece is looked through for line ends."""

    looks = 0

    def splitlines(self, keepends: bool = False) -> list[bytes]:  # noqa: FBT002
        CountingBytes.looks += len(self)
        return super().splitlines(keepends)


def test_long_line_is_looked_at_once() -> None:
    """A line in many pieces costs its length, not its length times the pieces."""
    CountingBytes.looks = 0
    pieces = [CountingBytes(b"x" * 1000) for _ in range(2000)]
    events = parse(b"data: ", *pieces, b"\n\n")

    assert [len(event.data) for event in events] == [2_000_000]
    assert CountingBytes.looks == 2_000_000


@pytest.mark.parametrize(
    "body",
    [b"data: 123456789", b": 12345678901234", b"data: 1234\ndata: 5", b"data: 1\n" * 3],
    ids=["line", "comment", "lines", "many"],
)
def test_event_beyond_the_limit_is_refused(body: bytes) -> None:
    """The limit holds for one line and for all data lines of an event together."""
    parser = SseParser(event_bytes_max=14)
    with pytest.raises(UpstreamBrokenError):
        feed_all(parser, cut(body, 1))


def test_limit_is_of_one_event_only() -> None:
    """Any number of small events and comments passes the limit."""
    parser = SseParser(event_bytes_max=14)
    events = parser.feed(b"data: 1234\n\n: 123456\n\n" * 100)

    assert len(events) == 100
