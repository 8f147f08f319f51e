"""Fields, line ends and what vendors do to them."""

import pytest
from tollgate.upstream.sse import ServerEvent, SseParser


def parse(body: bytes) -> list[tuple[str, str]]:
    parser = SseParser()
    return [(event.event, event.data) for event in [*parser.feed(body), *parser.end()]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\n", [("message", "a")]),
        (b"data:a\n\ndata:  b\n\n", [("message", "a"), ("message", " b")]),
        (b"data: a\ndata: b\n\n", [("message", "a\nb")]),
        (b"data: a\r\rdata: b\r\n\r\n", [("message", "a"), ("message", "b")]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [("error", "a"), ("message", "b")]),
        (b'error: {"x": 1}\n\n', [("error", '{"x": 1}')]),
        (b": hello\n\nid: 1\nretry: 5\ndata: a\n\n", [("message", "a")]),
        (b"\n\n\ndata: a\n\n", [("message", "a")]),
        (b"data: a\n", [("message", "a")]),
        (b"data: a", [("message", "a")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("message", "a")]),
        (b"data: a\n\xef\xbb\xbfdata: b\n\n", [("message", "a")]),
        (b"event: ping\n\ndata: a\n\n", [("message", "a")]),
        (b"data\n\ndata:\n\n", []),
        (b'{"error": {"message": "no SSE"}}', []),
        ("data: \u2028\x85\x0b\n\n".encode(), [("message", "\u2028\x85\x0b")]),
        (b"data: \xff\n\n", [("message", "\ufffd")]),
        (b"", []),
    ],
)
def test_parse(body: bytes, expected: list[tuple[str, str]]) -> None:
    """Each form of field and line end reads as the standard says, or as vendors mean it."""
    assert expected == parse(body)


def test_line_feed_of_its_own_after_crlf_is_a_blank_line() -> None:
    """Only the one LF that belongs to a CR is skipped, though they come one by one."""
    parser = SseParser()
    pieces = [b"data: a\r", b"\n", b"\n"]

    assert [[], [], [ServerEvent(data="a")]] == [parser.feed(piece) for piece in pieces]
