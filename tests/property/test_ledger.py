"""The verbs in any order, against an auditor: on DynamoDB Local, on the fake, and each one broken.

A mutation lets one clause of one condition always hold, or never where another may hold in its
place. If nothing failed then, the clause would not be needed, or not be tested.
"""

import ast
import inspect
import itertools
import os
import re
import secrets
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tollgate import ledger
from tollgate.aws.errors import AwsRefusedError
from tollgate.errors import LedgerUnavailableError, TollgateError
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Key, Status
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.table import create_table

from tests.contracts import test_ledger, test_sweep
from tests.contracts.conftest import Bench, dynamo_bench
from tests.fakes.ledger import FakeLedger
from tests.property.ledger_machine import LedgerMachine, Subject
from tests.taps import tap
from tests.torture.faults import name_write

EXAMPLES = 400  # within which each mutation must be found; most are within ten
torture = pytest.mark.skipif(
    "TORTURE_REQUESTS" not in os.environ, reason="`make torture` runs it: minutes"
)
CREATED = datetime(2026, 11, 1, tzinfo=UTC)


def fake_subject() -> Subject:
    ledger = FakeLedger()
    ledger.open_account("a", CREATED)

    def set_status(status: Status) -> None:
        ledger.accounts["a"] = replace(ledger.accounts["a"], status=status)

    return Subject(
        ledger=ledger,
        account_id="a",
        read=lambda: ledger.accounts["a"],
        records=lambda: list(ledger.records.values()),
        day_quota=lambda: sum(record.quota for record in ledger.records.values()),
        grant=ledger.grant,
        set_status=set_status,
    )


def dynamo_subject(client: Any, table: str) -> Subject:
    accounts, account_id = DynamoAccounts(client, table), f"a-{secrets.token_hex(6)}"
    accounts.create_account(account_id, CREATED)
    months = ("2026-11", "2026-12")
    return Subject(
        ledger=DynamoSweptLedger(client, table),
        account_id=account_id,
        read=lambda: accounts.find_account(account_id),
        records=lambda: list(
            itertools.chain(*(accounts.list_usage(account_id, month) for month in months))
        ),
        day_quota=lambda: sum(
            day.quota for day in accounts.list_days(account_id, "2026-11-01", "2026-12-31")
        ),
        grant=lambda account, name, amount: accounts.grant(
            account, name, amount, at=CREATED, note=""
        ),
        set_status=lambda status: accounts.set_account_status(account_id, status),
    )


