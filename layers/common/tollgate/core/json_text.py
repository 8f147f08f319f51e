"""JSON to and from the wire, strict where it matters: no NaN, no lone surrogate in UTF-8."""

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal

from tollgate.core.units import Micropoints, format_points

# A number with an exponent as a member's value. A quote inside of text has a backslash before it.
_EXPONENT = re.compile(r'(?<!\\)(": ?)(-?[0-9.]+e[-+][0-9]+)')


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def parse_object(text: str | bytes) -> dict[str, object]:
    """Return the JSON object in `text`.

    Raises: ValueError: not UTF-8, not JSON, nested too deep, NaN or Infinity, or not an object.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_parse_float)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - callers handle one kind of error
    return value


def dump(value: Mapping[str, object]) -> bytes:
    r"""Return compact UTF-8; text with a lone surrogate (half an emoji) keeps it as `\ud83d`."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def write_decimals(text: str) -> str:
    """Return JSON in which members' numbers have no exponent: `0.000001` where Python has `1e-06`.

    The same number, as people and simple readers expect amounts; texts stay as they are. By hand
    because the json module writes each float in its own way, and has no hook for it.
    """
    return _EXPONENT.sub(lambda found: f"{found[1]}{Decimal(found[2]):f}", text)


def with_quota(body: bytes, quota: Micropoints) -> bytes:
    """Return the JSON object `body` (not empty) with `quota`, in points, as its last member."""
    return b'%b,"quota":%b}' % (body[:-1], format_points(quota).encode())
