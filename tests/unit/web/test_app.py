"""The app factory and what stands around every answer, over a loopback transport."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request
from tollgate.errors import CatalogError, ModelNotFoundError
from tollgate.web.app import create_app
from tollgate.web.envelope import ALLOWED_HEADERS, ALLOWED_METHODS


@pytest.fixture
def app() -> Any:
    app = create_app("test", cors_origin="https://page.example")

    @app.get("/v1/ok")
    async def ok(request: Request, number: int = 0) -> dict[str, object]:
        return {"id": request.scope["state"]["request_id"], "number": number}

    @app.get("/v1/unknown-model")
    async def unknown_model() -> None:
        raise ModelNotFoundError("m")

    @app.get("/v1/unforeseen")
    async def unforeseen() -> None:
        raise KeyError("secret words")

    return app


async def call(app: Any, method: str, path: str, **scope: Any) -> tuple[int, dict[str, str], Any]:
    """Return status, headers and JSON body of one request."""
    path, _, query = path.partition("?")
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    full = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
        "scheme": "https",
        "server": ("test", 443),
        "client": ("test", 1),
    }
    await app(full | scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    body = b"".join(one.get("body", b"") for one in messages[1:])
    return messages[0]["status"], headers, json.loads(body) if body else None


CASES = [
    ("GET", "/v1/ok", 200, None),
    ("GET", "/v1/unknown-model", 404, "model_not_found"),
    ("GET", "/v1/unforeseen", 500, "internal_error"),
    ("GET", "/v1/nothing", 404, None),
    ("POST", "/v1/ok", 405, None),
    ("GET", "/v1/ok?number=x", 400, None),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), CASES)
async def test_every_answer_has_its_form(
    app: Any, method: str, path: str, status: int, code: str | None
) -> None:
    """OpenAI's error object, a request id and CORS, whatever happens; never 422."""
    found, headers, body = await call(app, method, path)

    assert status == found
    assert headers["x-request-id"]
    assert headers["access-control-allow-origin"] == "https://page.example"
    assert "x-request-id" in headers["access-control-expose-headers"]
    if status >= 400:
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert code == body["error"]["code"]


async def test_unforeseen_words_reach_nobody(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the caller nor the log has the exception's text."""
    _, _, body = await call(app, "GET", "/v1/unforeseen")

    assert "secret" not in json.dumps(body) + caplog.text
    assert "KeyError" in caplog.text


async def test_request_id_is_lambdas(app: Any) -> None:
    """The invocation's own id inside Lambda; a new one each time outside."""
    context = SimpleNamespace(aws_request_id="invocation-1")
    _, headers, body = await call(app, "GET", "/v1/ok", **{"aws.context": context})
    others = {(await call(app, "GET", "/v1/ok"))[1]["x-request-id"] for _ in range(2)}

    assert headers["x-request-id"] == body["id"] == "invocation-1"
    assert len(others) == 2


@pytest.mark.parametrize("path", ["/v1/ok", "/v1/nothing"])
async def test_options_is_answered(app: Any, path: str) -> None:
    """A browser's question is answered on every path, before any key is looked at."""
    status, headers, body = await call(app, "OPTIONS", path)

    assert (status, body) == (204, None)
    assert headers["access-control-allow-methods"] == ALLOWED_METHODS
    assert headers["access-control-allow-headers"] == ALLOWED_HEADERS
    assert "authorization" in ALLOWED_HEADERS


async def test_operators_mistakes_are_logged(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A malformed catalog is a 500 for the caller and a named key in the log."""

    @app.get("/v1/bad-catalog")
    async def bad_catalog() -> None:
        raise CatalogError("models.m.price", "is wrong")

    status, _, body = await call(app, "GET", "/v1/bad-catalog")

    assert (status, body["error"]["code"]) == (500, "internal_error")
    assert "models.m.price" not in json.dumps(body)
    assert "models.m.price: is wrong" in caplog.text