def run_machine(make_subject: Callable[[], Subject], *, examples: int, steps: int) -> None:
    """Run the same examples each time; a failure is not shrunk: the mutants need none."""
    run_state_machine_as_test(
        lambda: LedgerMachine(make_subject),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_books_agree_on_the_fake() -> None:
    """Many long histories, since they cost little."""
    run_machine(fake_subject, examples=200, steps=40)


@pytest.mark.slow
def test_books_agree_on_dynamodb(dynamodb_client: Any, table: str) -> None:
    """Fewer, on the real conditions."""
    run_machine(lambda: dynamo_subject(dynamodb_client, table), examples=25, steps=40)


NEUTRAL = "attribute_not_exists(nothing)"  # of any item, and of none
NEVER = "attribute_exists(nothing)"


@dataclass(slots=True)
class Mutation:
    """One clause of one verb's condition that always holds; `met`: how often it was left out.

    `instead` holds too: always, or wherever the update can be made at all, since an update that
    DynamoDB cannot make would be found by that, and not by what it does; `invalid` counts those.
    `is_never`: the clause never holds, which is what leaving it out means beside an OR. A control
    rewrites the clause too, to something that means the same.
    """

    verb: str
    clause: str
    instead: str = NEUTRAL
    is_never: bool = False
    is_control: bool = False
    met: int = 0
    invalid: int = 0

    def __str__(self) -> str:
        return f"{self.name}, never" if self.is_never else self.name

    @property
    def name(self) -> str:
        """The clause and its verb."""
        return f"{self.verb}: {self.clause}"

    @property
    def rewritten(self) -> str:
        """What takes the clause's place."""
        if self.is_control:
            return f"({self.clause} AND {NEUTRAL})"
        if self.is_never:
            return f"({self.clause} AND {NEVER})"
        return f"({self.clause} OR {self.instead})"

    def break_it(self, operation: str, params: dict[str, Any]) -> None:
        """Rewrite a call on its way to the database."""
        for verb, call in conditional_writes(params, operation):
            condition: str = call["ConditionExpression"]
            if verb == self.verb and self.clause in condition:
                self.met += 1
                call["ConditionExpression"] = condition.replace(self.clause, self.rewritten)

    def note_failure(self, error: Exception) -> None:
        """Count an answer that says that the call was no valid one."""
        if not isinstance(error, AwsRefusedError):
            return
        reasons = error.answer.get("CancellationReasons", [])
        codes = {error.code, *(reason.get("Code") for reason in reasons)}
        self.invalid += bool(codes & {"ValidationException", "ValidationError"})


def conditional_writes(
    params: dict[str, Any], operation: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each write of a call that has a condition, with its verb."""
    writes = [write for entry in params.get("TransactItems", ()) for write in entry.values()]
    for write in writes or [params]:
        if "ConditionExpression" in write:
            yield name_write(operation, write), write


MUTATIONS = (
    Mutation("reserve", "#status = :active"),
    Mutation("reserve", "balance >= :required"),
    Mutation("reserve", "attribute_not_exists(holds.#r)"),
    Mutation("reserve", "attribute_not_exists(key_used.#k)"),
    Mutation("reserve", "attribute_not_exists(key_used.#k)", is_never=True),
    Mutation("reserve", "key_used.#k <= :room"),
    Mutation("reserve", "key_used.#k <= :room", is_never=True),
    Mutation("extend", "holds.#r.amount = :old", "attribute_exists(holds.#r)"),
    Mutation("extend", "numbers.#a = :number"),
    Mutation("extend", "balance >= :more"),
    Mutation("settle", "holds.#r.amount = :amount", "attribute_exists(holds.#r)"),
    Mutation("settle", "numbers.#a = :number"),
    Mutation("release", "holds.#r.attempt = :attempt", "attribute_exists(holds.#r)"),
    Mutation("journal", "attribute_not_exists(pk)"),
    Mutation("void", "attribute_not_exists(pk)"),
    Mutation("grant", "attribute_not_exists(pk)"),
    Mutation("move", "taken = :taken"),
    Mutation("move", "open_since = :was"),
)
# Clauses that no mutation leaves out, and why.
NOT_MUTATED = {
    "grant: attribute_exists(pk)": "there is no sum to add to: refused without it, in other words",
    "create: attribute_not_exists(pk)": "no verb: an operator's command makes an account or a key",
    "create: attribute_exists(pk)": "no verb: an operator's command makes a key of an account",
    "status: attribute_exists(pk)": "no verb: an operator's command, of an account or a key",
    "budget: attribute_exists(pk)": "no verb: an operator's command",
}
CONTROLS = tuple(replace(one, is_control=True) for one in MUTATIONS if not one.is_never)


def is_for_machine(mutation: Mutation) -> bool:
    """Return whether random histories find it; the contracts find every one.

    Not what two at once only meet, and not what refuses each try until the ledger gives up, which
    to the machine is a database that does not answer.
    """
    return mutation.verb != "move" and not mutation.is_never


def is_find(error: BaseException) -> bool:
    """Return whether a failure is one of the books: a database that is too slow is none."""
    return not isinstance(error, LedgerUnavailableError)


def mutant(url: str, *mutations: Mutation) -> Any:
    client = connect(region="us-east-1", endpoint_url=url, read_timeout_s=30.0)
    for mutation in mutations:
        tap(client, mutation.break_it, mutation.note_failure)
    return client


def run_contracts(make_bench: Callable[[int], Bench]) -> None:
    """Run the contract tests that need a bench and nothing else, up to the first that fails."""
    for module in (test_sweep, test_ledger):
        for name, test in vars(module).items():
            if name.startswith("test_") and [*inspect.signature(test).parameters] == ["make_bench"]:
                test(make_bench)


def bench_maker(client: Any, maker: Any) -> Callable[[int], Bench]:
    """Return what makes a bench of `client` on a new table, which `maker` makes."""

    def make_bench(balance: int) -> Bench:
        name = f"t-{uuid.uuid4().hex}"
        create_table(maker, name)
        return dynamo_bench(client, name, balance)

    return make_bench


@pytest.mark.slow
def test_contracts_pass_with_clauses_rewritten_to_the_same(
    dynamodb_url: str, dynamodb_client: Any
) -> None:
    """The control of the mutations: it is not the rewriting that fails; every clause is met."""
    client = mutant(dynamodb_url, *CONTROLS)

    run_contracts(bench_maker(client, dynamodb_client))

    client.close()
    assert [str(one) for one in CONTROLS if not one.met] == []


class Clauses:
    """The clauses of all conditions that have gone to the database, as `verb: clause`."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def note(self, operation: str, params: dict[str, Any]) -> None:
        for verb, call in conditional_writes(params, operation):
            clauses = re.split(r" AND | OR ", call["ConditionExpression"])
            self.seen |= {f"{verb}: {_strip(clause)}" for clause in clauses}


def _strip(clause: str) -> str:
    """Return a clause without the parentheses around it and its neighbours."""
    clause = clause.removeprefix("(")
    return clause[:-1] if clause.count(")") > clause.count("(") else clause


def rule_accounts(client: Any, table: str) -> None:
    """Write what only an operator writes."""
    accounts = DynamoAccounts(client, table)
    accounts.create_account("b", CREATED)
    key = Key(account_id="b", key_id="k", label="", status="active", created_at=CREATED)
    accounts.create_key(key, "digest")
    accounts.set_key_status("b", "k", "disabled")
    accounts.set_key_budget("b", "k", None)


def test_every_clause_of_every_condition_is_mutated_or_excused(
    dynamodb_url: str, dynamodb_client: Any, table: str
) -> None:
    """No condition is added to a statement without being broken here, on purpose."""
    client = connect(region="us-east-1", endpoint_url=dynamodb_url, read_timeout_s=30.0)
    clauses = Clauses()
    tap(client, clauses.note)

    run_contracts(bench_maker(client, dynamodb_client))
    rule_accounts(client, table)

    client.close()
    assert clauses.seen == {one.name for one in MUTATIONS} | set(NOT_MUTATED)


def test_no_condition_is_written_that_the_contracts_never_meet() -> None:
    """Every clause in the ledger's sources is one of those above; what a query asks is none.

    No money hangs on the board of rests; `contracts/test_rest_board.py` has its conditions.
    """
    asked = {"#open = :open", "open_since < :before", "pk = :pk"}
    of_rests = {
        "attribute_not_exists(#c)",
        "#c.until_ms < :until",
        "#c.until_ms <= :now",
        "#c.until_ms <= :until",
        "#c.until_ms = :until",
        "#c.probe = :yes",
    }
    names = [one.name for one in MUTATIONS]
    met = {clause.partition(": ")[2] for clause in [*names, *NOT_MUTATED]}

    assert source_clauses() - asked - of_rests == met


def source_clauses() -> set[str]:
    """Return what looks like a clause in the texts of the ledger's sources, but in updates."""
    clause = re.compile(r"attribute_(?:not_)?exists\([^)]+\)|[#.\w]+ (?:=|<>|[<>]=?) :\w+")
    found: set[str] = set()
    for file in Path(ledger.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and not text.startswith(("SET ", "REMOVE ", "ADD ")):
                found |= set(clause.findall(text))
    return found


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_contracts_find_every_mutation(
    dynamodb_url: str, dynamodb_client: Any, mutation: Mutation
) -> None:
    """With any one clause of any verb left out, a contract is broken, and not for want of time."""
    client = mutant(dynamodb_url, mutation)

    with pytest.raises((AssertionError, TollgateError, pytest.fail.Exception), check=is_find):
        run_contracts(bench_maker(client, dynamodb_client))

    client.close()
    assert (mutation.met > 0, mutation.invalid) == (True, 0)


@torture
def test_machine_passes_with_clauses_rewritten_to_the_same(dynamodb_url: str, table: str) -> None:
    """The control of the mutations below."""
    client = mutant(dynamodb_url, *CONTROLS)

    run_machine(lambda: dynamo_subject(client, table), examples=40, steps=40)

    client.close()


@torture
@pytest.mark.parametrize("mutation", [*filter(is_for_machine, MUTATIONS)], ids=str)
def test_machine_finds_every_mutation(dynamodb_url: str, table: str, mutation: Mutation) -> None:
    """So do random histories: the books do not agree."""
    client = mutant(dynamodb_url, mutation)

    with pytest.raises((AssertionError, TollgateError), check=is_find):
        run_machine(lambda: dynamo_subject(client, table), examples=EXAMPLES, steps=40)

    client.close()
    assert (mutation.met > 0, mutation.invalid) == (True, 0)
