"""A streamed answer as the Runtime API gets it, byte by byte."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.runtime_api import INVOCATION_ID, FakeRuntimeApi
from tests.integration.runtime.process import Control, request


def test_head_prelude_and_chunks(api: FakeRuntimeApi, start: Callable[..., object]) -> None:
    """The POST announces a stream with trailers; the prelude is a chunk, each write is one."""
    start()

    posted = api.answer(request("/plain"))

    prelude = posted.prelude
    assert posted.path == "/2018-06-01/runtime/invocation/request-1/response"
    assert {name: posted.headers[name] for name in sorted(posted.headers)} == {
        "content-type": "application/vnd.awslambda.http-integration-response",
        "host": posted.headers["host"],
        "lambda-runtime-function-response-mode": "streaming",
        "lambda-runtime-invocation-id": INVOCATION_ID,
        "trailer": "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
        "transfer-encoding": "chunked",
        "user-agent": "tollgate-runtime",
    }
    assert prelude["statusCode"] == 200
    assert prelude["multiValueHeaders"] == {
        "content-type": ["text/plain"],
        "x-calls": ["1"],
        "set-cookie": ["a=1", "b=2"],
    }
    assert posted.chunks[1:] == [b"first ", b"last"]
    assert posted.trailers == {}


def test_first_chunk_leaves_while_the_app_works(
    api: FakeRuntimeApi, start: Callable[..., object], control: Control
) -> None:
    """The client has the first bytes while the function has not made the last."""
    start()
    api.events.put(request("/wait"))

    control.reached()
    api.wait_for(lambda: api.log.count("chunk") == 2)
    assert api.posts[0].is_complete is False
    assert b"first " in api.posts[0].raw

    control.go_on()
    api.wait_for(lambda: api.posts[0].is_complete)
    assert api.posts[0].chunks[1:] == [b"first ", b"last"]


def test_process_serves_again(api: FakeRuntimeApi, start: Callable[..., object]) -> None:
    """One process and one loop serve one event after the other."""
    start()

    calls = [
        api.answer(request("/plain")).prelude["multiValueHeaders"]["x-calls"] for _ in range(3)
    ]

    assert calls == [["1"], ["2"], ["3"]]


@pytest.mark.parametrize("path", ["/raise-before", "/return-early", "/large-headers"])
def test_failure_before_the_first_byte_is_a_500(
    api: FakeRuntimeApi, start: Callable[..., object], tmp_path: Path, path: str
) -> None:
    """The caller gets OpenAI's error with a status of its own; the log has no text of the error."""
    start()

    posted = api.answer(request(path))

    error = json.loads(b"".join(posted.chunks[1:]))["error"]
    assert posted.prelude["statusCode"] == 500
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert api.answer(request("/plain")).prelude["statusCode"] == 200
    assert "secret words" not in (tmp_path / "log").read_text()


def test_failure_after_the_first_byte_is_in_the_trailers(
    api: FakeRuntimeApi, start: Callable[..., object], tmp_path: Path
) -> None:
    """A stream that breaks off ends properly framed, its error in two single-line trailers."""
    start()

    posted = api.answer(request("/raise-after"))

    trailers = posted.trailers
    body = json.loads(base64.b64decode(trailers["lambda-runtime-function-error-body"]))
    assert posted.chunks[1:] == [b"first "]
    assert trailers["lambda-runtime-function-error-type"] == "Function.ValueError"
    assert body["errorType"] == "ValueError"
    assert "secret words" not in body["errorMessage"]
    api.wait_for(lambda: api.log.count("next") == 2)
    assert "secret words" not in (tmp_path / "log").read_text()


def test_failure_after_the_last_byte_is_the_apps_own(
    api: FakeRuntimeApi, start: Callable[..., object]
) -> None:
    """The answer stands, and the runtime goes on."""
    start()

    assert api.answer(request("/raise-at-the-end")).trailers == {}
    assert api.answer(request("/plain")).chunks[1:] == [b"first ", b"last"]


@pytest.mark.parametrize(("path", "expected"), [("/empty", ["0"]), ("/no-content", None)])
def test_empty_answers_are_complete(
    api: FakeRuntimeApi, start: Callable[..., object], path: str, expected: list[str] | None
) -> None:
    """A prelude and an end, with a length where a body might be waited for."""
    start()

    posted = api.answer(request(path))

    assert len(posted.chunks) == 1
    assert expected == posted.prelude["multiValueHeaders"].get("content-length")


def test_no_invocation_id_is_none_echoed(api: FakeRuntimeApi, start: Callable[..., object]) -> None:
    """What Lambda did not send is not sent back."""
    api.has_invocation_id = False
    start()

    assert "lambda-runtime-invocation-id" not in api.answer(request("/plain")).headers
