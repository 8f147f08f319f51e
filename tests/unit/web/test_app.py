"""The app factories and what stands around every answer, over a loopback transport."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from awslambdaric.lambda_runtime_marshaller import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tollgate.errors import AnswerTooLargeError, CatalogError, ModelNotFoundError
from tollgate.web.app import answer_json, create_app
from tollgate.web.envelope import ALLOWED_HEADERS, ALLOWED_METHODS
from tollgate.web.typed_app import create_typed_app


async def ok(request: Request) -> Response:
    return answer_json({"id": request.scope["state"]["request_id"]})


async def unknown_model(request: Request) -> Response:
    raise ModelNotFoundError("m")


async def unforeseen(request: Request) -> Response:
    raise KeyError("secret words")


async def bad_catalog(request: Request) -> Response:
    raise CatalogError("models.m.price", "is wrong")


ROUTES = {
    "/v1/ok": ok,
    "/v1/unknown-model": unknown_model,
    "/v1/unforeseen": unforeseen,
    "/v1/bad-catalog": bad_catalog,
}


@pytest.fixture(params=["plain", "typed"])
def app(request: pytest.FixtureRequest) -> Any:
    """The same routes in an app of Starlette's and in one of FastAPI's."""
    if request.param == "plain":
        routes = [Route(path, endpoint) for path, endpoint in ROUTES.items()]
        return create_app(routes, cors_origin="https://page.example")
    typed = create_typed_app("test", cors_origin="https://page.example")
    for path, endpoint in ROUTES.items():
        typed.add_api_route(path, endpoint)
    return typed


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
    status, _, body = await call(app, "GET", "/v1/bad-catalog")

    assert (status, body["error"]["code"]) == (500, "internal_error")
    assert "models.m.price" not in json.dumps(body)
    assert "models.m.price: is wrong" in caplog.text


LAMBDA_BYTES_MAX = 6 * 1024 * 1024


@pytest.mark.parametrize("name", ["model", "m" * 200, "\U0001f600" * 200, '"' * 200, "\\" * 200])
def test_largest_answer_passes_through_lambda(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not refused is within Lambda's limit once it is a string in JSON; more is refused."""
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")
    line = {"name": name, "cost": 0.123456}
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    line_bytes = len(to_json(text).encode()) - 2
    fitting = 5_999_000 // (line_bytes + 1)

    answer = answer_json({"line_items": [line] * fitting})

    handed_on = to_json({"statusCode": 200, "body": bytes(answer.body).decode()}).encode()
    assert 5_900_000 < len(handed_on) < LAMBDA_BYTES_MAX
    with pytest.raises(AnswerTooLargeError):
        answer_json({"line_items": [line] * (fitting + 5000 // line_bytes + 1)})
