"""What each recorded error has to become: the rows of docs/wire-format.md#errors, by hand."""

from tests.vendors.readings import ErrorRead

REFUSED_STREAMS = frozenset({"089-openrouter-stream-error-only", "137-qwen-stream-error-200"})

_OPERATORS = (502, "upstream_error")
_DOWN = (502, "upstream_error")
_NO_MODEL = (404, "model_not_found")
_LIMITED = (429, "rate_limit_exceeded")

# Status and code that the caller sees, by the recording's number.
EXPECTED: dict[str, tuple[int, str | None]] = {
    "034": (400, "unsupported_parameter"),
    "035": (400, None),
    "036": _OPERATORS,
    "037": _OPERATORS,
    "038": _OPERATORS,
    "039": _NO_MODEL,
    "040": _NO_MODEL,
    "041": _OPERATORS,
    "047": (400, "invalid_value"),
    "048": _NO_MODEL,
    "056": _NO_MODEL,
    "057": _OPERATORS,
    "058": _LIMITED,
    "063": (400, "invalid_request_error"),
    "064": _OPERATORS,
    "072": (400, None),
    "073": _NO_MODEL,
    "081": _NO_MODEL,
    "082": _OPERATORS,
    "083": (422, None),
    "084": _DOWN,
    "089": (400, "400"),
    "094": _LIMITED,
    "095": _OPERATORS,
    "100": _OPERATORS,
    "108": _NO_MODEL,
    "116": _OPERATORS,
    "117": (400, "INVALID_REQUEST_BODY"),
    "118": _OPERATORS,
    "119": _DOWN,
    "120": _DOWN,
    "124": _NO_MODEL,
    "128": _OPERATORS,
    "129": _NO_MODEL,
    "137": (400, "invalid_parameter_error"),
    "138": _NO_MODEL,
    "144": (400, "400"),
    "145": (400, "400"),
    "161": _DOWN,
}
# Those whose sentence is the vendor's own, since it is about the request.
SAID_BY_VENDOR = frozenset(
    number for number, (status, code) in EXPECTED.items() if status in (400, 422)
)
# What a client is told of a stream that an error ends: in the vendor's words, these being none of
# the operator's.
BROKEN = {
    "013": ErrorRead(
        code="upstream_error",
        message="Could not finish the message because max_tokens or model output limit was reached."
        " Please try again with higher max_tokens.",
    ),
    "070": ErrorRead(
        code="tool_use_failed",
        message="Tool call validation failed: tool call validation failed: parameters for tool"
        " get_something_by_name did not match schema: errors: [missing properties: 'name',"
        " additionalProperties 'invalid_param' not allowed]",
    ),
    "164": ErrorRead(
        code="upstream_error",
        message="failed to decode, try again, increasing context size or reducing parallel",
    ),
}
