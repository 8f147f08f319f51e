"""A function's answer, checked as API Gateway checks it: proxy JSON, or a prelude and a stream."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PRELUDE_END = b"\0" * 8
PRELUDE_BYTES_MAX = 16 * 1024
_PRELUDE_KEYS = {"statusCode", "headers", "multiValueHeaders", "cookies"}
_PROXY_KEYS = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}


class MalformedAnswerError(Exception):
    """API Gateway would answer 502 (500 for a stream) in the function's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Status and headers of an answer, and the first bytes of its body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class PreludeParser:
    """Finds the prelude in the first chunks of a stream."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Head | None:
        """Return the head once its delimiter has come, with the body's first bytes.

        Raises: MalformedAnswerError.
        """
        self._held += data
        end = self._held.find(PRELUDE_END, 0, PRELUDE_BYTES_MAX)
        if end < 0:
            if len(self._held) >= PRELUDE_BYTES_MAX:
                raise MalformedAnswerError("no prelude within 16 KB")
            return None
        fields = _read_object(self._held[:end], _PRELUDE_KEYS)
        return _make_head(fields, self._held[end + len(PRELUDE_END) :])


def read_proxy_answer(raw: bytes) -> Head:
    """Return the answer of a buffered function.

    Raises: MalformedAnswerError.
    """
    fields = _read_object(raw, _PROXY_KEYS)
    body = fields.get("body") or ""
    if not isinstance(body, str):
        raise MalformedAnswerError("the body is no text")
    is_binary = fields.get("isBase64Encoded") is True
    return _make_head(fields, base64.b64decode(body) if is_binary else body.encode())


def _read_object(raw: bytes, known: set[str]) -> Mapping[str, Any]:
    try:
        fields = json.loads(raw)
    except ValueError as error:
        raise MalformedAnswerError("not JSON") from error
    if not isinstance(fields, dict) or not set(fields) <= known or "statusCode" not in fields:
        raise MalformedAnswerError("not a proxy answer")
    return fields


def _make_head(fields: Mapping[str, Any], body: bytes) -> Head:
    headers = [(str(name), str(value)) for name, value in (fields.get("headers") or {}).items()]
    for name, values in (fields.get("multiValueHeaders") or {}).items():
        headers = [pair for pair in headers if pair[0].lower() != name.lower()]
        headers += [(str(name), str(value)) for value in values]
    return Head(status=int(fields["statusCode"]), headers=headers, body=body)
