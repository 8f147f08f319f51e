"""What an upstream's error means: the caller's fault, or a reason to try the next channel.

    400 406 411 413 414 415 422 431 451 …   the request: said to the caller, in the vendor's words
    content that a moderation has flagged   the request, under 403 too
    404, an unknown model or deployment     the channel's configuration, under 403 too
    401 402 403, no credit, a bad key       the operator: never said to the caller
    429                                     the channel's rate limit
    3xx 405 407 408 409 425 5xx             the channel is down

Where a body contradicts its status, its type and code decide: a 400 for a bad key is about the
operator.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from tollgate.errors import UpstreamBrokenError, UpstreamRefusedError
from tollgate.upstream.error_bodies import WORD_CHARS_MAX, ErrorBody, clean, find_error
from tollgate.upstream.failures import ChannelFailedError

_FORBIDDEN = 403
_OPERATOR_STATUSES = frozenset({401, 402, _FORBIDDEN})
_DOWN_STATUSES = frozenset({405, 407, 408, 409, 425})
_OF_NO_MODEL = _DOWN_STATUSES | {401, 402, 429}  # whatever their words are
_OPERATOR_WORDS = frozenset(
    {
        "account_deactivated",
        "authentication_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "insufficient_balance",
        "insufficient_credits",
        "insufficient_quota",
        "invalid_api_key",
        "invalid_authentication",
        "permission_denied",
        "permission_error",
        "unauthorized",
    }
)
_UNKNOWN_MODEL_WORDS = frozenset(
    {
        "deploymentnotfound",
        "invalid_model",
        "model_not_available",
        "model_not_found",
        "not_found_error",
    }
)
_MODERATION_WORDS = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "moderation_blocked",
    }
)
_RATE_LIMIT_WORDS = frozenset(
    {
        "rate_limit_error",
        "rate_limit_exceeded",
        "ratelimitreached",
        "too_many_requests",
    }
)
_REQUEST_WORDS = frozenset(
    {
        "bad request",
        "bad_request",
        "content_filter",
        "context_length_exceeded",
        "invalid_request",
        "invalid_request_error",
    }
)
# xAI and others answer 400 for a bad key with nothing but a sentence to tell it by.
_OPERATOR_SENTENCES = re.compile(
    r"(incorrect|invalid|expired|missing|no) api[ _-]?key|api[ _-]?key (is )?(not valid|invalid"
    r"|expired|missing)|credit balance|insufficient (credit|balance|fund)",
    re.IGNORECASE,
)

_UNKNOWN_MODEL_SENTENCES = re.compile(
    r"does not exist|do(es)? not have access|not found|unknown model|no such model",
    re.IGNORECASE,
)


def judge_error(
    status: int,
    body: ErrorBody,
    *,
    retry_after_s: float | None = None,
    secrets: Collection[str] = (),
    renamed: tuple[str, str] = ("", ""),
) -> ChannelFailedError | UpstreamRefusedError:
    """Return the error that an answer with `status` (not 2xx) and `body` stands for.

    `secrets`: what the vendor may echo and the caller must not see; `renamed`: the model's name at
    the vendor, and the caller's.
    """
    if _is_moderated(status, body):
        return _refuse_content(status, body, secrets, renamed)
    failure = _find_failure(status, body, retry_after_s)
    return failure or _refuse(status, body, secrets, renamed)


def _find_failure(
    status: int, body: ErrorBody, retry_after_s: float | None
) -> ChannelFailedError | None:
    """Return why the channel failed; None where the request is the caller's to mend."""
    if _is_unknown_model(status, body):
        return ChannelFailedError("not_found", status=status, is_resting=False)
    if _is_operators(status, body):
        return ChannelFailedError("credentials", status=status)
    if status == 429:  # noqa: PLR2004 - HTTP's own number
        return ChannelFailedError("rate_limit", status=status, retry_after_s=retry_after_s)
    if status in _DOWN_STATUSES or not 400 <= status < 500:  # noqa: PLR2004 - HTTP's own numbers
        return ChannelFailedError("unavailable", status=status, retry_after_s=retry_after_s)
    if _OPERATOR_SENTENCES.search(body.message or ""):
        # The sentence may quote the caller: that must not send the channel to rest.
        return ChannelFailedError("credentials", status=status, is_resting=False)
    return None


def judge_event(
    event: str,
    raw: Mapping[str, object],
    *,
    secrets: Collection[str] = (),
    renamed: tuple[str, str] = ("", ""),
) -> ChannelFailedError | UpstreamRefusedError | None:
    """Return what a stream's first event, or a body under status 200, stands for if an error."""
    body = find_error(event, raw)
    return None if body is None else _judge_body(body, secrets=secrets, renamed=renamed)


