"""The app factory of chat, images and billing: FastAPI, with `web.app`'s answers around it."""

from tollgate.web.app import ERROR_HANDLERS
from tollgate.web.envelope import Envelope
from tollgate.web.errors import JSON_HEADERS, error_body
from tollgate.web.lean_fastapi import FastAPI, Request, RequestValidationError, Response
from tollgate.web.metrics import LogMetrics, find_metrics


def create_typed_app(
    title: str, *, cors_origin: str, log_metrics: LogMetrics | None = None
) -> FastAPI:
    """Return an app without routes; `title` is its name among FastAPI's. See `create_app`."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)
    for kind, handle in ERROR_HANDLERS.items():
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(RequestValidationError, _handle_validation)
    app.add_middleware(Envelope, cors_origin=cors_origin, log_metrics=log_metrics)
    return app


async def _handle_validation(request: Request, error: Exception) -> Response:
    """FastAPI's own 422 becomes 400: OpenAI's clients know no other. Values are not quoted."""
    find_metrics(request.scope).code = "invalid_request_error"
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    where = ".".join(str(part) for part in problems[0]["loc"][1:]) if problems else None
    body = error_body(
        f"Invalid value for '{where}'.", error_type="invalid_request_error", param=where
    )
    return Response(body, 400, JSON_HEADERS)
