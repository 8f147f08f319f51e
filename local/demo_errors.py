"""How the demo upstream fails: OpenAI's error objects, silence, a cut connection."""

from starlette.responses import JSONResponse, Response

SILENCE_S = 3600.0
_ERRORS = {
    400: ("invalid_request_error", "unsupported_value", "This value is not supported by the demo."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-demo."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for the demo."),
    500: ("server_error", None, "The demo had an error."),
}


class BrokenOffError(Exception):
    """Makes the server cut the connection."""


def demo_error(status: int) -> Response:
    """Return OpenAI's error object under `status`; other statuses than the known ones say 500's."""
    kind, code, message = _ERRORS.get(status, _ERRORS[500])
    error = {"message": message, "type": kind, "param": None, "code": code}
    headers = {"retry-after": "2"} if status == 429 else None  # noqa: PLR2004 - HTTP
    return JSONResponse({"error": error}, status, headers)
