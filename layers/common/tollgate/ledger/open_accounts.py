"""The sweep's side of the ledger: the sparse index of accounts that may have open holds.

A reserve puts an account into the index (`open`, `open_since`) if it is not in it; only the sweep
moves it or takes it out, so requests never write to the index twice. The index lags behind the
table; the account itself is read consistently before anything is done.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tollgate.ledger import items
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.model import Account
from tollgate.ledger.queries import read_pages
from tollgate.ledger.store import DynamoLedger


class DynamoSweptLedger(DynamoLedger):
    """Implements `ledger.sweep.SweptLedger` on one table."""

    def __init__(self, client: Any, table: str) -> None:
        """`client`: from `connection.connect`."""
        super().__init__(client, table)
        self._accounts = DynamoAccounts(client, table)

    async def aclose(self) -> None:
        """Close all connections."""
        self._client.close()

    def open_accounts(self, before: datetime) -> Iterator[str]:
        """Yield the accounts whose `open_since` is before, the oldest first."""
        pages = read_pages(
            self._client.query,
            TableName=self._table,
            IndexName=items.OPEN_INDEX,
            KeyConditionExpression="#open = :open AND open_since < :before",
            ExpressionAttributeNames={"#open": "open"},
            ExpressionAttributeValues={
                ":open": items.text(items.OPEN_PK),
                ":before": items.text(items.format_time(before)),
            },
        )
        for page in pages:
            for item in page:
                yield item["pk"]["S"].partition("#")[2]

    def find_account(self, account_id: str) -> Account:
        """Return the account, read consistently."""
        return self._accounts.find_account(account_id)

    def move_open_since(self, account: Account, to: datetime | None) -> bool:
        """Move the account in the index or take it out, unless it has changed."""
        if to is None:
            return self._take_out(account)
        if account.open_since is None:
            return False
        answer = self._writer.update(
            items.account_key(account.account_id),
            update="SET open_since = :to",
            condition="open_since = :was",
            values={
                ":was": items.text(items.format_time(account.open_since)),
                ":to": items.text(items.format_time(to)),
            },
        )
        return answer.is_written

    def _take_out(self, account: Account) -> bool:
        answer = self._writer.update(
            items.account_key(account.account_id),
            update="REMOVE #open, open_since",
            condition="taken = :taken",
            names={"#open": "open"},
            values={":taken": items.number(account.taken)},
        )
        return answer.is_written
