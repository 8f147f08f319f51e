"""JSON to and from the wire, strict where it matters: no NaN, no lone surrogate in UTF-8."""

import json
import math
import re
from array import array
from collections.abc import Mapping
from decimal import Decimal
from itertools import accumulate

from tollgate.core.units import Micropoints, format_points

DEPTH_MAX = 500
# Matches wherever it begins, also what has no end: else each quote in it would be tried in turn.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_STEPS = bytes.maketrans(b"{[}]", b"\x01\x01\xff\xff")  # +1 and -1 as signed bytes
_NO_BRACKET = re.compile(r"[^{}\[\]]+")
# A number with an exponent as a member's value. A quote inside of text has a backslash before it.
_EXPONENT = re.compile(r'(?<!\\)(": ?)(-?[0-9.]+e[-+][0-9]+)')


def _check_depth(text: str) -> None:
    """Refuse what is nested so deep that writing it, or walking through it, might fail.

    The json module reads some 10 000 levels, and writes as many: not one more, though what is
    read here is written inside of something else. Few texts have so many brackets that they have
    to be paired; those in strings do not count.
    """
    if text.count("{") + text.count("[") <= DEPTH_MAX:
        return
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text)).encode()
    if max(accumulate(array("b", brackets.translate(_STEPS))), default=0) > DEPTH_MAX:
        raise ValueError("nested too deep")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


# Made once: `json.loads` and `json.dumps` would make them anew for each chunk.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_parse_float)
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_COMPACT_ASCII = json.JSONEncoder(separators=(",", ":"))


def parse_object(text: str | bytes) -> dict[str, object]:
    """Return the JSON object in `text`.

    A byte order mark is skipped; half an emoji in the bytes of UTF-8 is read, as JSON's own escape
    of it is. Of a member that is there twice the last one counts, and is the only one passed on.

    Raises: ValueError: not UTF-8, not JSON, nested deeper than `DEPTH_MAX`, NaN or Infinity, or not
        an object.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig", "surrogatepass")
    _check_depth(text)
    value = _DECODER.decode(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - callers handle one kind of error
    return value


def dump(value: Mapping[str, object]) -> bytes:
    r"""Return compact UTF-8; text with a lone surrogate (half an emoji) keeps it as `\ud83d`."""
    try:
        return _COMPACT.encode(value).encode()
    except UnicodeEncodeError:
        return _COMPACT_ASCII.encode(value).encode()


def write_decimals(text: str) -> str:
    """Return JSON in which members' numbers have no exponent: `0.000001` where Python has `1e-06`.

    The same number, as people and simple readers expect amounts; texts stay as they are. By hand
    because the json module writes each float in its own way, and has no hook for it.
    """
    return _EXPONENT.sub(lambda found: f"{found[1]}{Decimal(found[2]):f}", text)


def with_quota(body: bytes, quota: Micropoints) -> bytes:
    """Return the JSON object `body` (not empty) with `quota`, in points, as its last member."""
    return b'%b,"quota":%b}' % (body[:-1], format_points(quota).encode())
