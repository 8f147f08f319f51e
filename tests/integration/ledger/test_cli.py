"""The `tollgate` command as an operator or a script runs it, on DynamoDB Local."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from tollgate.core.keys import is_well_formed, key_sha256
from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.store import DynamoLedger
from tollgate.ledger.table import create_table

from local.sandbox import ROOT
from tests.contracts.test_ledger import ask, record, reservation

type Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(dynamodb_url: str, table: str) -> Run:
    """Run the command with the test's table; `TOLLGATE_*` of this machine do not count."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TOLLGATE_")}
    clean["PYTHONPATH"] = f"{ROOT}:{ROOT / 'layers' / 'common'}"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        start = [sys.executable, "-c", "from admin.cli import main; main()"]
        chosen = ["--table", table, "--endpoint-url", dynamodb_url]
        return subprocess.run(
            [*start, *chosen, *arguments], env=clean, capture_output=True, text=True, check=False
        )

    return run


def read(result: subprocess.CompletedProcess[str]) -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_account_from_creation_to_suspension(run: Run) -> None:
    """An account is created with points, shown, listed, topped up once per id, suspended."""
    created = read(run("--json", "account", "create", "alice", "--grant", "12.5"))
    read(run("--json", "account", "create", "bob"))
    granted = [read(run("--json", "grant", "alice", "0.000001", "--id", "g")) for _ in range(2)]
    read(run("--json", "account", "suspend", "bob"))
    shown = read(run("--json", "account", "show", "alice"))
    listed = read(run("--json", "account", "list"))

    assert created["balance"] == 12.5
    assert [one["is_new"] for one in granted] == [True, False]
    assert (shown["balance"], shown["granted"]) == (12.500001, 12.500001)
    assert [(one["account"], one["status"]) for one in listed] == [
        ("alice", "active"),
        ("bob", "suspended"),
    ]


def test_key_is_shown_once_and_kept_as_its_digest(
    run: Run, dynamodb_client: Any, table: str
) -> None:
    """The key is in the answer to its creation and nowhere in the table."""
    run("account", "create", "alice")
    options = ("--label", "laptop", "--model", "gpt-4o", "--budget", "3", "--expires", "2027-01-01")

    made = read(run("--json", "key", "create", "alice", *options))
    listed = read(run("--json", "key", "list", "alice"))

    stored = json.dumps(dynamodb_client.scan(TableName=table)["Items"])
    found = DynamoLedger(dynamodb_client, table).find_key(key_sha256(made["key"]))
    assert is_well_formed(made["key"])
    assert made["key"] not in stored
    assert "key" not in listed[0]
    assert found is not None
    assert (found.label, found.models, found.budget) == ("laptop", frozenset({"gpt-4o"}), 3_000_000)
    assert listed[0]["expires"] == "2027-01-01"


def test_key_is_disabled_and_enabled(run: Run) -> None:
    """The status that functions read follows the command."""
    run("account", "create", "alice")
    key_id = read(run("--json", "key", "create", "alice"))["key_id"]

    statuses = []
    for command in ("disable", "enable"):
        read(run("--json", "key", command, "alice", key_id))
        statuses += [one["status"] for one in read(run("--json", "key", "list", "alice"))]

    assert statuses == ["disabled", "active"]


def test_budget_of_a_key_is_set_and_lifted(run: Run) -> None:
    """What functions read of the key follows the command; a key that is not there is said."""
    run("account", "create", "alice")
    key_id = read(run("--json", "key", "create", "alice"))["key_id"]

    budgets = []
    for points in (("2.5",), ()):
        read(run("--json", "key", "budget", "alice", key_id, *points))
        budgets += [one["budget"] for one in read(run("--json", "key", "list", "alice"))]
    refused = run("key", "budget", "alice", "key_nobody", "5")

    assert budgets == [2.5, None]
    assert (refused.returncode, "has no key" in refused.stderr) == (1, True)


