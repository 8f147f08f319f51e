"""JSON to and from the wire."""

import json

import pytest
from tollgate.core.json_text import dump, parse_object, with_quota
from tollgate.core.units import Micropoints


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "5",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1e999}',
        "{",
        b"\xff{}",
        "[" * 100_000,
        '{"a":' * 50_000,
    ],
)
def test_what_is_no_object_is_refused(text: str | bytes) -> None:
    """One kind of error, whatever is wrong; nesting does not end the process."""
    with pytest.raises(ValueError, match=r"."):
        parse_object(text)


def test_large_integers_survive() -> None:
    """A seed beyond 2**53 comes out as it went in."""
    assert dump(parse_object('{"seed": 12345678901234567890}')) == b'{"seed":12345678901234567890}'


def test_half_an_emoji_survives() -> None:
    """A vendor may cut an emoji between two chunks; the bytes stay valid UTF-8 and JSON."""
    cut = parse_object('{"content": "\\ud83d"}')

    assert dump(cut).decode() == '{"content":"\\ud83d"}'
    assert dump({"content": "字"}) == '{"content":"字"}'.encode()


def test_quota_is_the_last_member() -> None:
    """A JSON number, in points."""
    assert json.loads(with_quota(b'{"a":1}', Micropoints(1_340_000))) == {"a": 1, "quota": 1.34}
