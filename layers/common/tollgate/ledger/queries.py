"""The one way items are read in bulk: a query on one partition, page after page. Never a scan."""

from collections.abc import Iterator
from typing import Any

from tollgate.errors import LedgerUnavailableError
from tollgate.ledger import items
from tollgate.ledger.connection import reaching_the_ledger
from tollgate.ledger.items import Item


def query(
    client: Any,
    table: str,
    pk: str,
    *,
    sk: tuple[str, str] | None = None,
    attributes: str | None = None,
    page_items_max: int | None = None,
    is_newest_first: bool = False,
    is_consistent: bool = True,
) -> Iterator[Item]:
    """Yield a partition's items in the order of their sort keys; a page is read when it is needed.

    Args:
        sk: first and last sort key, both inclusive; None: all.
        attributes: those to return, with commas; what is read is paid for all the same.
        page_items_max: the most that one page reads; None: a megabyte.
        is_newest_first: the order reversed.
        is_consistent: see all that was written before, for twice the read units.

    Raises: LedgerUnavailableError.
    """
    condition, values = "pk = :pk", {":pk": items.text(pk)}
    if sk is not None:
        condition += " AND sk BETWEEN :first AND :last"
        values |= {":first": items.text(sk[0]), ":last": items.text(sk[1])}
    projection = {} if attributes is None else {"ProjectionExpression": attributes}
    pages = client.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression=condition,
        ExpressionAttributeValues=values,
        ScanIndexForward=not is_newest_first,
        ConsistentRead=is_consistent,
        PaginationConfig={"PageSize": page_items_max},
        **projection,
    )
    with reaching_the_ledger():
        for page in pages:
            if "Items" not in page:
                raise LedgerUnavailableError  # not the database's answer, whatever its status
            yield from page["Items"]
