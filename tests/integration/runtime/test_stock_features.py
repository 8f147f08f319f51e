"""What stays as AWS's own runtime has it: other events, init errors, SnapStart, logs, scope."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.runtime_api import FakeRuntimeApi
from tests.integration.runtime.process import WRAPPER, request

HTTP_API_V1: dict[str, Any] = request("/plain") | {"version": "1.0"}
HTTP_API_V2: dict[str, Any] = {
    "version": "2.0",
    "headers": {"host": "h"},
    "rawQueryString": "",
    "body": "last",
    "isBase64Encoded": False,
    "requestContext": {"http": {"sourceIp": "192.0.2.1", "path": "/plain", "method": "POST"}},
}


def test_other_handlers_are_served_as_by_the_stock_runtime(
    api: FakeRuntimeApi, start: Callable[..., object]
) -> None:
    """A function that is not HTTP gets its event, and its errors go where Lambda wants them."""
    start("sample_function.plain_handler")

    api.events.put({"a": 1})
    api.wait_for(lambda: len(api.posts) == 1 and api.posts[0].is_complete)
    api.events.put({"fail": True})
    api.wait_for(lambda: len(api.posts) == 2 and api.posts[1].is_complete)

    assert json.loads(api.posts[0].raw) == {"got": {"a": 1}, "id": "request-1"}
    assert "lambda-runtime-function-response-mode" not in api.posts[0].headers
    assert api.posts[1].path.endswith("/request-1/error")
    assert json.loads(api.posts[1].raw)["errorType"] == "ValueError"


def test_import_error_is_an_init_error(
    api: FakeRuntimeApi, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """A function that cannot be imported is reported to Lambda, and the process ends."""
    process = start("no_such_module.handler")

    assert process.wait(30) == 1
    assert api.posts[0].path == "/2018-06-01/runtime/init/error"
    assert json.loads(api.posts[0].raw)["errorType"] == "Runtime.ImportModuleError"


@pytest.mark.parametrize("extra", [{"AWS_SAM_LOCAL": "true"}, {"AWS_LAMBDA_MAX_CONCURRENCY": "4"}])
def test_wrapper_steps_aside(tmp_path: Path, extra: dict[str, str]) -> None:
    """Where nothing can be streamed the wrapper runs the command that it was given."""
    run = subprocess.run(
        [str(WRAPPER), sys.executable, "-c", "print('the stock runtime')"],
        env={"PATH": os.environ["PATH"]} | extra,
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout == "the stock runtime\n"


@pytest.mark.parametrize("event", [HTTP_API_V1, HTTP_API_V2])
def test_http_api_is_answered_buffered(
    api: FakeRuntimeApi, start: Callable[..., object], event: dict[str, Any]
) -> None:
    """HTTP APIs cannot stream: Mangum answers them whole, in their own form."""
    start()

    posted = api.answer(event)

    assert "lambda-runtime-function-response-mode" not in posted.headers
    assert json.loads(posted.raw)["body"] == "first last"


def test_event_of_no_known_kind_is_an_error(
    api: FakeRuntimeApi, start: Callable[..., object]
) -> None:
    """What Mangum cannot read is reported to Lambda as an error."""
    start()

    assert api.answer({"a": 1}).path.endswith("/request-1/error")
    assert api.answer(request("/plain")).prelude["statusCode"] == 200


def test_snapstart_hooks_run_around_the_snapshot(
    api: FakeRuntimeApi, start: Callable[..., object]
) -> None:
    """Hooks run before and after /restore/next, and then the first event is asked for."""
    start("sample_function.hooked_handler", AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")

    posted = api.answer({})

    assert json.loads(posted.raw) == ["before snapshot", "after restore"]
    assert api.log[:2] == ["restore", "next"]


def test_layer_precedes_the_inherited_path(
    api: FakeRuntimeApi, start: Callable[..., object], tmp_path: Path
) -> None:
    """Modules of the function, then of the layer, win over PYTHONPATH: it may name AWS's copies."""
    for name in ("tollgate", "sample_function"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong copy')")
    start(PYTHONPATH=str(tmp_path))

    assert api.answer(request("/plain")).prelude["statusCode"] == 200


def test_failure_is_logged_with_its_place(
    api: FakeRuntimeApi, start: Callable[..., object], tmp_path: Path
) -> None:
    """The log line has the request's id, the error's type, its place, and how it came there."""
    start()

    api.answer(request("/raise-before"))

    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    failure = next(line for line in lines if "raised" in line["message"])
    assert failure["requestId"] == "request-1"
    assert failure["message"] == f"the app raised ValueError in {failure['trace'][-1]}"
    assert "sample_function.py" in failure["trace"][-1]


def test_scope_is_mangums(api: FakeRuntimeApi, start: Callable[..., object]) -> None:
    """The app sees path, query, decoded body, the event, and a context that counts down."""
    start()
    event = request("/scope", "bGFzdA==") | {
        "isBase64Encoded": True,
        "multiValueQueryStringParameters": {"a": ["1", "2"]},
    }

    posted = api.answer(event)

    seen = json.loads(posted.chunks[1])
    assert (seen["method"], seen["query"], seen["body"]) == ("POST", "a=1&a=2", "last")
    assert seen["event_path"] == "/scope"
    assert 0 < seen["remaining_ms"] <= 60_000


def test_connections_outlive_an_invocation(
    api: FakeRuntimeApi, start: Callable[..., object]
) -> None:
    """One event loop serves all invocations: what the app pools can be used again."""
    start()

    answers = [api.answer(request("/pooled")).chunks[1] for _ in range(2)]

    assert answers == [b"call 1 of one connection", b"call 2 of one connection"]
