"""The operator's side of the ledger: accounts, keys, grants, records, the catalog.

Nothing here is on a request's path; the `tollgate` command and `make run` use it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tollgate.core.units import Micropoints
from tollgate.errors import LedgerConflictError
from tollgate.ledger import items
from tollgate.ledger.connection import reaching_the_ledger
from tollgate.ledger.items import Item
from tollgate.ledger.model import Account, Key, KeyStatus, Status, UsageRecord
from tollgate.ledger.queries import query
from tollgate.ledger.writes import ConditionalWriter

_INDEX_PK = "ACCOUNTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySum:
    """One model's sums of one UTC day."""

    day: str
    model: str
    requests: int
    quota: Micropoints
    tokens: dict[str, int]


class DynamoAccounts:
    """Creates and reads what customers have. All raise LedgerUnavailableError."""

    def __init__(self, client: Any, table: str) -> None:
        """`client`: from `connection.connect`."""
        self._client = client
        self._table = table
        self._writer = ConditionalWriter(client, table)

    def create_account(self, account_id: str, at: datetime) -> None:
        """Create an empty, active account and list it.

        Raises: LedgerConflictError: there is one of that id.
        """
        listed = {"pk": items.text(_INDEX_PK), "sk": items.text(account_id)}
        self._transact(
            self._put(items.account_item(account_id, at), is_new=True),
            self._put(listed, is_new=False),
            conflict=f"account {account_id!r} exists already",
        )

    def find_account(self, account_id: str) -> Account:
        """Return the account as it stands now.

        Raises: LedgerConflictError: there is none.
        """
        item = self._get(items.account_key(account_id))
        if item is None:
            raise LedgerConflictError(f"there is no account {account_id!r}")
        return items.read_account_item(item)

    def list_accounts(self) -> Iterator[Account]:
        """Yield all accounts, by id."""
        for entry in query(self._client, self._table, _INDEX_PK):
            item = self._get(items.account_key(entry["sk"]["S"]))
            if item is not None:
                yield items.read_account_item(item)

    def set_account_status(self, account_id: str, status: Status) -> None:
        """Suspend or resume an account; every reserve looks at it, so at once."""
        self._set_status(
            items.account_key(account_id), status, f"there is no account {account_id!r}"
        )

    def create_key(self, key: Key, key_sha256: str) -> None:
        """Store a key's record under its digest, and list it with its account.

        Raises: LedgerConflictError: the account does not exist, or the key does.
        """
        pointer = items.key_pointer_key(key.account_id, key.key_id)
        pointer["key_sha256"] = items.text(key_sha256)
        check = {
            "ConditionCheck": {
                "TableName": self._table,
                "Key": items.account_key(key.account_id),
                "ConditionExpression": "attribute_exists(pk)",
            }
        }
        self._transact(
            check,
            self._put(items.key_item(key, key_sha256), is_new=True),
            self._put(pointer, is_new=True),
            conflict=f"there is no account {key.account_id!r}, or the key exists already",
        )

    def list_keys(self, account_id: str) -> Iterator[Key]:
        """Yield the records of an account's keys."""
        pk = items.account_pk(account_id)
        for pointer in query(self._client, self._table, pk, sk=items.KEY_POINTERS):
            item = self._get(items.key_key(pointer["key_sha256"]["S"]))
            if item is not None:
                yield items.read_key_item(item)

    def set_key_status(self, account_id: str, key_id: str, status: KeyStatus) -> None:
        """Disable or enable a key; running functions know within half a minute.

        Raises: LedgerConflictError: the account has no such key.
        """
        missing = f"account {account_id!r} has no key {key_id!r}"
        self._set_status(self._find_key_key(account_id, key_id), status, missing)

    def set_key_budget(self, account_id: str, key_id: str, budget: Micropoints | None) -> None:
        """Set all that a key may ever spend, None for no limit; known within half a minute.

        Raises: LedgerConflictError: the account has no such key.
        """
        values = {} if budget is None else {":budget": items.number(budget)}
        answer = self._writer.update(
            self._find_key_key(account_id, key_id),
            update="REMOVE budget" if budget is None else "SET budget = :budget",
            condition="attribute_exists(pk)",
            values=values,
        )
        if not answer.is_written:
            raise LedgerConflictError(f"account {account_id!r} has no key {key_id!r}")

    def _find_key_key(self, account_id: str, key_id: str) -> Item:
        """Return the key of an API key's item.

        Raises: LedgerConflictError: the account has no such key.
        """
        pointer = self._get(items.key_pointer_key(account_id, key_id))
        if pointer is None:
            raise LedgerConflictError(f"account {account_id!r} has no key {key_id!r}")
        return items.key_key(pointer["key_sha256"]["S"])

    def grant(
        self, account_id: str, grant_id: str, amount: Micropoints, *, at: datetime, note: str
    ) -> bool:
        """Add `amount` to the balance, once per `grant_id`; return whether it was this time.

        Raises: LedgerConflictError: no such account, or the id stands for another amount.
        """
        item = items.grant_key(account_id, grant_id) | {
            "grant_id": items.text(grant_id),
            "amount": items.number(amount),
            "at": items.text(items.format_time(at)),
            "note": items.text(note),
        }
        try:
            self._transact(
                self._put(item, is_new=True),
                {"Update": self._grant_update(account_id, amount)},
                conflict=f"there is no account {account_id!r}",
            )
        except LedgerConflictError:
            standing = self._get(items.grant_key(account_id, grant_id))
            if standing is None:
                raise
            if items.amount(standing, "amount") != amount:
                raise LedgerConflictError(
                    f"grant {grant_id!r} exists already, with another amount"
                ) from None
            return False
        return True

    def _grant_update(self, account_id: str, amount: Micropoints) -> Item:
        return {
            "TableName": self._table,
            "Key": items.account_key(account_id),
            "UpdateExpression": "SET balance = balance + :g, granted = granted + :g",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeValues": {":g": items.number(amount)},
        }

    def list_usage(self, account_id: str, month: str) -> Iterator[UsageRecord]:
        """Yield one month's usage records (`yyyy-mm`), newest first."""
        pk = items.usage_pk(account_id, month)
        for item in query(self._client, self._table, pk, is_newest_first=True):
            yield items.read_usage_item(item)

    def list_days(self, account_id: str, first: str, last: str) -> Iterator[DaySum]:
        """Yield day sums from `first` to `last` (`yyyy-mm-dd`, both inclusive), oldest first."""
        pk = items.account_pk(account_id)
        for item in query(self._client, self._table, pk, sk=items.day_range(first, last)):
            yield _read_day(item)

    def push_catalog(self, text: str, version: str, at: datetime) -> None:
        """Put a catalog, already checked, in force; running functions take it within a minute."""
        item = items.CATALOG_KEY | {
            "text": items.text(text),
            "version": items.text(version),
            "pushed_at": items.text(items.format_time(at)),
        }
        with reaching_the_ledger():
            self._client.put_item(TableName=self._table, Item=item)

    def _get(self, key: Item) -> Item | None:
        with reaching_the_ledger():
            answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    def _put(self, item: Item, *, is_new: bool) -> Item:
        put: Item = {"TableName": self._table, "Item": item}
        if is_new:
            put["ConditionExpression"] = "attribute_not_exists(pk)"
        return {"Put": put}

    def _transact(self, *writes: Item, conflict: str) -> None:
        """Write all or nothing; wait for requests that are writing to the same account.

        Raises: LedgerConflictError: a condition failed.
        """
        answers = self._writer.transact(*writes)
        if not all(answer.is_written for answer in answers):
            raise LedgerConflictError(conflict)

    def _set_status(self, key: Item, status: str, missing: str) -> None:
        answer = self._writer.update(
            key,
            update="SET #status = :status",
            condition="attribute_exists(pk)",
            names={"#status": "status"},
            values={":status": items.text(status)},
        )
        if not answer.is_written:
            raise LedgerConflictError(missing)


def _read_day(item: Item) -> DaySum:
    day, model = items.split_day_sk(item)
    tokens = {
        name.removeprefix("tokens_"): int(value["N"])
        for name, value in item.items()
        if name.startswith("tokens_")
    }
    return DaySum(
        day=day,
        model=model,
        requests=int(item["requests"]["N"]),
        quota=items.amount(item, "quota"),
        tokens=tokens,
    )
