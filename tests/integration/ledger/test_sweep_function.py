"""The scheduled sweep as Lambda calls it: the real handler, on the stock runtime, on a schedule."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tollgate.core.units import Micropoints
from tollgate.errors import LedgerUnavailableError
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.store import DynamoLedger

from functions.billing.sweep import MARGIN_S, get_ledger, handler
from local.runtime_api import Kind
from local.sandbox import ROOT, Launch, Pool
from local.schedule import keep_schedule
from local.template import Function, Schedule, load_template, read_api
from tests.contracts.conftest import NOW
from tests.contracts.test_ledger import ask, record, reservation

EVENT = (ROOT / "events" / "sweep.schedule.json").read_bytes()


def sweep_function(**environment: str) -> Function:
    """Return the template's own function."""
    return read_api(load_template(ROOT / "template.yaml"), environment).functions["SweepFunction"]


def leave_holds(client: Any, table: str) -> DynamoAccounts:
    accounts, ledger = DynamoAccounts(client, table), DynamoLedger(client, table)
    accounts.create_account("a", NOW)
    accounts.grant("a", "g", Micropoints(1000), at=NOW, note="")
    holds = [ledger.reserve(reservation(ask(100), f"r-{number}")) for number in range(3)]
    ledger.journal(record(holds[0], 40))
    return accounts


async def test_sweep_function_heals_and_tells_cloudwatch(
    dynamodb_url: str, dynamodb_client: Any, table: str, tmp_path: Path
) -> None:
    """One call ends what is old; its log has one line of metrics, and no key."""
    accounts = leave_holds(dynamodb_client, table)
    log = tmp_path / "functions.log"
    function = sweep_function(TOLLGATE_TABLE=table, TOLLGATE_DYNAMODB_URL=dynamodb_url)
    pool = Pool(function, Launch(environment=dict(os.environ), log=log), 1)

    parts = await pool.invoke(EVENT, "r")
    async with asyncio.timeout(60):
        part = await parts.get()
    await pool.stop()

    lines = [json.loads(line) for line in log.read_text().splitlines() if "_aws" in line]
    assert part.kind is Kind.BUFFERED
    assert json.loads(part.data)["HoldsHealed"] == 3
    assert [(one["Table"], one["HoldsSettled"], one["HoldsReleased"]) for one in lines] == [
        (table, 1, 2)
    ]
    assert lines[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Tollgate"
    assert (accounts.find_account("a").held, accounts.find_account("a").spent) == (0, 40)


async def listen(pool: Pool, capsys: Any, words: str, times: int) -> str:
    """Keep a fast schedule until the console has said `words` so often; return what it said."""
    said = ""
    async with keep_schedule(Schedule(function="SweepFunction", every_s=0.1), pool):
        async with asyncio.timeout(120):
            while said.count(words) < times:
                await asyncio.sleep(0.05)
                said += capsys.readouterr().out
    await pool.stop()
    return said


async def test_make_run_keeps_the_schedule(
    dynamodb_url: str, dynamodb_client: Any, table: str, tmp_path: Path, capsys: Any
) -> None:
    """The local EventBridge calls the function again and again, and stops with the gateway."""
    accounts = leave_holds(dynamodb_client, table)
    function = sweep_function(TOLLGATE_TABLE=table, TOLLGATE_DYNAMODB_URL=dynamodb_url)
    launch = Launch(environment=dict(os.environ), log=tmp_path / "functions.log")
    pool = Pool(function, launch, 1)

    said = await listen(pool, capsys, "SweepFunction {", 2)

    assert '"HoldsHealed": 3' in said
    assert accounts.find_account("a").held == 0
    assert accounts.find_account("a").spent == 40


async def test_failed_sweep_is_said_and_called_again(tmp_path: Path, capsys: Any) -> None:
    """Without a database a call fails; the schedule goes on."""
    function = sweep_function(TOLLGATE_TABLE="t", TOLLGATE_DYNAMODB_URL="http://127.0.0.1:9")
    launch = Launch(environment=dict(os.environ), log=tmp_path / "functions.log")
    pool = Pool(function, launch, 1)

    said = await listen(pool, capsys, "failed", 2)

    assert "SweepFunction failed" in said


type Answer = tuple[int, object] | None  # a status and JSON, or silence


@contextmanager
def database(answer: Callable[[dict[str, Any]], Answer]) -> Iterator[str]:
    """Run a database that says what `answer` makes of a call's arguments; yield its URL."""
    is_over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            said = answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            if said is None:
                is_over.wait()
                self.close_connection = True
                return
            body = json.dumps(said[1]).encode()
            self.send_response(said[0])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    is_over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def list_three(call: dict[str, Any]) -> Answer:
    """Answer the list's first page, with another to follow; nothing else is answered."""
    is_list = "IndexName" in call and "ExclusiveStartKey" not in call
    accounts = [{"pk": {"S": f"ACCOUNT#{name}"}, "sk": {"S": "ACCOUNT"}} for name in "abc"]
    return (200, {"Items": accounts, "LastEvaluatedKey": accounts[-1]}) if is_list else None


def refuse_the_rest(call: dict[str, Any]) -> Answer:
    """Answer the list's first page; throttle its second one; no account is there."""
    if "IndexName" not in call:
        return 200, {}
    throttled = 400, {"__type": "ThrottlingException", "message": "Rate of requests exceeds"}
    return list_three(call) or throttled


def metrics(said: str) -> dict[str, int]:
    """Return the figures of the line, or none if there is no line: what is zero is not written."""
    lines = [json.loads(line) for line in said.splitlines() if "_aws" in line]
    assert len(lines) <= 1
    return {name: one for line in lines for name, one in line.items() if isinstance(one, int)}


@pytest.fixture
def context_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, float], object]]:
    """Return what points the handler at a database and makes Lambda's context with its time."""

    def make(url: str, left_s: float) -> object:
        monkeypatch.setenv("TOLLGATE_DYNAMODB_URL", url)
        return SimpleNamespace(get_remaining_time_in_millis=lambda: int(left_s * 1000))

    get_ledger.cache_clear()
    yield make
    get_ledger()._client.close()
    get_ledger.cache_clear()


@pytest.mark.parametrize("is_listed", [False, True], ids=["no list", "a list and no more"])
def test_database_that_hangs_ends_a_sweep_in_time(
    context_of: Callable[[str, float], object],
    capsys: pytest.CaptureFixture[str],
    *,
    is_listed: bool,
) -> None:
    """The call under way ends within the margin and no other begins; metrics or Lambda say so."""
    left_s = MARGIN_S + 1
    began = time.monotonic()

    with database(list_three if is_listed else lambda _: None) as url:
        context = context_of(url, left_s)
        if is_listed:
            handler({}, context)
        else:
            with pytest.raises(LedgerUnavailableError):
                handler({}, context)
        took_s = time.monotonic() - began

    told = metrics(capsys.readouterr().out)
    assert told == ({"SweepsUnfinished": 1, "HoldsFailed": 1} if is_listed else {})
    assert took_s < left_s


def test_list_that_breaks_off_is_told_and_fails(
    context_of: Callable[[str, float], object], capsys: pytest.CaptureFixture[str]
) -> None:
    """What came before is in the metrics; the call fails, and Lambda counts that."""
    with database(refuse_the_rest) as url, pytest.raises(LedgerUnavailableError):
        handler({}, context_of(url, 240.0))

    assert metrics(capsys.readouterr().out) == {"HoldsFailed": 3}
