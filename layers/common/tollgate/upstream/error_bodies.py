"""Vendors' error bodies, brought into one shape, and cleaned of what is the operator's."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tollgate.core.json_text import parse_object

MESSAGE_CHARS_MAX = 1000
WORD_CHARS_MAX = 100
PART_CHARACTERS = 12  # of a key; fewer are words, or the beginning that all of a vendor's keys have
_REDACTED = "[redacted]"
_SECRETS = re.compile(
    r"""
    [a-z][a-z0-9+.-]{0,20}://[^\s/@]{1,200}@\S*                # a URL with credentials
    | \b(?:bearer|basic)\s+[^\s,;"']{6,}                       # an authorization header
    | [^\s"'`]{0,80}\*{3,}[^\s"'`,;]{0,80}                     # a key already masked: sk-ab***yz
    | \b(?:sk|pk|rk|gsk|xai|hf|nvapi|pplx|csk|fw|r8|tgp|key|org|proj|acct|user|team|sess)
      [-_](?=[\w-]*[\dX])[\w-]{8,}                             # a key, an organisation, a project
    | \bAIza[\w-]{20,}                                         # a Google key
    | \barn:aws[\w-]*:\S+                                      # an AWS account and what is in it
    | \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b          # a subscription or tenant
    | \b(?=[\w-]*\d)(?=[\w-]*[a-z])[\w-]{40,}                  # anything else long and opaque
    """,
    re.IGNORECASE | re.VERBOSE,
)
# OpenRouter and Mistral: the vendor behind failed, or could make nothing of what the model had
# said (Gemini's MALFORMED_FUNCTION_CALL); DeepSeek: it had no machine left to go on with.
_OUT_OF_RESOURCES = "insufficient_system_resource"
_FAILED_REASONS = ("error", _OUT_OF_RESOURCES)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBody:
    """What an error body says.

    `status`: the HTTP status that the body itself names, if any. `is_flagged`: it lists what a
    moderation found in the request. `is_answers`: it is about one answer and names no status, so
    that the request may be the cause, and not the channel.
    """

    message: str | None = None
    error_type: str | None = None
    param: str | None = None
    code: str | None = None
    status: int | None = None
    is_flagged: bool = False
    is_answers: bool = False

    @property
    def words(self) -> frozenset[str]:
        """Type and code in lower case: what tells kinds of errors apart."""
        return frozenset(word.lower() for word in (self.error_type, self.code) if word)


def parse_error_body(body: bytes) -> ErrorBody:
    """Return what `body` says; nothing where it is HTML, empty or broken."""
    try:
        return read_error(parse_object(body.strip().removeprefix(b"[").removesuffix(b"]")))
    except ValueError:
        return ErrorBody()


def read_error(raw: Mapping[str, object]) -> ErrorBody:
    """Return what the vendor's error object says, in any of the shapes that vendors use.

    `{"error": {…}}`, `{"error": "…"}`, `{"message": …}`, `{"detail": "…"}`, `{"detail": [{"loc",
    "msg"}]}`, with a numeric `code`, or with `reason` for it; or `{"message": {…}}` with one
    of them.
    """
    error = raw.get("error")
    fields = error if isinstance(error, Mapping) else raw
    nested = fields.get("message")
    if isinstance(nested, Mapping):  # Mistral's: the report is the message
        fields = {**fields, **nested, "message": nested.get("message")}
    code = fields.get("code")
    return ErrorBody(
        message=_find_message(fields),
        error_type=_text(fields.get("type")),
        param=_text(fields.get("param")) or _join_location(fields.get("detail")),
        code=_text(fields.get("reason")) or _text(code),
        status=_status(code) or _status(fields.get("status_code")),
        is_flagged=_has_reasons(fields.get("metadata")),
    )


def find_error(event: str, raw: Mapping[str, object]) -> ErrorBody | None:
    """Return the error that an event, or a body under status 200, holds; None where it is none.

    Its name says so, its `error`, its `object` (the fields are beside it then), or a choice: its
    `error` or its finish reason, of which the one without the other says nothing more.
    """
    if event == "error" or raw.get("error") or raw.get("object") == "error":
        return read_error(raw)
    choices = raw.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, Mapping):
            continue
        reason = choice.get("finish_reason")
        if choice.get("error") or reason in _FAILED_REASONS:
            body = read_error({"error": choice.get("error") or {}})
            return replace(body, is_answers=not body.status and reason != _OUT_OF_RESOURCES)
    return None


def clean(text: str, *, secrets: Iterable[str] = (), chars_max: int = MESSAGE_CHARS_MAX) -> str:
    """Return `text` on one line, cut to `chars_max`, without keys, accounts and credentials.

    `secrets`: what must not appear in any case, such as the key that was sent: neither whole nor
    in part, nor in another case.
    """
    text = text[: 4 * chars_max]
    for secret in filter(None, secrets):
        text = _without_parts(text, secret)
    line = _SECRETS.sub(_REDACTED, _CONTROL.sub(" ", text[: 2 * chars_max])).strip()
    return line if len(line) <= chars_max else f"{line[: chars_max - 1]}…"


def _without_parts(text: str, secret: str) -> str:
    """Return `text` without any `PART_CHARACTERS` of the secret that follow one another.

    Vendors cut a key short or break it over lines when they quote it. Case is folded character by
    character, so that places stay what they are.
    """
    size = min(PART_CHARACTERS, len(secret))
    folded, hidden = _fold(text), _fold(secret)
    parts = {hidden[at : at + size] for at in range(len(hidden) - size + 1)}
    kept: list[str] = []
    shown_to = 0
    for at in range(len(text) - size + 1):
        if folded[at : at + size] in parts:
            kept += [text[shown_to:at], _REDACTED if at >= shown_to else ""]
            shown_to = at + size
    return "".join([*kept, text[shown_to:]])


def _fold(text: str) -> str:
    return "".join(char.lower() if char.isascii() else char for char in text)


def _has_reasons(metadata: object) -> bool:
    reasons = metadata.get("reasons") if isinstance(metadata, Mapping) else None
    return isinstance(reasons, list) and bool(reasons)


def _find_message(fields: Mapping[str, object]) -> str | None:
    for name in ("message", "error", "detail"):
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            return value
    return _join_details(fields.get("detail"))


def _join_details(detail: object) -> str | None:
    """Return the sentences of a validation report, each with the place that it is about."""
    lines = [f"{_location(item)}: {item.get('msg')}" for item in _reports(detail)]
    return "; ".join(lines) or None


def _join_location(detail: object) -> str | None:
    reports = _reports(detail)
    return _location(reports[0]) if reports else None


def _reports(detail: object) -> list[Mapping[str, object]]:
    items = detail if isinstance(detail, list) else []
    return [item for item in items[:10] if isinstance(item, Mapping)]


def _location(report: Mapping[str, object]) -> str:
    place = report.get("loc")
    steps = [str(step) for step in place] if isinstance(place, list) else []
    return ".".join(steps[1:] if steps[:1] == ["body"] else steps) or "body"


def _text(value: object) -> str | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number or (isinstance(value, str) and value) else None


def _status(value: object) -> int | None:
    text = _text(value)
    return int(text) if text and re.fullmatch(r"[45][0-9][0-9]", text) else None
