"""A runtime as a process, as Lambda starts it, against the Runtime API of the tests."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.processes import stop
from tests.fakes.runtime_api import FakeRuntimeApi
from tests.integration.runtime.process import HERE, WRAPPER, Control


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
