"""The one error table."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tollgate import errors
from tollgate.web.errors import TABLE, answer_error, find_row


def all_subclasses(kind: type[errors.TollgateError]) -> Iterator[type[errors.TollgateError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from all_subclasses(child)


def test_every_error_has_a_row() -> None:
    """Only what is the operator's own trouble falls to the last row."""
    kinds = set(all_subclasses(errors.TollgateError))
    last = {kind for kind in kinds if find_row(kind) is TABLE[Exception]}

    assert len(kinds) >= 20
    assert last == {errors.ConfigurationError, errors.CatalogError}


@pytest.mark.parametrize(
    ("error", "status", "kind", "code", "param"),
    [
        (errors.MissingKeyError(), 401, "invalid_request_error", None, None),
        (errors.InvalidKeyError(), 401, "invalid_request_error", "invalid_api_key", None),
        (errors.AccountInactiveError(), 401, "invalid_request_error", "account_deactivated", None),
        (errors.ModelNotAllowedError("m"), 403, "permission_error", "model_not_allowed", None),
        (errors.InsufficientQuotaError(), 429, "insufficient_quota", "insufficient_quota", None),
        (errors.ModelNotFoundError("m"), 404, "invalid_request_error", "model_not_found", None),
        (errors.InvalidRequestError("x", param="n"), 400, "invalid_request_error", None, "n"),
        (
            errors.ContextLengthExceededError(prompt_tokens=2, context_tokens_max=1),
            400,
            "invalid_request_error",
            "context_length_exceeded",
            "messages",
        ),
        (
            errors.WebSearchUnavailableError(),
            400,
            "invalid_request_error",
            "web_search_unavailable",
            "model",
        ),
        (
            errors.WebSearchQueryMissingError(),
            400,
            "invalid_request_error",
            "web_search_query_missing",
            "messages",
        ),
        (
            errors.RequestTooLargeError(bytes_max=5),
            413,
            "invalid_request_error",
            "request_too_large",
            None,
        ),
        (
            errors.UpstreamRefusedError("x", status=422, error_type="t", param="p", code="c"),
            422,
            "t",
            "c",
            "p",
        ),
        (errors.UpstreamRefusedError("x", status=400), 400, "invalid_request_error", None, None),
        (
            errors.UpstreamRateLimitedError(retry_after_s=7),
            429,
            "rate_limit_error",
            "rate_limit_exceeded",
            None,
        ),
        (errors.UpstreamUnavailableError(), 502, "server_error", "upstream_error", None),
        (
            errors.UpstreamRestingError(retry_after_s=7),
            503,
            "server_error",
            "upstream_error",
            None,
        ),
        (errors.WebSearchFailedError(), 502, "server_error", "web_search_failed", None),
        (
            errors.WebSearchFailedError(is_timeout=True),
            502,
            "server_error",
            "web_search_failed",
            None,
        ),
        (errors.UpstreamBrokenError(), 502, "server_error", "upstream_error", None),
        (errors.UpstreamTimeoutError(), 504, "server_error", "upstream_timeout", None),
        (errors.LedgerUnavailableError(), 503, "server_error", "ledger_unavailable", None),
        (errors.CatalogError("a", "b"), 500, "server_error", "internal_error", None),
        (KeyError("secret"), 500, "server_error", "internal_error", None),
    ],
)
def test_rows(
    error: Exception, status: int, kind: str, code: str | None, param: str | None
) -> None:
    """Status, type, code and param as docs/wire-format.md has them."""
    answer = answer_error(error)
    body = json.loads(answer.body)["error"]

    assert (answer.status, body["type"], body["code"], body["param"]) == (status, kind, code, param)
    assert body["message"]
    assert answer.frame == b"data: " + answer.body + b"\n\n"


def test_headers_that_tell_clients_what_to_do() -> None:
    """An empty balance is not retried, a rate limit is, later."""
    assert answer_error(errors.InsufficientQuotaError()).headers == {"x-should-retry": "false"}
    assert answer_error(errors.UpstreamRateLimitedError(retry_after_s=7)).headers == {
        "retry-after": "7"
    }


@pytest.mark.parametrize("error", [ValueError("a secret"), errors.CatalogError("a", "secret")])
def test_unforeseen_words_stay_inside(error: Any) -> None:
    """They could quote a prompt or a setting."""
    assert b"secret" not in answer_error(error).body
