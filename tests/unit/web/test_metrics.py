"""A request's metrics, from whoever notes them to the line in the log."""

import io
import json
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tollgate.core.metrics import RequestMetrics
from tollgate.errors import (
    InsufficientQuotaError,
    LedgerUnavailableError,
    UpstreamBrokenError,
    UpstreamRefusedError,
)
from tollgate.settings import Settings
from tollgate.web.app import create_app
from tollgate.web.errors import find_code
from tollgate.web.metrics import find_metrics, make_metrics_log
from tollgate.web.responses import MeteredResponse
from tollgate.web.typed_app import create_typed_app

from tests.unit.web.test_app import call
from tests.unit.web.test_responses import FakeJob

SETTINGS = Settings.read({"TOLLGATE_TABLE": "t"})


async def ok(request: Request) -> Response:
    return Response(b"{}")


async def ledger_down(request: Request) -> Response:
    raise LedgerUnavailableError


async def unforeseen(request: Request) -> Response:
    raise KeyError("secret words")


async def broken(request: Request) -> Response:
    steps = (b'{"a": 1}', UpstreamBrokenError("Odd words.", code="vendors-own"))
    return MeteredResponse(FakeJob(*steps), is_stream=True, keepalive_s=0)


async def numbered(request: Request, n: int) -> Response:
    return Response(b"{}")


ROUTES = {
    "/v1/ok": ok,
    "/v1/ledger": ledger_down,
    "/v1/unforeseen": unforeseen,
    "/v1/broken": broken,
}


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(params=["plain", "typed"])
def app(request: pytest.FixtureRequest, out: io.StringIO) -> Any:
    log_metrics = make_metrics_log("chat", SETTINGS, out=out)
    if request.param == "plain":
        routes = [Route(path, endpoint) for path, endpoint in ROUTES.items()]
        return create_app(routes, cors_origin="*", log_metrics=log_metrics)
    typed = create_typed_app("test", cors_origin="*", log_metrics=log_metrics)
    for path, endpoint in ROUTES.items():
        typed.add_api_route(path, endpoint)
    typed.add_api_route("/v1/numbered", numbered)
    return typed


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/ok", None),
        ("/v1/ledger", "ledger_unavailable"),
        ("/v1/unforeseen", "internal_error"),
        ("/v1/nothing", "http_404"),
    ],
)
async def test_each_request_is_one_line(
    app: Any, out: io.StringIO, path: str, code: str | None
) -> None:
    """Whatever becomes of it; an error is counted by its code."""
    _, headers, _ = await call(app, "GET", path)

    [line] = [json.loads(text) for text in out.getvalue().splitlines()]
    assert (line["Requests"], line["Function"], line["Table"]) == (1, "chat", "t")
    assert line["request_id"] == headers["x-request-id"]
    assert line.get("Code") == code
    assert line.get("LedgerErrors") == (1 if code == "ledger_unavailable" else None)
    assert "secret" not in out.getvalue()


async def test_stream_that_breaks_off(app: Any, out: io.StringIO) -> None:
    """It has a first byte and an error; the upstream's own code is no dimension."""
    messages: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {"type": "http", "method": "GET", "path": "/v1/broken", "headers": []}
    scope |= {"query_string": b"", "aws.event": {"requestContext": {"requestTimeEpoch": 1}}}
    await app(scope, receive, send)

    line = json.loads(out.getvalue())
    assert line["Code"] == "upstream_error"
    assert line["TimeToFirstByte"] > 1_700_000_000_000  # since API Gateway took it, in 1970


@pytest.mark.parametrize("app", ["typed"], indirect=True)
async def test_value_that_fastapi_refuses(app: Any, out: io.StringIO) -> None:
    """The 400 that its 422 becomes is counted as every bad request is; the value is not told."""
    await call(app, "GET", "/v1/numbered?n=secret")

    assert json.loads(out.getvalue())["Code"] == "invalid_request_error"
    assert "secret" not in out.getvalue()


async def test_preflight_is_no_request(app: Any, out: io.StringIO) -> None:
    """On AWS it does not reach the function."""
    await call(app, "OPTIONS", "/v1/ok")

    assert out.getvalue() == ""


def test_stdout_is_the_one_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    """Lambda's runtime replaces it after the function's module was imported."""
    make_metrics_log("models", SETTINGS)(RequestMetrics(), "r")

    assert json.loads(capsys.readouterr().out)["Function"] == "models"


def test_metrics_are_made_once_a_request() -> None:
    """Whoever asks first makes them."""
    scope: dict[str, Any] = {}

    assert find_metrics(scope) is find_metrics(scope)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UpstreamRefusedError("x", status=400, code="vendors-own"), "upstream_refused"),
        (UpstreamBrokenError("x", code="vendors-own"), "upstream_error"),
        (InsufficientQuotaError(), "insufficient_quota"),
    ],
)
def test_upstreams_words_are_no_dimension(error: Exception, code: str) -> None:
    """Each new value would be a metric to pay for, and anybody could make them."""
    assert code == find_code(error)
