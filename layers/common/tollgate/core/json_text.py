"""JSON to and from the wire, strict where it matters: no NaN, no lone surrogate in UTF-8."""

import json
import math
from collections.abc import Mapping

from tollgate.core.units import Micropoints, format_points


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


def with_quota(body: bytes, quota: Micropoints) -> bytes:
    """Return the JSON object `body` (not empty) with `quota`, in points, as its last member."""
    return b'%b,"quota":%b}' % (body[:-1], format_points(quota).encode())
