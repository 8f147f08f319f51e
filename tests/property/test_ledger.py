"""The verbs in any order, against an auditor: on DynamoDB Local, on the fake, and each one broken.

A mutation lets one clause of one condition always hold. If nothing failed then, the clause would
not be needed, or not be tested.
"""

import inspect
import itertools
import os
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from tollgate.errors import TollgateError
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Status
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.table import create_table

from tests.contracts import test_ledger, test_sweep
from tests.contracts.conftest import Bench, dynamo_bench
from tests.fakes.ledger import FakeLedger
from tests.property.ledger_machine import LedgerMachine, Subject
from tests.torture.faults import name_verb

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


@dataclass(slots=True)
class Mutation:
    """One clause of one verb's condition that always holds; `met`: how often it was left out.

    A control rewrites the clause too, to something that means the same.
    """

    verb: str
    clause: str
    is_control: bool = False
    met: int = 0

    def __str__(self) -> str:
        return f"{self.verb}: {self.clause}"

    def break_it(self, params: dict[str, Any], model: Any, **_: object) -> None:
        """Rewrite a call on its way to the database."""
        for call in _calls(params):
            if _name(model.name, call) == self.verb and "ConditionExpression" in call:
                condition: str = call["ConditionExpression"]
                self.met += condition.count(self.clause)
                word = "AND" if self.is_control else "OR"
                rewritten = f"({self.clause} {word} attribute_not_exists(nothing))"
                call["ConditionExpression"] = condition.replace(self.clause, rewritten)


def _calls(params: dict[str, Any]) -> list[dict[str, Any]]:
    writes = params.get("TransactItems")
    if writes is None:
        return [params]
    return [write for entry in writes for write in entry.values()]


def _name(operation: str, call: dict[str, Any]) -> str:
    if "Item" in call:
        kind = "grant" if "grant_id" in call["Item"] else "record"
        return f"{operation} {kind}"
    if operation == "TransactWriteItems":
        return "grant to account"
    update: str = call.get("UpdateExpression", "")
    if "open_since = :to" in update:
        return "move"
    return "take out" if "REMOVE #open" in update else name_verb(operation, update)


MUTATIONS = (
    Mutation("reserve", "#status = :active"),
    Mutation("reserve", "balance >= :required"),
    Mutation("reserve", "attribute_not_exists(holds.#r)"),
    Mutation("reserve", "attribute_not_exists(key_used.#k)"),
    Mutation("reserve", "key_used.#k <= :room"),
    Mutation("extend", "holds.#r.amount = :old"),
    Mutation("extend", "numbers.#a = :number"),
    Mutation("extend", "balance >= :more"),
    Mutation("settle", "holds.#r.amount = :amount"),
    Mutation("settle", "numbers.#a = :number"),
    Mutation("release", "holds.#r.attempt = :attempt"),
    Mutation("TransactWriteItems record", "attribute_not_exists(pk)"),
    Mutation("PutItem record", "attribute_not_exists(pk)"),
    Mutation("TransactWriteItems grant", "attribute_not_exists(pk)"),
    Mutation("grant to account", "attribute_exists(pk)"),
    Mutation("take out", "taken = :taken"),
    Mutation("move", "open_since = :was"),
)
CONTROLS = tuple(replace(one, is_control=True) for one in MUTATIONS)
RACES = ("take out", "move")  # met by two at once only: the contracts' business


def mutant(url: str, *mutations: Mutation) -> Any:
    client = connect(region="us-east-1", endpoint_url=url, read_timeout_s=30.0)
    for mutation in mutations:
        client.meta.events.register("provide-client-params.dynamodb", mutation.break_it)
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


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_contracts_find_every_mutation(
    dynamodb_url: str, dynamodb_client: Any, mutation: Mutation
) -> None:
    """With any one clause of any verb left out, a contract is broken."""
    client = mutant(dynamodb_url, mutation)

    with pytest.raises((AssertionError, TollgateError, pytest.fail.Exception)):
        run_contracts(bench_maker(client, dynamodb_client))

    client.close()
    assert mutation.met > 0


@torture
def test_machine_passes_with_clauses_rewritten_to_the_same(dynamodb_url: str, table: str) -> None:
    """The control of the mutations below."""
    client = mutant(dynamodb_url, *CONTROLS)

    run_machine(lambda: dynamo_subject(client, table), examples=40, steps=40)

    client.close()


@torture
@pytest.mark.parametrize("mutation", [one for one in MUTATIONS if one.verb not in RACES], ids=str)
def test_machine_finds_every_mutation(dynamodb_url: str, table: str, mutation: Mutation) -> None:
    """So do random histories: the books do not agree."""
    client = mutant(dynamodb_url, mutation)

    with pytest.raises((AssertionError, TollgateError)):
        run_machine(lambda: dynamo_subject(client, table), examples=EXAMPLES, steps=40)

    client.close()
    assert mutation.met > 0
