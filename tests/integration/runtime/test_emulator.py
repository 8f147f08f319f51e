"""The runtime on AWS's own runtime interface emulator, the binary that the SAM CLI ships."""

import json
import os
import platform
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.processes import free_port, stop
from local.sandbox import ROOT

HERE = Path(__file__).parent
WRAPPER = ROOT / "layers" / "common" / "stream-runtime"
EVENT: dict[str, Any] = json.loads((ROOT / "events" / "chat.plain.json").read_text())
NULS = b"\0" * 8


def find_emulator() -> Path | None:
    """Return the emulator of the SAM CLI's environment."""
    machine = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    pattern = f"lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"
    return next((ROOT / ".venv-sam").glob(pattern), None)


EMULATOR = find_emulator()
pytestmark = pytest.mark.skipif(
    EMULATOR is None and not os.environ.get("TOLLGATE_REQUIRE_ALL"),
    reason="the SAM CLI is not installed: make .venv-sam/installed",
)

type Invoke = Callable[[str], bytes]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Invoke]]:
    """Start the emulator with the runtime; returns a function that invokes it by path."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**extra: str) -> Invoke:
        assert EMULATOR is not None, "no emulator: make .venv-sam/installed"
        port, api_port = free_port(), free_port()
        command = [str(EMULATOR), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
        command += ["--runtime-api-address", f"127.0.0.1:{api_port}", str(WRAPPER)]
        command += [sys.executable, "-m", "awslambdaric", "sample_function.handler"]
        environment = os.environ | {
            "_HANDLER": "sample_function.handler",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "LAMBDA_TASK_ROOT": str(HERE),
            "PYTHONPATH": f"{HERE}:{ROOT / 'layers' / 'common'}",
        }
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                command, env=environment | extra, cwd=HERE, stdout=log, stderr=log
            )
        started.append(process)
        url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        return lambda path: invoke(url, path)

    yield start
    for process in started:
        stop(process)


def invoke(url: str, path: str) -> bytes:
    """Return what the emulator answers, once it listens."""
    body = json.dumps(EVENT | {"path": path, "body": "last"}).encode()
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:  # noqa: S310
                found: bytes = answer.read()
                return found
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_stream_passes_the_emulator(start: Callable[..., Invoke]) -> None:
    """The emulator buffers, and hands on prelude, NULs and body as they were posted; twice."""
    invoke = start()

    for calls in ("1", "2"):
        prelude, _, body = invoke("/plain").partition(NULS)
        assert json.loads(prelude)["multiValueHeaders"]["x-calls"] == [calls]
        assert body == b"first last"


def test_failures_leave_the_emulator_usable(start: Callable[..., Invoke]) -> None:
    """Before the first byte a 500, after it a shortened body; then the next event is served."""
    invoke = start()

    before, _, error = invoke("/raise-before").partition(NULS)
    _, _, shortened = invoke("/raise-after").partition(NULS)
    _, _, whole = invoke("/plain").partition(NULS)

    assert json.loads(before)["statusCode"] == 500
    assert json.loads(error)["error"]["code"] == "internal_error"
    assert (shortened, whole) == (b"first ", b"first last")


def test_buffered_under_sam_local(start: Callable[..., Invoke]) -> None:
    """With AWS_SAM_LOCAL the stock runtime answers proxy JSON, one event after the other."""
    invoke = start(AWS_SAM_LOCAL="true")

    answers = [json.loads(invoke("/plain")) for _ in range(2)]

    assert [answer["body"] for answer in answers] == ["first last", "first last"]
    assert [answer["statusCode"] for answer in answers] == [200, 200]


def test_connections_outlive_an_invocation_under_mangum(start: Callable[..., Invoke]) -> None:
    """Mangum's buffered answers too run on one loop a process: pooled clients stay usable."""
    invoke = start(AWS_SAM_LOCAL="true")

    answers = [json.loads(invoke("/pooled"))["body"] for _ in range(2)]

    assert answers == ["call 1 of one connection", "call 2 of one connection"]
