"""Conditional writes on a clock of their own: how often and how long they are tried."""

from typing import Any

import pytest
from tollgate.aws.client import THROTTLED_PAUSE_S
from tollgate.aws.errors import AwsRefusedError
from tollgate.aws.wire import Limits
from tollgate.errors import LedgerUnavailableError
from tollgate.ledger.connection import connect
from tollgate.ledger.writes import SECONDS_MAX, ConditionalWriter

from functions.billing.sweep import MARGIN_S

WRITE = {"Put": {"TableName": "t", "Item": {}, "ConditionExpression": "attribute_not_exists(pk)"}}


def call_seconds_max() -> float:
    """Return how long one call of the client takes at most: tries that hang, waits between."""
    limits: Limits = connect(region="us-east-1", endpoint_url="http://127.0.0.1:9")._limits
    waits_s = sum(THROTTLED_PAUSE_S * 2**number for number in range(limits.attempts_max - 1))
    return limits.attempts_max * limits.attempt_s + waits_s


class Database:
    """Has a transaction in the way of each write; a call takes `call_s` of a clock of its own.

    One that begins in the last second of a write's time takes as long as a call can.
    """

    def __init__(self, call_s: float, *, conflicts: int = 10**6) -> None:
        self.clock_s = 0.0
        self.began_s: list[float] = []
        self._call_s = call_s
        self._conflicts = conflicts

    def sleep(self, seconds: float) -> None:
        self.clock_s += seconds

    def transact_write_items(self, **_: object) -> dict[str, object]:
        return self._answer("TransactionCanceledException")

    def put_item(self, **_: object) -> dict[str, object]:
        return self._answer("TransactionConflictException")

    def _answer(self, code: str) -> dict[str, object]:
        self.began_s.append(self.clock_s)
        is_last = self.clock_s >= SECONDS_MAX - 1
        self.clock_s += call_seconds_max() if is_last else self._call_s
        if len(self.began_s) > self._conflicts:
            return {}
        answer = {"CancellationReasons": [{"Code": "TransactionConflict"}]}
        raise AwsRefusedError(code, status=400, answer=answer)


def writer(database: Database) -> ConditionalWriter:
    return ConditionalWriter(database, "t", database.sleep, lambda: database.clock_s)


def put(database: Database) -> None:
    writer(database).put({}, condition="attribute_not_exists(pk)")


def transact(database: Database) -> None:
    writer(database).transact(WRITE)


@pytest.mark.parametrize("write", [put, transact])
@pytest.mark.parametrize("call_s", [0.0, 0.6, 2.0, call_seconds_max()])
def test_write_ends_in_time_whatever_is_in_its_way(write: Any, call_s: float) -> None:
    """Conflicts that come late, each after tries that hang, end within the sweep's margin.

    The sweep's longest call is a settle of a hold that grows meanwhile: three writes.
    """
    database = Database(call_s)

    with pytest.raises(LedgerUnavailableError):
        write(database)

    assert max(database.began_s) < SECONDS_MAX
    assert 3 * database.clock_s < MARGIN_S


@pytest.mark.parametrize("write", [put, transact])
def test_write_waits_for_a_transaction_in_its_way(write: Any) -> None:
    """Twelve quick tries fit into the time."""
    database = Database(0.05, conflicts=11)

    write(database)

    assert len(database.began_s) == 12


class Saying:
    """A client whose database says one thing, be it no."""

    def __init__(self, said: Any, *, code: str | None = None) -> None:
        self._said = said
        self._code = code

    def put_item(self, **_: object) -> Any:
        if self._code is not None:
            raise AwsRefusedError(self._code, status=400, answer=self._said)
        return self._said

    transact_write_items = put_item


@pytest.mark.parametrize("item", [5, "text", [], [5]])
@pytest.mark.parametrize("name", ["Attributes", "Item"])
def test_item_that_is_none_says_nothing(name: str, item: object) -> None:
    """How the write ended is unknown then."""
    code = "ConditionalCheckFailedException" if name == "Item" else None
    client = Saying({name: item}, code=code)

    with pytest.raises(LedgerUnavailableError):
        ConditionalWriter(client, "t").put({}, condition="c")


REFUSED = {"Code": "ConditionalCheckFailed"}


@pytest.mark.parametrize(
    "reasons", [5, {}, [], [5], [REFUSED], [REFUSED, 5], [REFUSED] * 3, [REFUSED | {"Item": 5}] * 2]
)
def test_reasons_that_are_none_say_nothing(reasons: object) -> None:
    """Neither of a write that nobody made nor of fewer than there were."""
    client = Saying({"CancellationReasons": reasons}, code="TransactionCanceledException")

    with pytest.raises(LedgerUnavailableError):
        ConditionalWriter(client, "t").transact(WRITE, WRITE)


def test_reasons_are_one_a_write() -> None:
    """In their order; the old item is nothing where it is not told."""
    reasons = [{"Code": "None", "Item": None}, REFUSED | {"Item": None, "Message": "no"}]
    client = Saying({"CancellationReasons": reasons}, code="TransactionCanceledException")

    answers = ConditionalWriter(client, "t").transact(WRITE, WRITE)

    assert [(answer.is_written, answer.item) for answer in answers] == [(True, {}), (False, {})]
