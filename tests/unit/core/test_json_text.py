"""JSON to and from the wire."""

import json

import pytest
from tollgate.core.json_text import dump, parse_object, with_quota, write_decimals
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
