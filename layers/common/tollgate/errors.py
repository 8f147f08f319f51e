"""Every failure that Tollgate names, as one tree, without HTTP: `web.errors` has the table.

TollgateError
├── InvalidRequestError            the caller's body or parameters
│   ├── ContextLengthExceededError
│   ├── WebSearchUnavailableError
│   ├── WebSearchQueryMissingError
│   ├── RequestTooLargeError
│   └── AnswerTooLargeError        what was asked for does not fit into one answer
├── ModelNotFoundError             unknown, or without a price
├── WrongModelKindError            not for this endpoint
├── ModelNotAllowedError           not for this key
├── AuthenticationError
│   ├── MissingKeyError
│   ├── InvalidKeyError            malformed, unknown, disabled or expired
│   └── AccountInactiveError       the account is suspended
├── InsufficientQuotaError         balance or key budget too low
├── LedgerError
│   ├── LedgerUnavailableError     DynamoDB did not answer in time
│   ├── LedgerConflictError        a record exists already, or is missing
│   └── RequestInProgressError     another run of the same request holds money for it
├── UpstreamError
│   ├── UpstreamRefusedError       the upstream refuses this request; another channel would too
│   │   └── UpstreamModelMissingError  no channel of the model knows it
│   ├── UpstreamRateLimitedError   every channel is at its rate limit
│   ├── UpstreamUnavailableError   every channel is down, or refuses the operator
│   │   └── UpstreamRestingError   every channel has named the time before which it wants no call
│   ├── UpstreamTimeoutError       too slow, or the Lambda's time is up
│   ├── WebSearchFailedError       no search provider gave results
│   └── UpstreamBrokenError        the answer broke off after it had begun
└── ConfigurationError             a setting or a secret is missing or malformed
    └── CatalogError               names the catalog's key that is wrong
"""


class TollgateError(Exception):
    """Root of the tree. `str(error)` may be shown to the caller unless a subclass forbids it."""


class InvalidRequestError(TollgateError):
    """The request cannot be served as it stands."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        """Keep the offending field's path in `param` and OpenAI's machine-readable `code`."""
        super().__init__(message)
        self.param = param
        self.code = code


class ContextLengthExceededError(InvalidRequestError):
    """The prompt has more tokens than the model's context holds."""

    def __init__(self, *, prompt_tokens: int, context_tokens_max: int) -> None:
        """Word the message as OpenAI does: clients show it, and some parse it."""
        super().__init__(
            f"This model's maximum context length is {context_tokens_max} tokens. However, your "
            f"messages resulted in at least {prompt_tokens} tokens. Please reduce the length of "
            "the messages.",
            param="messages",
            code="context_length_exceeded",
        )


class WebSearchUnavailableError(InvalidRequestError):
    """A `web-` model was asked for and no search provider is configured."""

    def __init__(self) -> None:
        """Say how to go on: the same model without the prefix answers."""
        super().__init__(
            "Web search is not configured here. Use the model without its 'web-' prefix.",
            param="model",
            code="web_search_unavailable",
        )


class WebSearchQueryMissingError(InvalidRequestError):
    """A `web-` model was asked and no user message has text to search for."""

    def __init__(self) -> None:
        """Say what the query is."""
        super().__init__(
            "Web search needs a user message with text: the last one is what is searched for.",
            param="messages",
            code="web_search_query_missing",
        )


class RequestTooLargeError(InvalidRequestError):
    """The body is larger than the gateway takes."""

    def __init__(self, *, bytes_max: int) -> None:
        """`bytes_max`: the limit that was passed."""
        super().__init__(
            f"The request body is larger than {bytes_max} bytes.", code="request_too_large"
        )


class AnswerTooLargeError(InvalidRequestError):
    """The figures asked for are more than Lambda hands on in one answer."""

    def __init__(self) -> None:
        """Say how to go on: only days of usage come to that much."""
        super().__init__(
            "The answer would be larger than 6 MB. Ask for a shorter range of days.",
            param="start_date",
        )


class ModelNotFoundError(TollgateError):
    """The catalog has no such model, or the model has no price."""

    def __init__(self, model: str) -> None:
        """`model`: the name as the caller wrote it."""
        super().__init__(_model_missing(model))


class WrongModelKindError(TollgateError):
    """The model is sold at another endpoint: an image model was asked to chat, or the reverse."""

    def __init__(self, *, wanted: str, endpoint: str) -> None:
        """`wanted`: the kind that `endpoint` serves, with its article. Worded as OpenAI does."""
        super().__init__(
            f"This is not {wanted} model and thus not supported in the {endpoint} endpoint."
        )
        self.param = "model"


class ModelNotAllowedError(TollgateError):
    """The key's list of models does not have this one."""

    def __init__(self, model: str) -> None:
        """`model`: the base name."""
        super().__init__(f"This API key is not allowed to use the model `{model}`.")


class AuthenticationError(TollgateError):
    """Who is calling could not be established."""


