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
from tollgate.aws.botocore_clients import make_botocore_client
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
    """Start the server in the first worker that asks; it is ended when the last one has left."""
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    started: dynamodb.DynamoDB | None = None
    with _locked_state(shared) as state:
        if "url" not in state:
            started = dynamodb.start(dynamodb.install(ROOT / ".local"), data=None)
            state |= {"url": started.url, "users": 0}
        state["users"] += 1
        url: str = state["url"]
    try:
        yield url
    finally:
        with _locked_state(shared) as state:
            state["users"] -= 1
        if started is not None:
            _stop_after_the_others(started, shared)


@contextmanager
def _locked_state(shared: Path) -> Iterator[dict[str, Any]]:
    """Read and write what the workers share, one at a time."""
    file = shared / "dynamodb.json"
    with (shared / "dynamodb.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
        yield state
        file.write_text(json.dumps(state))


def _stop_after_the_others(started: dynamodb.DynamoDB, shared: Path) -> None:
    """Wait for the workers that use the server; whoever comes later starts one of its own."""
    deadline = time.monotonic() + 600
    while True:
        with _locked_state(shared) as state:
            if state["users"] == 0 or time.monotonic() > deadline:
                started.stop()
                state.clear()
                return
        time.sleep(0.1)


def scan(client: Any, table: str) -> Iterator[dict[str, Any]]:
    """Yield every item of a table, read consistently, past the ledger's own way of reading."""
    question: dict[str, Any] = {"TableName": table, "ConsistentRead": True}
    while True:
        page = client.scan(**question)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        question["ExclusiveStartKey"] = page["LastEvaluatedKey"]


@pytest.fixture
def dynamodb_client(dynamodb_url: str) -> Iterator[Any]:
    """A client as the functions make it, with patience for a busy machine."""
    client = connect(region="us-east-1", endpoint_url=dynamodb_url, read_timeout_s=30.0)
    yield client
    client.close()


@pytest.fixture
def botocore_client(dynamodb_url: str) -> Iterator[Any]:
    """A client as the functions make it where something is unusual."""
    client = connect(
        region="us-east-1",
        endpoint_url=dynamodb_url,
        read_timeout_s=30.0,
        make=make_botocore_client,
    )
    yield client
    client.close()


@pytest.fixture
def table(dynamodb_client: Any) -> str:
    """The name of a new table."""
    name = f"t-{uuid.uuid4().hex}"
    create_table(dynamodb_client, name)
    return name
