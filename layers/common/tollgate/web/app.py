"""The app factory: one FastAPI app a function, all with the same errors, ids and CORS."""

from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tollgate.core.json_text import dump
from tollgate.errors import TollgateError
from tollgate.web.envelope import Envelope
from tollgate.web.errors import JSON_HEADERS, answer_error, error_body, log_if_ours


def create_app(title: str, *, cors_origin: str) -> FastAPI:
    """Return an app without routes; `title` names it in its OpenAPI document."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(TollgateError, _handle_ours)
    app.add_exception_handler(HTTPException, _handle_routing)
    app.add_exception_handler(RequestValidationError, _handle_validation)
    app.add_middleware(Envelope, cors_origin=cors_origin)
    return app


def answer_json(body: Mapping[str, object]) -> Response:
    """Return a good answer past FastAPI's models and encoder, which look at each value."""
    return Response(dump(body), headers=JSON_HEADERS)


async def _handle_ours(_: Request, error: Exception) -> Response:
    log_if_ours(error)
    answer = answer_error(error)
    return Response(answer.body, answer.status, JSON_HEADERS | answer.headers)


async def _handle_routing(request: Request, error: Exception) -> Response:
    """Unknown route or wrong method, worded as OpenAI does."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    target = f"{request.method} {request.url.path}"
    message = f"Not allowed: {target}" if status == 405 else f"Invalid URL ({target})"  # noqa: PLR2004
    body = error_body(message, error_type="invalid_request_error")
    headers = getattr(error, "headers", None) or {}
    return Response(body, status, JSON_HEADERS | headers)


async def _handle_validation(_: Request, error: Exception) -> Response:
    """FastAPI's own 422 becomes 400: OpenAI's clients know no other. Values are not quoted."""
    problems = error.errors() if isinstance(error, RequestValidationError) else []
    where = ".".join(str(part) for part in problems[0]["loc"][1:]) if problems else None
    body = error_body(
        f"Invalid value for '{where}'.", error_type="invalid_request_error", param=where
    )
    return Response(body, 400, JSON_HEADERS)
