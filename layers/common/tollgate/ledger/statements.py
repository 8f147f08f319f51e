"""The customer's side of the ledger: what the account has, what its days cost, its records.

Reads only, and only of one account: an item or a query, never a scan. What a read costs is in
docs/ledger.md#reads. Neither channels nor other business of the operator leaves here unasked.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Any

from tollgate.core.billing import DayCost, Funds, Grant
from tollgate.core.days import Days
from tollgate.errors import AccountInactiveError, AnswerTooLargeError
from tollgate.ledger import items
from tollgate.ledger.connection import reaching_the_ledger
from tollgate.ledger.cursors import format_cursor, parse_cursor
from tollgate.ledger.items import Item
from tollgate.ledger.model import UsageRecord
from tollgate.ledger.queries import query

_SPAN_DAYS = 50
_READS_AT_ONCE = (
    10  # 400 days, the open ones and the account: as many connections as a client keeps
)
_COSTS_MAX = 200_000  # even with names of one letter, beyond what Lambda hands on in one answer
_OPEN_DAYS = 2  # a request lasts minutes, so no day before yesterday changes any more
_SNAPSHOT_ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    """Some usage records, newest first; `next_cursor` None: they are the last."""

    records: tuple[UsageRecord, ...]
    next_cursor: str | None


class DynamoStatements:
    """Reads what a customer may see. The calls block.

    Raises: LedgerUnavailableError. AccountInactiveError: there is no such account, whatever is left
        of it. A suspended one is read like any: the money is the customer's.
    """

    def __init__(self, client: Any, table: str) -> None:
        """`client`: from `connection.connect`."""
        self._client = client
        self._table = table

    def find_funds(self, account_id: str) -> Funds:
        """Return the account's money as it stands now."""
        with reaching_the_ledger():
            answer = self._client.get_item(
                TableName=self._table,
                Key=items.account_key(account_id),
                ProjectionExpression="granted, balance",
                ConsistentRead=True,
            )
        if "Item" not in answer:
            raise AccountInactiveError
        item = answer["Item"]
        return Funds(granted=items.amount(item, "granted"), balance=items.amount(item, "balance"))

    def list_grants(self, account_id: str) -> tuple[Funds, list[Grant]]:
        """Return the account's money and the top-ups that made it.

        They are two reads: if a top-up came between them, both are read again.
        """
        for _ in range(_SNAPSHOT_ATTEMPTS_MAX):
            grants = [_read_grant(item) for item in self._query(account_id, items.GRANTS)]
            funds = self.find_funds(account_id)
            if funds.granted == sum(grant.amount for grant in grants):
                break
        return funds, grants

    def list_costs(self, account_id: str, days: Days, *, today: date) -> list[DayCost]:
        """Return what each model cost on each of `days`, by day and model.

        Spans of days are read side by side: 400 days of 50 models are four megabytes, and a query
        answers with one at a time. Yesterday and today are read consistently, since they change;
        the days before are not, for half the price. `today`: by UTC.

        Raises: AnswerTooLargeError: more than `_COSTS_MAX`; no more is read.
        """
        closed, still_open = days.cut(today - timedelta(days=_OPEN_DAYS - 1))
        spans = [*closed.split(_SPAN_DAYS), *still_open.split(_SPAN_DAYS)]
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            account = pool.submit(self.find_funds, account_id)
            parts = pool.map(lambda span: self._list_span(account_id, span, closed.end), spans)
            costs = [cost for part in parts for cost in part]
            account.result()
        if len(costs) > _COSTS_MAX:
            raise AnswerTooLargeError
        return costs

    def _list_span(self, account_id: str, span: Days, closed_end: date) -> list[DayCost]:
        last = span.end - timedelta(days=1)
        found = self._query(
            account_id,
            items.day_range(span.first.isoformat(), last.isoformat()),
            attributes="sk, quota",
            is_consistent=span.first >= closed_end,
        )
        return [_read_cost(item) for item in islice(found, _COSTS_MAX + 1)]

    def list_records(
        self, account_id: str, days: Days, *, limit: int, after: str | None = None
    ) -> RecordPage:
        """Return at most `limit` usage records of `days`, newest first.

        A page reads the account, at most `limit` + 2 records and the lost ones among them, and asks
        each month once: 15 of them for 400 days without a record. `after`: the cursor of the page
        before.

        Raises: InvalidRequestError: the cursor is none that this account was given.
        """
        before = None if after is None else parse_cursor(account_id, after)
        self.find_funds(account_id)
        page = list(islice(self._list_backwards(account_id, days, before, limit + 2), limit + 1))
        records = tuple(items.read_usage_item(item) for item in page[:limit])
        is_last = len(page) <= limit
        cursor = None if is_last else format_cursor(account_id, page[limit - 1]["sk"]["S"])
        return RecordPage(records=records, next_cursor=cursor)

    def _list_backwards(
        self, account_id: str, days: Days, before: str | None, page_items_max: int
    ) -> Iterator[Item]:
        """Yield the records of `days` that are older than the sort key `before`, newest first.

        Those of lost requests are read beside them and left out: they are the sweep's own.
        A record's sort key begins with its time, so a date is before all of that day's records.
        """
        first, end = days.first.isoformat(), days.end.isoformat()
        last = end if before is None else min(end, before)
        for month in days.months():
            if first <= last and month <= last:
                yield from (
                    item
                    for item in query(
                        self._client,
                        self._table,
                        items.usage_pk(account_id, month),
                        sk=(first, last),
                        page_items_max=page_items_max,
                        is_newest_first=True,
                    )
                    if item["sk"]["S"] != before and not items.is_lost(item)
                )

    def _query(
        self,
        account_id: str,
        sk: tuple[str, str],
        *,
        attributes: str | None = None,
        is_consistent: bool = True,
    ) -> Iterator[Item]:
        return query(
            self._client,
            self._table,
            items.account_pk(account_id),
            sk=sk,
            attributes=attributes,
            is_consistent=is_consistent,
        )


def _read_cost(item: Item) -> DayCost:
    day, model = items.split_day_sk(item)
    return DayCost(day=day, model=model, quota=items.amount(item, "quota"))


def _read_grant(item: Item) -> Grant:
    return Grant(
        grant_id=item["grant_id"]["S"],
        amount=items.amount(item, "amount"),
        at=items.parse_time(item["at"]["S"]),
    )
