"""DynamoDB Local for tests: one server a session, shared by the workers, a fresh table a test."""

import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tollgate.ledger.connection import connect
from tollgate.ledger.table import create_table

from local import dynamodb
from local.sandbox import ROOT


@pytest.fixture(scope="session")
def dynamodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a DynamoDB Local in memory."""
    with _sharing(tmp_path_factory.getbasetemp()) as url:
        yield url


@contextmanager
def _sharing(base: Path) -> Iterator[str]:
    """Start the server in the first worker that asks; the last one to leave ends it."""
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    state_file, lock_file = shared / "dynamodb.json", shared / "dynamodb.lock"
    started: dynamodb.DynamoDB | None = None
    with lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = json.loads(state_file.read_text()) if state_file.is_file() else None
        if state is None:
            started = dynamodb.start(dynamodb.install(ROOT / ".local"), data=None)
            state = {"url": started.url, "users": 0}
        state["users"] += 1
        state_file.write_text(json.dumps(state))
    try:
        yield state["url"]
    finally:
        _leave(state_file, lock_file, started)


def _leave(state_file: Path, lock_file: Path, started: dynamodb.DynamoDB | None) -> None:
    """Count this worker out; whoever started the server waits for the others."""
    with lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = json.loads(state_file.read_text())
        state["users"] -= 1
        state_file.write_text(json.dumps(state))
    if started is not None:
        _wait_for_the_others(state_file)
        started.stop()


def _wait_for_the_others(state_file: Path) -> None:
    deadline = time.monotonic() + 600
    while json.loads(state_file.read_text())["users"] > 0 and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.fixture
def dynamodb_client(dynamodb_url: str) -> Iterator[Any]:
    """A client as the functions make it, with patience for a busy machine."""
    client = connect(region="us-east-1", endpoint_url=dynamodb_url, read_timeout_s=30.0)
    yield client
    client.close()


@pytest.fixture
def table(dynamodb_client: Any) -> str:
    """The name of a new table."""
    name = f"t-{uuid.uuid4().hex}"
    create_table(dynamodb_client, name)
    return name
