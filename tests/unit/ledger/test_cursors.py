"""Cursors: a place in the caller's own records, or an error."""

import base64

import pytest
from tollgate.errors import InvalidRequestError
from tollgate.ledger.cursors import format_cursor, parse_cursor

SK = "2026-11-23T12:00:00.123456Z#0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"


def test_cursor_comes_back() -> None:
    """What was given out is read again, in a URL's own characters."""
    cursor = format_cursor("alice", SK)

    assert parse_cursor("alice", cursor) == SK
    assert cursor.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "====",
        "chatcmpl-0b1c2d3e",
        "ünïcode",
        format_cursor("bob", SK),
        format_cursor("alice", SK)[:-1],
        format_cursor("alice", SK) + "=",
        format_cursor("alice", SK) + "A",
        format_cursor("alice", SK)[:20] + "A" + format_cursor("alice", SK)[21:],
        base64.urlsafe_b64encode(SK.encode()).decode(),
        base64.urlsafe_b64encode(b"\xff" * 50).decode(),
        "A" * 100_000,
    ],
)
def test_altered_or_foreign_cursor_is_refused(text: str) -> None:
    """Cut, changed, invented, or another account's: a parameter that is wrong."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_cursor("alice", text)

    assert caught.value.param == "after"
