"""The one table from our errors to the wire: status, type, code, headers; JSON and SSE frame.

Only this module knows a status. A subclass without a row of its own has that of its nearest parent;
a test walks the tree and fails on a class that reaches no row but the last.
"""

import logging
import traceback
from dataclasses import dataclass

from tollgate import errors
from tollgate.core.json_text import dump

JSON_HEADERS = {"content-type": "application/json"}
_log = logging.getLogger("tollgate.web")
_INVALID = "invalid_request_error"
_NO_RETRY = {"x-should-retry": "false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table in docs/wire-format.md#errors."""

    status: int
    error_type: str
    code: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    is_message_shown: bool = True


TABLE: dict[type[BaseException], Row] = {
    errors.MissingKeyError: Row(status=401, error_type=_INVALID),
    errors.AuthenticationError: Row(status=401, error_type=_INVALID, code="invalid_api_key"),
    errors.AccountInactiveError: Row(status=401, error_type=_INVALID, code="account_deactivated"),
    errors.ModelNotAllowedError: Row(
        status=403, error_type="permission_error", code="model_not_allowed"
    ),
    errors.InsufficientQuotaError: Row(
        status=429,
        error_type="insufficient_quota",
        code="insufficient_quota",
        headers=tuple(_NO_RETRY.items()),
    ),
    errors.ModelNotFoundError: Row(status=404, error_type=_INVALID, code="model_not_found"),
    errors.WrongModelKindError: Row(status=404, error_type=_INVALID),
    errors.RequestTooLargeError: Row(status=413, error_type=_INVALID),
    errors.InvalidRequestError: Row(status=400, error_type=_INVALID),
    errors.UpstreamRateLimitedError: Row(
        status=429, error_type="rate_limit_error", code="rate_limit_exceeded"
    ),
    errors.UpstreamRestingError: Row(status=503, error_type="server_error", code="upstream_error"),
    errors.UpstreamTimeoutError: Row(
        status=504, error_type="server_error", code="upstream_timeout"
    ),
    errors.WebSearchFailedError: Row(
        status=502, error_type="server_error", code="web_search_failed"
    ),
    errors.UpstreamError: Row(status=502, error_type="server_error", code="upstream_error"),
    errors.RequestInProgressError: Row(status=409, error_type=_INVALID, code="request_in_progress"),
    errors.LedgerError: Row(status=503, error_type="server_error", code="ledger_unavailable"),
    Exception: Row(
        status=500, error_type="server_error", code="internal_error", is_message_shown=False
    ),
}
_INTERNAL_MESSAGE = "The server had an error while processing your request."


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAnswer:
    """An error as the caller sees it; `body` is the JSON object in UTF-8."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def frame(self) -> bytes:
        """The same error inside a stream that has begun; nothing follows it."""
        return b"data: %b\n\n" % self.body


def find_row(kind: type[BaseException]) -> Row:
    """Return the row of the nearest class in the table."""
    return next((TABLE[parent] for parent in kind.__mro__ if parent in TABLE), TABLE[Exception])


def answer_error(error: BaseException) -> ErrorAnswer:
    """Return what the caller gets for `error`; the text of an unforeseen one stays with us."""
    row = find_row(type(error))
    status, error_type = row.status, row.error_type
    if isinstance(error, errors.UpstreamRefusedError):
        status, error_type = error.status, error.error_type
    headers = dict(row.headers)
    if isinstance(error, errors.UpstreamRateLimitedError | errors.UpstreamRestingError):
        headers["retry-after"] = str(error.retry_after_s)
    return ErrorAnswer(
        status=status,
        headers=headers,
        body=error_body(
            str(error) if row.is_message_shown else _INTERNAL_MESSAGE,
            error_type=error_type,
            param=getattr(error, "param", None),
            code=getattr(error, "code", None) or _row_code(error, row),
        ),
    )


def _row_code(error: BaseException, row: Row) -> str | None:
    """A refusal's code is upstream's or none; ours would hide that the upstream spoke."""
    return None if isinstance(error, errors.UpstreamRefusedError) else row.code


def find_code(error: BaseException) -> str:
    """Return the word under which an error is counted: of a fixed set, whatever an upstream says.

    The error's own code, else its row's, else its row's type; a refusal of the upstream's has one
    word for all that it may be.
    """
    if isinstance(error, errors.UpstreamRefusedError):
        return "upstream_refused"
    row = find_row(type(error))
    is_ours = not isinstance(error, errors.UpstreamError)
    own = getattr(error, "code", None) if is_ours else None
    return own or row.code or row.error_type


def error_body(
    message: str, *, error_type: str, param: str | None = None, code: str | None = None
) -> bytes:
    """Return OpenAI's error object as JSON."""
    fields = {"message": message, "type": error_type, "param": param, "code": code}
    return dump({"error": fields})


def log_unforeseen(error: BaseException) -> None:
    """Log where an unforeseen error arose, without its text: that could quote a prompt."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    _log.error("unforeseen %s", type(error).__name__, extra={"trace": where})


def log_if_ours(error: BaseException) -> None:
    """Log an error that the operator has to mend; a caller's mistake is the caller's.

    A ConfigurationError's text is meant for this log, and names the setting or the catalog's key.
    """
    if isinstance(error, errors.ConfigurationError):
        _log.error("%s: %s", type(error).__name__, error)
    elif not isinstance(error, errors.TollgateError):
        log_unforeseen(error)