class MissingKeyError(AuthenticationError):
    """The request has no `Authorization: Bearer` header."""

    def __init__(self) -> None:
        """Say where the key belongs."""
        super().__init__(
            "You didn't provide an API key. You need to provide your API key in an Authorization "
            "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        )


class InvalidKeyError(AuthenticationError):
    """The key is malformed, unknown, disabled or expired; the caller is not told which."""

    def __init__(self) -> None:
        """The key is never echoed, not even in part."""
        super().__init__("Incorrect API key provided.")


class AccountInactiveError(AuthenticationError):
    """The key is good and its account is suspended."""

    def __init__(self) -> None:
        """Name neither account nor key."""
        super().__init__("The account of this API key is not active.")


class InsufficientQuotaError(TollgateError):
    """The balance, or the key's budget, does not pay for this request."""

    def __init__(self) -> None:
        """Word the message as OpenAI does."""
        super().__init__(
            "You exceeded your current quota, please check your plan and billing details."
        )


class LedgerError(TollgateError):
    """The ledger refused or failed."""


class LedgerUnavailableError(LedgerError):
    """The ledger did not answer in time; whether the last write took effect is unknown."""

    def __init__(self) -> None:
        """Nothing of the database's own words is shown."""
        super().__init__("The ledger is temporarily unavailable. Nothing was charged.")


class LedgerConflictError(LedgerError):
    """An operator's command names something that exists already, or does not exist."""


class RequestInProgressError(LedgerError):
    """Another run of the same invocation holds money for this request: it is served once."""

    def __init__(self) -> None:
        """A new request has a new id, so trying again is the way out."""
        super().__init__("This request is being served already. Please try again.")


class UpstreamError(TollgateError):
    """The vendor's side failed."""


class UpstreamRefusedError(UpstreamError):
    """The upstream refuses this very request (bad parameter, content policy, unknown model)."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        error_type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        """Keep the upstream's status and words, already cleaned of what concerns the operator."""
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.param = param
        self.code = code


class UpstreamModelMissingError(UpstreamRefusedError):
    """No channel of the model knows it: the catalog's fault, said as the vendors say it."""

    def __init__(self, model: str) -> None:
        """`model`: the name that the caller knows; the operator's is not shown."""
        super().__init__(
            _model_missing(model),
            status=404,
            param="model",
            code="model_not_found",
        )


class UpstreamRateLimitedError(UpstreamError):
    """Every channel of the model is at its rate limit."""

    def __init__(self, *, retry_after_s: int) -> None:
        """`retry_after_s`: whole seconds after which a channel may be free again, at least 1."""
        super().__init__(
            f"Rate limit reached for this model. Please try again in {retry_after_s}s."
        )
        self.retry_after_s = retry_after_s


class UpstreamUnavailableError(UpstreamError):
    """No channel of the model could answer."""

    def __init__(self) -> None:
        """The reason concerns the operator and is only logged."""
        super().__init__("The upstream provider failed to answer. Please try again.")


class UpstreamRestingError(UpstreamUnavailableError):
    """Every channel of the model has named a time before which it does not want to be asked."""

    def __init__(self, *, retry_after_s: int) -> None:
        """`retry_after_s`: whole seconds until the first of them is ready, at least 1."""
        super().__init__()
        self.retry_after_s = retry_after_s


class UpstreamTimeoutError(UpstreamError):
    """The upstream took longer than the gateway waits."""

    def __init__(self) -> None:
        """One sentence for connect, first byte, silence and total time alike."""
        super().__init__("The upstream provider took too long to answer.")


class WebSearchFailedError(UpstreamError):
    """Every search provider failed, or refuses the operator; the model was not asked."""

    def __init__(self, *, is_timeout: bool = False) -> None:
        """`is_timeout`: one was too slow. Other reasons concern the operator, and are logged."""
        super().__init__(
            "The web search took too long to answer. Nothing was charged."
            if is_timeout
            else "The web search failed. Nothing was charged. Please try again."
        )


class UpstreamBrokenError(UpstreamError):
    """The answer broke off, or turned into an error, after it had begun."""

    def __init__(
        self,
        message: str = "The upstream provider broke off its answer.",
        *,
        code: str | None = None,
        verdict: UpstreamError | None = None,
    ) -> None:
        """`message`: the upstream's words where they concern the caller.

        `verdict`: what its error would have been before the answer began; None: it said none.
        """
        super().__init__(message)
        self.code = code
        self.verdict = verdict


class ConfigurationError(TollgateError):
    """The deployment lacks a setting or a secret. Its text is for the operator's log only."""


class CatalogError(ConfigurationError):
    """The catalog is malformed at `key`, a dotted path such as `models.gpt-4o.price.input`."""

    def __init__(self, key: str, problem: str) -> None:
        """`problem`: what is wrong there and what is expected."""
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


def _model_missing(model: str) -> str:
    """Return OpenAI's words for a model that is not there; `model`: as the caller knows it."""
    return f"The model `{model}` does not exist or you do not have access to it."
