"""Conditional writes to one item, and what the item said where it refused.

A client raises for a refusal, which is an answer here, and does not wait for the transaction that a
write met.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tollgate.aws.errors import AwsRefusedError
from tollgate.errors import LedgerUnavailableError
from tollgate.ledger.connection import reaching_the_ledger
from tollgate.ledger.items import Item

# After so many seconds of one write no other try of it begins; the last one may still hang. Twelve
# tries that meet a transaction and are answered at once wait 4 seconds at most.
SECONDS_MAX = 7.0
_CONFLICT_ATTEMPTS_MAX = 12
_BACKOFF_S = 0.02
_BACKOFF_S_MAX = 0.5
_REFUSED = "ConditionalCheckFailedException"
_TRANSACTION_FULL = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a conditional write ended.

    `item`: what was asked back of a written item; the whole old item, or nothing where there is
    none, if the condition refused.
    """

    is_written: bool
    item: Item


class ConditionalWriter:
    """Writes to one table. All raise LedgerUnavailableError; the outcome is unknown then."""

    def __init__(
        self,
        client: Any,
        table: str,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`client`: from `connection.connect`; `sleep`: waits for a transaction in the way.

        `clock`: seconds that never go back, for the time that a write may take.
        """
        self._client = client
        self._table = table
        self._sleep = sleep
        self._clock = clock

    def update(
        self,
        key: Item,
        *,
        update: str,
        condition: str,
        names: dict[str, str] | None = None,
        values: Item | None = None,
        is_read_whole: bool = False,
    ) -> Answer:
        """Update one item; a written one answers with the attributes that were updated.

        `is_read_whole`: with all of them.
        """
        arguments: Item = {"ExpressionAttributeNames": names} if names else {}
        arguments |= {"ExpressionAttributeValues": values} if values else {}
        return self._write(
            self._client.update_item,
            Key=key,
            UpdateExpression=update,
            ConditionExpression=condition,
            ReturnValues="ALL_NEW" if is_read_whole else "UPDATED_NEW",
            **arguments,
        )

    def put(self, item: Item, *, condition: str) -> Answer:
        """Put one item."""
        return self._write(self._client.put_item, Item=item, ConditionExpression=condition)

    def _write(self, call: Callable[..., Any], **arguments: Any) -> Answer:
        for _ in self._tries():
            try:
                with reaching_the_ledger():
                    answer = call(
                        TableName=self._table,
                        ReturnValuesOnConditionCheckFailure="ALL_OLD",
                        **arguments,
                    )
            except AwsRefusedError as error:
                if error.code == _REFUSED:
                    return Answer(is_written=False, item=_read_item(error.answer, "Item"))
            else:
                return Answer(is_written=True, item=_read_item(answer, "Attributes"))
        raise LedgerUnavailableError

    def transact(self, *writes: Item) -> list[Answer]:
        """Write all or nothing; return an answer a write, all written or at least one refused.

        `writes`: as TransactWriteItems takes them.
        """
        for _ in self._tries():
            try:
                with reaching_the_ledger():
                    self._client.transact_write_items(TransactItems=list(writes))
            except AwsRefusedError as error:
                reasons = _read_reasons(error.answer, len(writes))
                codes = {reason.get("Code", "None") for reason in reasons}
                if "ConditionalCheckFailed" in codes:
                    return [_read_reason(reason) for reason in reasons]
                if not codes & _TRANSACTION_FULL:
                    raise LedgerUnavailableError from error
            else:
                return [Answer(is_written=True, item={})] * len(writes)
        raise LedgerUnavailableError

    def _tries(self) -> Iterator[int]:
        """Yield once a try; wait a random while before each but the first, longer each time.

        A try may itself hang before it is told of a conflict, so time ends them as well as number.
        """
        ends_at = self._clock() + SECONDS_MAX
        for attempt in range(_CONFLICT_ATTEMPTS_MAX):
            if attempt:
                ceiling_s = min(_BACKOFF_S * 2**attempt, _BACKOFF_S_MAX)
                self._sleep(random.uniform(0, ceiling_s))  # noqa: S311 - jitter
            if self._clock() >= ends_at:
                return
            yield attempt


def _read_item(said: Mapping[str, Any], name: str) -> Item:
    """Return an item of an answer, with nothing in it where there is none.

    Raises: LedgerUnavailableError: it is something else, whatever its status.
    """
    item = said.get(name)
    if item is None:
        return {}
    if not isinstance(item, dict):
        raise LedgerUnavailableError
    return item


def _read_reasons(said: Mapping[str, Any], count: int) -> list[Item]:
    """Return why each of `count` writes was not made; nothing unless it says so of each."""
    reasons = said.get("CancellationReasons")
    if not isinstance(reasons, list) or len(reasons) != count:
        return []
    return reasons if all(isinstance(reason, dict) for reason in reasons) else []


def _read_reason(reason: Item) -> Answer:
    is_refused = reason.get("Code") == "ConditionalCheckFailed"
    return Answer(is_written=not is_refused, item=_read_item(reason, "Item"))
