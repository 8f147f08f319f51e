"""Each function's role against what its code asks of DynamoDB: no less, and no more.

DynamoDB Local asks nobody for rights, so a statement that names the wrong partition would be found
on AWS only. The calls are taken where the client makes them.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

import pytest
from tollgate.core.days import read_days
from tollgate.core.rests import Rest
from tollgate.core.units import Micropoints
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.open_accounts import DynamoSweptLedger
from tollgate.ledger.rests import DynamoRestBoard
from tollgate.ledger.statements import DynamoStatements
from tollgate.ledger.store import DynamoLedger
from tollgate.ledger.sweep import sweep

from tests.contracts.conftest import NOW
from tests.contracts.test_ledger import ask, record, reservation
from tests.deployment import Stack, translate
from tests.taps import tap

type Need = tuple[str, str, str]  # action, resource, partition
LATER = NOW + timedelta(hours=2)
TABLE = {"Fn::GetAtt": ["Table", "Arn"]}
INDEX = "${Table.Arn}/index/"


def read_needs(operation: str, parameters: dict[str, Any]) -> list[Need]:
    """Return what one call must be allowed to do.

    Of a transaction each part on each of its partitions: AWS does not say whether LeadingKeys are
    those of the part or of the whole.
    """
    if operation == "TransactWriteItems":
        parts = [
            need
            for part in parameters["TransactItems"]
            for kind, one in part.items()
            for need in read_needs(f"{kind}Item", one)
        ]
        return [(action, index, partition) for action, index, _ in parts for *_, partition in parts]
    if operation == "Query":
        [partition] = [
            value["S"]
            for name, value in parameters["ExpressionAttributeValues"].items()
            if name in (":pk", ":open")
        ]
        return [("Query", parameters.get("IndexName", ""), partition)]
    item = parameters.get("Key") or parameters["Item"]
    return [(operation, "", item["pk"]["S"])]


@pytest.fixture
def needs(dynamodb_client: Any) -> list[Need]:
    """What the client was asked for so far; empty it where preparations end."""
    found: list[Need] = []

    tap(dynamodb_client, lambda name, parameters: found.extend(read_needs(name, parameters)))
    return found


def read_partitions(statement: dict[str, Any], index: str) -> list[str]:
    """Return a statement's patterns; the sparse index has one partition, which none need name."""
    if index:
        assert "Condition" not in statement
        return ["*"]
    assert statement["Condition"].keys() == {"ForAllValues:StringLike"}
    patterns: list[str] = statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    return patterns


def grants(role: str) -> list[tuple[str, str, str]]:
    """Return the role's rights on the table: action, index, pattern of partitions."""
    [policy] = Stack(translate()).of_type("AWS::IAM::Role")[role]["Policies"]
    found = []
    for statement in policy["PolicyDocument"]["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            if action.startswith("dynamodb:"):
                resource = statement["Resource"]
                index = "" if resource == TABLE else resource.removeprefix(INDEX)
                found += [
                    (action.removeprefix("dynamodb:"), index, pattern)
                    for pattern in read_partitions(statement, index)
                ]
    return found


def serve_requests(client: Any, table: str) -> None:
    """Do all that a chat or an image request may ask of the ledger."""
    ledger = DynamoLedger(client, table)
    ledger.find_key("0" * 64)
    ledger.load_catalog(None)
    held = ledger.reserve(reservation(ask(100), "r-1"))
    ledger.reserve(reservation(ask(100), "r-1"))
    held = ledger.extend(held, Micropoints(150))
    ledger.journal(record(held, 40))
    ledger.journal(record(held, 40))
    ledger.settle(held, Micropoints(40))
    ledger.release(ledger.reserve(reservation(ask(100), "r-2")))
    asyncio.run(share_rests(DynamoRestBoard(client, table)))


async def share_rests(board: DynamoRestBoard) -> None:
    rest = Rest(until_ms=1, faults=1)
    await board.read()
    await board.post("c", rest)
    await board.claim("c", rest, now_ms=2)
    await board.remove("c", until_ms=2)


def list_models(client: Any, table: str) -> None:
    ledger = DynamoLedger(client, table)
    ledger.find_key("0" * 64)
    ledger.load_catalog(None)


def show_billing(client: Any, table: str) -> None:
    list_models(client, table)
    statements = DynamoStatements(client, table)
    days = read_days(None, None, today=NOW.date())
    statements.find_funds("a")
    statements.list_grants("a")
    statements.list_costs("a", days, today=NOW.date())
    statements.list_records("a", days, limit=1)


def end_holds(client: Any, table: str) -> None:
    """Sweep an account with a hold that was recorded and one that was not."""
    tally = sweep(DynamoSweptLedger(client, table), now=lambda: LATER, budget_s=lambda: 60.0)
    assert (tally.settled, tally.released) == (1, 1)


@pytest.mark.parametrize(
    ("role", "work"),
    [
        ("ChatRole", serve_requests),
        ("ImagesRole", serve_requests),
        ("ModelsRole", list_models),
        ("BillingRole", show_billing),
        ("SweepRole", end_holds),
    ],
)
def test_rights_are_what_the_code_needs(
    dynamodb_client: Any,
    table: str,
    needs: list[Need],
    role: str,
    work: Callable[[Any, str], None],
) -> None:
    """Each call is granted by some statement, and each grant is used by some call."""
    accounts, ledger = DynamoAccounts(dynamodb_client, table), DynamoLedger(dynamodb_client, table)
    accounts.create_account("a", NOW)
    accounts.grant("a", "g", Micropoints(10_000), at=NOW, note="")
    ledger.journal(record(ledger.reserve(reservation(ask(100), "left-1")), 40))
    ledger.reserve(reservation(ask(100), "left-2"))
    needs.clear()

    work(dynamodb_client, table)

    def is_met(need: Need, grant: Need) -> bool:
        return need[:2] == grant[:2] and fnmatchcase(need[2], grant[2])

    granted = grants(role)
    assert [need for need in needs if not any(is_met(need, grant) for grant in granted)] == []
    assert [grant for grant in granted if not any(is_met(need, grant) for need in needs)] == []