def test_sweep_says_what_it_did(run: Run, dynamodb_client: Any, table: str) -> None:
    """Old holds are ended, one charged and one given back; a second sweep has none."""
    run("account", "create", "a", "--grant", "5")
    ledger = DynamoLedger(dynamodb_client, table)
    holds = [ledger.reserve(reservation(ask(100), f"r-{number}")) for number in range(2)]
    ledger.journal(record(holds[0], 40))

    first = read(run("--json", "sweep"))
    second = run("sweep").stdout

    assert (first["settled"], first["released"], first["returned"]) == (1, 1, 0.00016)
    assert (first["failed"], first["is_complete"]) == (0, True)
    assert "older than 20 minutes: 0 settled, 0 released, 0 left" in second
    assert DynamoAccounts(dynamodb_client, table).find_account("a").spent == 40


def test_sweep_without_a_list_fails(run: Run) -> None:
    """It says what it did before, which is nothing here, and what went wrong; exit code 1."""
    failed = run("--table", "no-such-table", "sweep")

    assert failed.returncode == 1
    assert "0 settled, 0 released, 0 left" in failed.stdout
    assert "temporarily unavailable" in failed.stderr


def test_usage_lists_records_and_days(run: Run, dynamodb_client: Any, table: str) -> None:
    """Records come newest first and limited; days have their sums; the total is of all days."""
    run("account", "create", "a", "--grant", "5")
    ledger = DynamoLedger(dynamodb_client, table)
    for number in range(3):
        hold = ledger.reserve(reservation(ask(100), f"r-{number}"))
        ledger.journal(record(hold, number))
        ledger.settle(hold, Micropoints(number))
    span = ("--from", "2026-11-01", "--to", "2026-11-23")

    records = read(run("--json", "usage", "a", *span, "--limit", "2"))
    days = read(run("--json", "usage", "a", *span, "--days"))
    outside = read(run("--json", "usage", "a", "--from", "2026-11-01", "--to", "2026-11-22"))

    assert [one["request_id"] for one in records["usage"]] == ["r-2", "r-1"]
    assert [(one["day"], one["requests"], one["quota"]) for one in days["usage"]] == [
        ("2026-11-23", 3, 0.000003)
    ]
    total = {"requests": 3, "prompt": 9, "completion": 15, "quota": 0.000003}
    assert records["total"] == days["total"] == total
    assert (outside["usage"], outside["total"]["quota"]) == ([], 0)
    assert DynamoAccounts(dynamodb_client, table).find_account("a").spent == 3


def test_usage_shows_lost_requests_when_asked(run: Run, dynamodb_client: Any, table: str) -> None:
    """Nobody pays for them; an operator who looks for one finds it."""
    run("account", "create", "a", "--grant", "5")
    ledger = DynamoLedger(dynamodb_client, table)
    hold = ledger.reserve(reservation(ask(100)))
    ledger.void(hold, hold.since)
    asked = ("--json", "usage", "a", "--from", "2026-11-23", "--to", "2026-11-23")

    usual = read(run(*asked))["usage"]
    with_lost = read(run(*asked, "--lost"))["usage"]

    assert usual == []
    assert [(one["outcome"], one["quota"]) for one in with_lost] == [("lost", 0)]


def test_usage_ends_with_its_total(run: Run, dynamodb_client: Any, table: str) -> None:
    """A person reads the sum in the last line, under its column."""
    run("account", "create", "a", "--grant", "5")
    ledger = DynamoLedger(dynamodb_client, table)
    for number in (1, 2):
        hold = ledger.reserve(reservation(ask(1_500_000), f"r-{number}"))
        ledger.journal(record(hold, 1_500_000))
        ledger.settle(hold, Micropoints(1_500_000))
    span = ("--from", "2026-11-23", "--to", "2026-11-23")

    by_day = run("usage", "a", *span, "--days").stdout.splitlines()
    by_record = run("usage", "a", *span).stdout.splitlines()

    assert by_day[-1].split() == ["total", "2", "6", "10", "3"]
    assert by_record[-1].split() == ["total", "6", "10", "3"]


