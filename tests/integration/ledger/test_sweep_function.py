"""The scheduled sweep as Lambda calls it: the real handler, on the stock runtime, on a schedule."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.store import DynamoLedger

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
