"""The app factory of a plain function, and what all apps share: errors, ids, CORS, good answers.

Starlette alone: FastAPI and pydantic take longer to import than all the rest of a function that
only reads. The others have their apps from `web.typed_app`.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from tollgate.core.json_text import dump, write_decimals
from tollgate.errors import AnswerTooLargeError, TollgateError
from tollgate.web.envelope import Envelope
from tollgate.web.errors import JSON_HEADERS, answer_error, error_body, log_if_ours
from tollgate.web.metrics import LogMetrics, find_metrics, note_error

ANSWER_BYTES_MAX = 6_000_000  # Lambda's 6 MB, less what the headers may take


def create_app(
    routes: Sequence[BaseRoute], *, cors_origin: str, log_metrics: LogMetrics | None = None
) -> Starlette:
    """Return an app of these routes. `log_metrics`: called at each request's end; None: nobody."""
    return Starlette(
        routes=routes,
        exception_handlers=ERROR_HANDLERS,
        middleware=[Middleware(Envelope, cors_origin=cors_origin, log_metrics=log_metrics)],
    )


def answer_json(body: Mapping[str, object]) -> Response:
    """Return a good answer past FastAPI's models and encoder, which look at each value.

    Measured as Lambda does: the body is a JSON string in the function's answer, so that a quote
    counts twice.

    Raises: AnswerTooLargeError.
    """
    text = write_decimals(dump(body).decode())
    if len(json.dumps(text, ensure_ascii=False).encode()) > ANSWER_BYTES_MAX:
        raise AnswerTooLargeError
    return Response(text, headers=JSON_HEADERS)


async def _handle_ours(request: Request, error: Exception) -> Response:
    log_if_ours(error)
    note_error(request.scope, error)
    answer = answer_error(error)
    return Response(answer.body, answer.status, JSON_HEADERS | answer.headers)


async def _handle_routing(request: Request, error: Exception) -> Response:
    """Unknown route or wrong method, worded as OpenAI does."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    target = f"{request.method} {request.url.path}"
    message = f"Not allowed: {target}" if status == 405 else f"Invalid URL ({target})"  # noqa: PLR2004
    find_metrics(request.scope).code = f"http_{status}"
    body = error_body(message, error_type="invalid_request_error")
    headers = getattr(error, "headers", None) or {}
    return Response(body, status, JSON_HEADERS | headers)


ERROR_HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    TollgateError: _handle_ours,
    HTTPException: _handle_routing,
}
