"""JSON to and from the wire."""

import json

import pytest
from tollgate.core.json_text import DEPTH_MAX, dump, parse_object, with_quota, write_decimals
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


def nest(depth: int) -> str:
    """Return an object of this depth, its inner levels lists and objects by turns."""
    pairs = [('{"a":', "}") if level % 2 == 0 else ("[", "]") for level in range(depth)]
    heads, tails = zip(*pairs, strict=True)
    return "".join(heads) + "1" + "".join(reversed(tails))


def test_depth_has_a_limit_with_room_around_it() -> None:
    """What is read can be written inside of something else; one level more is not read."""
    deepest = parse_object(nest(DEPTH_MAX))

    assert len(dump({"a": {"b": [deepest] * 100}})) > 100 * DEPTH_MAX
    with pytest.raises(ValueError, match="deep"):
        parse_object(nest(DEPTH_MAX + 1))


def test_brackets_that_do_not_nest_do_not_count() -> None:
    """Neither those in texts, escaped quotes among them, nor those beside one another."""
    value = {"a": '["\\' * 1000, "b": [[]] * 1000, "c": "{" * 1000, "\\": "\\"}

    assert parse_object(json.dumps(value)) == value


@pytest.mark.parametrize("text", ['{"a":"' + '\\"' * 500_000 + "[" * 600, '{"a":' + '"' * 999_999])
def test_quotes_without_an_end_are_looked_at_once(text: str) -> None:
    """However many of them, nothing is tried again from each."""
    with pytest.raises(ValueError, match=r"."):
        parse_object(text)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_only_utf_8_is_read(encoding: str) -> None:
    """JSON on the wire is UTF-8: what another reader would guess is refused."""
    with pytest.raises(ValueError, match=r"."):
        parse_object('{"a": "\u00e9"}'.encode(encoding))


def test_mark_and_half_an_emoji_in_bytes_are_read() -> None:
    """Some send a byte order mark, some half a surrogate pair as it is."""
    assert parse_object(b'\xef\xbb\xbf{"a": "\xed\xa0\xbd"}') == {"a": "\ud83d"}


def test_of_doubled_members_the_last_one_counts() -> None:
    """And it alone is written."""
    assert dump(parse_object('{"n": 1, "n": 2}')) == b'{"n":2}'


def test_large_integers_survive() -> None:
    """A seed beyond 2**53 comes out as it went in."""
    assert dump(parse_object('{"seed": 12345678901234567890}')) == b'{"seed":12345678901234567890}'


def test_half_an_emoji_survives() -> None:
    """A vendor may cut an emoji between two chunks; the bytes stay valid UTF-8 and JSON."""
    cut = parse_object('{"content": "\\ud83d"}')

    assert dump(cut).decode() == '{"content":"\\ud83d"}'
    assert dump({"content": "字"}) == '{"content":"字"}'.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":1e-06}', '{"a":0.000001}'),
        ('{"a": 1.5e-08, "b": {"c": -2e-07}}', '{"a": 0.000000015, "b": {"c": -0.0000002}}'),
        ('{"a":1e+16}', '{"a":10000000000000000}'),
        ('{"a":0.25,"b":3,"c":0.0}', '{"a":0.25,"b":3,"c":0.0}'),
        ('{"1e-06":"1e-06"}', '{"1e-06":"1e-06"}'),
        (r'{"a":"x\":1e-06","b":"\\\":1e-06,"}', r'{"a":"x\":1e-06","b":"\\\":1e-06,"}'),
    ],
)
def test_numbers_are_written_without_exponents(text: str, expected: str) -> None:
    """Members' numbers become decimals; what a text has in it stays."""
    assert write_decimals(text) == expected


def test_quota_is_the_last_member() -> None:
    """A JSON number, in points."""
    assert json.loads(with_quota(b'{"a":1}', Micropoints(1_340_000))) == {"a": 1, "quota": 1.34}
