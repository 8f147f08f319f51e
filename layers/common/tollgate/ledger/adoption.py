"""The books of one table taken over into another, for a stack that follows a deleted one.

Not a backup's restore, which makes a table that no stack knows: this fills the stack's own.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from tollgate.errors import LedgerConflictError
from tollgate.ledger.items import CATALOG_KEY, Item
from tollgate.ledger.queries import read_pages
from tollgate.ledger.writes import ConditionalWriter

# As many as a client keeps connections.
_WRITERS = 10
_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """Items that were copied, and those that were there already, the same."""

    copied: int
    present: int


def adopt(client: Any, *, source: str, target: str) -> Adopted:
    """Copy every item of the table `source` into `target`; nothing is ever overwritten.

    Neither table may serve requests meanwhile. Safe to run again after it broke off: an item that
    is there already, the same, is passed over, and so is a catalog: the target's own stands. The
    source is read twice and left as it is.

    Raises: LedgerConflictError: an account of `source` has an open hold, or `target` has another
        item under a name of `source`'s; LedgerUnavailableError.
    """
    _check_at_rest(client, source)
    writer = ConditionalWriter(client, target)
    copied = present = 0
    with ThreadPoolExecutor(_WRITERS) as pool:
        for batch in _scan(client, source):
            written = list(pool.map(partial(_copy, writer), batch))
            copied += sum(written)
            present += len(written) - sum(written)
    return Adopted(copied=copied, present=present)


def _check_at_rest(client: Any, table: str) -> None:
    """Refuse before anything is written: a hold that is copied could be settled twice."""
    for batch in _scan(client, table):
        for item in batch:
            if item.get("holds", {}).get("M"):
                account = item["pk"]["S"].removeprefix("ACCOUNT#")
                raise LedgerConflictError(
                    f"account {account!r} of {table} has an open hold: a request is running, or "
                    f"`tollgate --table {table} sweep` has to end it first"
                )


def _scan(client: Any, table: str) -> Iterator[list[Item]]:
    """Yield all items, page by page. The one scan: it is for a table that nobody uses."""
    return read_pages(client.scan, TableName=table, ConsistentRead=True, Limit=_BATCH)


def _copy(writer: ConditionalWriter, item: Item) -> bool:
    """Put an item unless it is there; return whether it was not."""
    answer = writer.put(item, condition="attribute_not_exists(pk)")
    is_catalog = item["pk"] == CATALOG_KEY["pk"]
    if not answer.is_written and answer.item != item and not is_catalog:
        name = f"{item['pk']['S']} {item['sk']['S']}"
        raise LedgerConflictError(f"the table is in use: it has another {name}")
    return answer.is_written
