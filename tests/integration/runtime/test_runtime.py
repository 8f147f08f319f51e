"""The runtime as a process, against a Runtime API that looks at every byte."""

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.processes import stop
from local.sandbox import ROOT
from tests.fakes.runtime_api import INVOCATION_ID, FakeRuntimeApi, Posted

HERE = Path(__file__).parent
WRAPPER = ROOT / "layers" / "common" / "stream-runtime"
EVENT: dict[str, Any] = json.loads((ROOT / "events" / "chat.plain.json").read_text())


def event(path: str, body: str = "last") -> dict[str, Any]:
    return EVENT | {"path": path, "body": body}


class Control:
    """The test's end of the points where the sample function waits."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(30)
        self.port: int = self._listener.getsockname()[1]
        self._waiting: socket.socket | None = None

    def reached(self) -> None:
        """Wait until the function waits."""
        self._waiting, _ = self._listener.accept()
        assert self._waiting.recv(1) == b"."

    def go_on(self) -> None:
        """Let it go on."""
        assert self._waiting is not None
        with self._waiting:
            self._waiting.sendall(b".")

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def control() -> Iterator[Control]:
    control = Control()
    yield control
    control.close()


@pytest.fixture
def api() -> Iterator[FakeRuntimeApi]:
    api = FakeRuntimeApi()
    yield api
    api.stop()


@pytest.fixture
def start(
    api: FakeRuntimeApi, control: Control, tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the runtime behind its wrapper, as Lambda does."""
    started = []

    def start(handler: str = "sample_function.handler", **extra: str) -> subprocess.Popen[bytes]:
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": api.start(),
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "_HANDLER": handler,
            "LAMBDA_TASK_ROOT": str(HERE),
            "TEST_CONTROL_PORT": str(control.port),
        } | extra
        command = [str(WRAPPER), sys.executable, "-m", "awslambdaric", handler]
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, cwd=HERE, stdout=log, stderr=log)
        started.append(process)
        return process

    yield start
    for process in started:
        stop(process)


def answer(api: FakeRuntimeApi, path: str) -> Posted:
    """Send one event and return what was posted for it."""
    known = len(api.posts)
    api.events.put(event(path))
    api.wait_for(lambda: len(api.posts) > known and api.posts[known].is_complete)
    return api.posts[known]


def read_prelude(posted: Posted) -> dict[str, Any]:
    """Return the prelude, which is the first chunk, ended by eight NULs."""
    first = posted.chunks[0]
    assert first.endswith(b"}" + b"\0" * 8)
    assert first.count(b"\0") == 8
    prelude: dict[str, Any] = json.loads(first[:-8])
    assert set(prelude) == {"statusCode", "multiValueHeaders"}
    return prelude


def test_head_prelude_and_chunks(api: FakeRuntimeApi, start: Callable[..., object]) -> None:
    """The POST announces a stream with trailers; the prelude is a chunk, each write is one."""
    start()

    posted = answer(api, "/plain")

    prelude = read_prelude(posted)
    assert posted.path == "/2018-06-01/runtime/invocation/request-1/response"
    assert {name: posted.headers[name] for name in sorted(posted.headers)} == {
        "connection": "close",
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
    api.events.put(event("/wait"))

    control.reached()
    api.wait_for(lambda: api.log.count("chunk") == 2)
    assert api.posts[0].is_complete is False
    assert b"first " in api.posts[0].raw

    control.go_on()
    api.wait_for(lambda: api.posts[0].is_complete)
    assert api.posts[0].chunks[1:] == [b"first ", b"last"]


def test_next_waits_until_the_app_is_done(
    api: FakeRuntimeApi, start: Callable[..., object], control: Control
) -> None:
    """The answer is complete at once; the next event is asked for when the app has returned."""
    start()
    api.events.put(event("/work-after"))

    control.reached()
    api.wait_for(lambda: api.posts and api.posts[0].is_complete)
    assert api.log.count("next") == 1

    control.go_on()
    api.wait_for(lambda: api.log.count("next") == 2)


def test_process_serves_again(api: FakeRuntimeApi, start: Callable[..., object]) -> None:
    """One process and one loop serve one event after the other."""
    start()

    calls = [read_prelude(answer(api, "/plain"))["multiValueHeaders"]["x-calls"] for _ in range(3)]

    assert calls == [["1"], ["2"], ["3"]]


@pytest.mark.parametrize("path", ["/raise-before", "/return-early", "/large-headers"])
def test_failure_before_the_first_byte_is_a_500(
    api: FakeRuntimeApi, start: Callable[..., object], tmp_path: Path, path: str
) -> None:
    """The caller gets OpenAI's error with a status of its own; the log has no text of the error."""
    start()

    posted = answer(api, path)

    error = json.loads(b"".join(posted.chunks[1:]))["error"]
    assert read_prelude(posted)["statusCode"] == 500
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert read_prelude(answer(api, "/plain"))["statusCode"] == 200
    assert "secret words" not in (tmp_path / "log").read_text()


def test_failure_after_the_first_byte_is_in_the_trailers(
    api: FakeRuntimeApi, start: Callable[..., object], tmp_path: Path
) -> None:
    """A stream that breaks off ends properly framed, its error in two single-line trailers."""
    start()

    posted = answer(api, "/raise-after")

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

    assert answer(api, "/raise-at-the-end").trailers == {}
    assert answer(api, "/plain").chunks[1:] == [b"first ", b"last"]


@pytest.mark.parametrize(("path", "expected"), [("/empty", ["0"]), ("/no-content", None)])
def test_empty_answers_are_complete(
    api: FakeRuntimeApi, start: Callable[..., object], path: str, expected: list[str] | None
) -> None:
    """A prelude and an end, with a length where a body might be waited for."""
    start()

    posted = answer(api, path)

    assert len(posted.chunks) == 1
    assert expected == read_prelude(posted)["multiValueHeaders"].get("content-length")


@pytest.mark.parametrize("verdict", [410, 413, 500])
def test_refused_answer_does_not_end_the_process(
    api: FakeRuntimeApi, start: Callable[..., object], tmp_path: Path, verdict: int
) -> None:
    """A late or unwanted answer is logged, and the next event is asked for."""
    api.verdicts.append(verdict)
    process: Any = start()

    answer(api, "/plain")
    assert read_prelude(answer(api, "/plain"))["multiValueHeaders"]["x-calls"] == ["2"]

    assert process.poll() is None
    log = (tmp_path / "log").read_text()
    assert ("time-out" if verdict == 410 else str(verdict)) in log


def test_no_invocation_id_is_none_echoed(api: FakeRuntimeApi, start: Callable[..., object]) -> None:
    """What Lambda did not send is not sent back."""
    api.has_invocation_id = False
    start()

    assert "lambda-runtime-invocation-id" not in answer(api, "/plain").headers


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
