"""The one way items are read in bulk: a query on one partition, page after page. Never a scan."""

from collections.abc import Callable, Iterator
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
    question: Item = {} if attributes is None else {"ProjectionExpression": attributes}
    question |= {} if page_items_max is None else {"Limit": page_items_max}
    for page in read_pages(
        client.query,
        TableName=table,
        KeyConditionExpression=condition,
        ExpressionAttributeValues=values,
        ScanIndexForward=not is_newest_first,
        ConsistentRead=is_consistent,
        **question,
    ):
        yield from page


def read_pages(read: Callable[..., Any], **question: Any) -> Iterator[list[Item]]:
    """Yield the items of a query or a scan, page after page; each is read when it is needed.

    Raises: LedgerUnavailableError; also where an answer is no page, whatever its status, or says
        that it ended where it began, which would never end.
    """
    while True:
        with reaching_the_ledger():
            answer = read(**question)
        page, last = answer.get("Items"), answer.get("LastEvaluatedKey")
        if not isinstance(page, list) or (last and last == question.get("ExclusiveStartKey")):
            raise LedgerUnavailableError
        yield page
        if not last:
            return
        question["ExclusiveStartKey"] = last