def test_list_that_is_cut_says_so(run: Run, dynamodb_client: Any, table: str) -> None:
    """A total that is of more than the rows shown is not read as their sum."""
    run("account", "create", "a", "--grant", "5")
    ledger = DynamoLedger(dynamodb_client, table)
    for number in range(3):
        hold = ledger.reserve(reservation(ask(100), f"r-{number}"))
        ledger.journal(record(hold, 1))
        ledger.settle(hold, Micropoints(1))
    span = ("--from", "2026-11-23", "--to", "2026-11-23")

    cut = run("usage", "a", *span, "--limit", "2").stdout.splitlines()
    whole = run("usage", "a", *span, "--limit", "3").stdout.splitlines()
    by_day = run("usage", "a", *span, "--limit", "2", "--days").stdout.splitlines()

    assert cut[-2].split() == ["total", "9", "15", "0.000003"]
    assert cut[-1] == "2 of 3 requests shown; the total is of all 3."
    assert whole[-1].split() == ["total", "9", "15", "0.000003"]
    assert by_day[-1].split() == ["total", "3", "9", "15", "0.000003"]


def test_scripts_read_decimals(run: Run) -> None:
    """A micropoint is 0.000001 for scripts too, never 1e-06."""
    run("account", "create", "a", "--grant", "0.000001")

    assert '"balance": 0.000001,' in run("--json", "account", "show", "a").stdout


def test_help_says_what_customers_see(run: Run) -> None:
    """Who makes a key or a grant is told which of it is not theirs alone."""
    key, grant = (
        " ".join(run(*command, "--help").stdout.split())
        for command in (("key", "create"), ("grant",))
    )

    assert "customer an account of their own" in key
    assert "credit_grants" in grant


def test_tables_keep_ids_whole(run: Run) -> None:
    """What a person copies from a table into the next command is not cut off, even in a pipe."""
    name = "a" * 64
    run("account", "create", name)
    key_id = read(run("--json", "key", "create", name, "--label", "x" * 60))["key_id"]

    assert name in run("account", "list").stdout
    assert key_id in run("key", "list", name).stdout


def test_catalog_is_checked_before_it_is_pushed(run: Run, tmp_path: Any) -> None:
    """A catalog with a mistake is refused by the key's name, and the pushed one stays."""
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[search.own]\nkind = "searxng"\nbase_url = "http://s"\nprice = 1\n')
    bad.write_text("[channels.x]\nbase_url = 5\n")

    pushed = read(run("--json", "catalog", "push", str(good)))
    refused = run("catalog", "push", str(bad))
    shown = read(run("--json", "catalog", "show"))

    assert refused.returncode == 1
    assert "channels.x.base_url" in refused.stderr
    assert shown["version"] == pushed["version"]
    assert shown["search"] == pushed["search"] == ["own"]
    assert shown["text"] == good.read_text()


def test_books_of_another_table_are_adopted(
    run: Run, dynamodb_client: Any, dynamodb_url: str
) -> None:
    """An account of the earlier table is one of this one; a second time there is nothing to do."""
    old = f"t-{uuid.uuid4().hex}"
    create_table(dynamodb_client, old)
    run("--table", old, "account", "create", "alice", "--grant", "12.5")

    first = run("adopt", old)
    again = read(run("--json", "adopt", old))

    assert first.stdout == f"3 items copied from {old}, 0 were there already.\n"
    assert again == {"copied": 0, "present": 3}
    assert read(run("--json", "account", "show", "alice"))["balance"] == 12.5


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("account", "show", "nobody"), 1, "there is no account 'nobody'"),
        (("key", "create", "nobody"), 1, "there is no account 'nobody'"),
        (("grant", "nobody", "5"), 1, "there is no account 'nobody'"),
        (("grant", "nobody", "0.0000001"), 2, "at most 6 decimals"),
        (("grant", "nobody", "-5"), 2, ""),
        (("grant", "nobody", "nan"), 2, "points"),
        (("account", "create", "Not An Id"), 2, "a-z"),
        (("usage", "a", "--from", "yesterday"), 2, "date"),
    ],
)
def test_mistakes_are_one_clear_message(
    run: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """Refused is 1 and a wrong command line 2; no traceback either way."""
    result = run(*arguments)

    assert code == result.returncode
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_unreachable_database_is_one_line(run: Run) -> None:
    """A wrong address is said in a line, not in a page of stack."""
    result = run("--endpoint-url", "http://127.0.0.1:9", "account", "list")

    assert result.returncode == 1
    assert "unavailable" in result.stderr
    assert "Traceback" not in result.stderr