def error_in_event(
    event: str,
    raw: Mapping[str, object],
    *,
    secrets: Collection[str] = (),
    renamed: tuple[str, str] = ("", ""),
) -> UpstreamBrokenError | None:
    """Return the error that an event in mid-stream carries, in the vendor's words where allowed.

    `secrets` and `renamed`: see `judge_error`.
    """
    body = find_error(event, raw)
    if body is None:
        return None
    verdict = _judge_body(body)
    is_hidden = isinstance(verdict, ChannelFailedError) and not _is_unavailable(verdict)
    if is_hidden or not body.message or _OPERATOR_SENTENCES.search(body.message):
        return UpstreamBrokenError(verdict=verdict)
    message = clean(_rename(body.message, *renamed), secrets=secrets)
    code = _clean_word(body.code, secrets)
    return UpstreamBrokenError(message, code=code, verdict=verdict)


def _judge_body(
    body: ErrorBody, *, secrets: Collection[str] = (), renamed: tuple[str, str] = ("", "")
) -> ChannelFailedError | UpstreamRefusedError:
    """Judge an error inside an answer; what befell one answer only rests no channel."""
    status = body.status or _status_by_words(body)
    verdict = judge_error(status, body, secrets=secrets, renamed=renamed)
    if body.is_answers and _is_unavailable(verdict):
        return ChannelFailedError("unavailable", is_resting=False)
    return verdict


def _is_unavailable(verdict: ChannelFailedError | UpstreamRefusedError) -> bool:
    return isinstance(verdict, ChannelFailedError) and verdict.reason == "unavailable"


def _is_operators(status: int, body: ErrorBody) -> bool:
    return status in _OPERATOR_STATUSES or bool(body.words & _OPERATOR_WORDS)


def _is_moderated(status: int, body: ErrorBody) -> bool:
    """Whether a 4xx is about what the request says, and not about who asks.

    Source of 403 for it: OpenRouter, "Errors and Debugging", whose `metadata` has the reasons then.
    """
    is_flagged = body.is_flagged or bool(body.words & _MODERATION_WORDS)
    return 400 <= status < 500 and is_flagged  # noqa: PLR2004 - HTTP's own numbers


def _is_unknown_model(status: int, body: ErrorBody) -> bool:
    """A 404 about another parameter is the caller's: a file that does not exist, say.

    One that names no model but the key or the account is the operator's.
    OpenAI's images call an unknown model an invalid value, as they do one that cannot do what is
    asked: only the sentence tells them apart.
    """
    if status in _OF_NO_MODEL or not 400 <= status < 500:  # noqa: PLR2004 - HTTP's own numbers
        return False
    if body.words & _UNKNOWN_MODEL_WORDS:
        return True
    if body.param == "model" and body.code == "invalid_value":
        return bool(_UNKNOWN_MODEL_SENTENCES.search(body.message or ""))
    is_bare = status == 404 and body.param in {None, "model"}  # noqa: PLR2004 - HTTP's own number
    return is_bare and not body.words & _OPERATOR_WORDS


def _status_by_words(body: ErrorBody) -> int:
    """Return the status that an error inside a 200 would have had."""
    if body.words & _RATE_LIMIT_WORDS:
        return 429
    is_requests = body.words & (_REQUEST_WORDS | _UNKNOWN_MODEL_WORDS | _MODERATION_WORDS)
    return 400 if is_requests or body.is_flagged else 502


def _refuse_content(
    status: int, body: ErrorBody, secrets: Collection[str], renamed: tuple[str, str]
) -> UpstreamRefusedError:
    """Refuse what was said, as OpenAI does: to our caller a 403 would be about the key."""
    is_word = body.code is not None and not body.code.isdigit()
    code = body.code if is_word else "content_policy_violation"
    meant = 400 if status in _OPERATOR_STATUSES else status
    return _refuse(meant, replace(body, code=code), secrets, renamed)


def _refuse(
    status: int, body: ErrorBody, secrets: Collection[str], renamed: tuple[str, str]
) -> UpstreamRefusedError:
    message = clean(_rename(body.message or "", *renamed), secrets=secrets)
    return UpstreamRefusedError(
        message or f"The upstream provider refused the request (status {status}).",
        status=status,
        error_type=_clean_word(body.error_type, secrets) or "invalid_request_error",
        param=_clean_word(body.param, secrets),
        code=_clean_word(body.code, secrets),
    )


def _rename(text: str, theirs: str, ours: str) -> str:
    """Return `text` with the caller's name of the model: how the operator calls it is not told."""
    if not theirs or theirs == ours:
        return text
    return re.sub(rf"(?<![\w.-]){re.escape(theirs)}(?![\w-])", lambda _: ours, text)


def _clean_word(word: str | None, secrets: Collection[str]) -> str | None:
    return clean(word, secrets=secrets, chars_max=WORD_CHARS_MAX) if word else None
