"""AWS's exceptions as the statuses that `refusals` judges, in an answer and in a stream alike.

An answer names its exception in a header or in its body, a stream in a frame's header. The names
decide: some come with a status that means something else at other vendors (424 is the model's
fault, not the caller's). What is wrong with the signature is wrong for all models, as a 401 is
elsewhere; AccessDeniedException is said of one.
Source: "Errors" of Converse in botocore's model of bedrock-runtime; "Common Errors" in its API
reference for those of the signature.
"""

import re
from collections.abc import Mapping

from tollgate.core.json_text import parse_object
from tollgate.upstream.error_bodies import ErrorBody

_STATUSES = {
    "accessdeniedexception": 403,
    "expiredtokenexception": 401,
    "incompletesignature": 401,
    "internalserverexception": 500,
    "invalidsignatureexception": 401,
    "missingauthenticationtokenexception": 401,
    "modelerrorexception": 502,
    "modelnotreadyexception": 429,
    "modelstreamerrorexception": 502,
    "modeltimeoutexception": 408,
    "optinrequired": 403,
    "resourcenotfoundexception": 404,
    "servicequotaexceededexception": 429,
    "serviceunavailableexception": 503,
    "throttlingexception": 429,
    "unrecognizedclientexception": 401,
    "validationexception": 400,
}
_MODEL_FAULT = 424
# Bedrock refuses the operator's model id, or its account, in the same way as the caller's request.
_WRONG_MODEL = re.compile(
    r"model identifier|on-demand throughput|inference profile|end of its life|support the model",
    re.IGNORECASE,
)
# The whole sentence: a part of one may quote the caller, who must not send a channel to rest.
_WRONG_ACCOUNT = re.compile(r"operation not allowed\.?", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"(input|prompt) is too long|input tokens exceed|maximum context length", re.IGNORECASE
)


def read_answer_error(
    status: int, headers: Mapping[str, str], body: bytes
) -> tuple[int, ErrorBody]:
    """Return the status that an answer's exception stands for, and what may be said of it.

    `headers`: lower-case names.
    """
    try:
        fields = parse_object(body)
    except ValueError:
        fields = {}
    name = headers.get("x-amzn-errortype") or str(fields.get("__type") or "")
    message = fields.get("message") or fields.get("Message")
    return read_exception(name, message, status=status)


def read_exception(name: str, message: object, *, status: int = 502) -> tuple[int, ErrorBody]:
    """Return the status that an exception stands for, and what may be said of it.

    `name`: as AWS writes it, with a namespace before `#` or an address after `:`. `status`: of an
    exception without a name that is known.
    """
    bare = name.rpartition("#")[2].partition(":")[0].strip().lower()
    text = message if isinstance(message, str) else ""
    meant = _STATUSES.get(bare, 502 if status == _MODEL_FAULT else status)
    if meant == 400 and _WRONG_ACCOUNT.fullmatch(text):  # noqa: PLR2004 - HTTP's own number
        meant = 403
    return meant, ErrorBody(message=text or None, code=_code(meant, text))


def _code(status: int, text: str) -> str | None:
    if status not in {400, 404}:
        return None
    if status == 404 or _WRONG_MODEL.search(text):  # noqa: PLR2004 - HTTP's own number
        return "model_not_found"
    return "context_length_exceeded" if _TOO_LONG.search(text) else None
