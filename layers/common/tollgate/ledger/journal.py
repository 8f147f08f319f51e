"""Usage records and the sums of their days: written once, never changed.

    journal  put usage(r) IF absent + add to its day, in one transaction
    void     put usage(r), lost and free, IF absent      the sweep's, before it gives a hold back

The record's place is known from the request alone, so whoever comes second finds the first: a
repeat, another run of the request, or a Lambda that wakes up after the sweep.
"""

from datetime import datetime

from tollgate.ledger import items
from tollgate.ledger.items import Item
from tollgate.ledger.model import Hold, UsageRecord, lost_record
from tollgate.ledger.writes import Answer, ConditionalWriter

_ABSENT = "attribute_not_exists(pk)"


class Journal:
    """The records of one table."""

    def __init__(self, writer: ConditionalWriter, table: str) -> None:
        """`writer`: of the same table."""
        self._writer = writer
        self._table = table

    def write(self, record: UsageRecord) -> UsageRecord:
        """Write the record and its day; waits its turn on a busy day. Return the standing one."""
        put = {
            "TableName": self._table,
            "Item": items.usage_item(record),
            "ConditionExpression": _ABSENT,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        put_answer, _ = self._writer.transact({"Put": put}, {"Update": self._day_update(record)})
        return _standing(put_answer, record)

    def void(self, hold: Hold, at: datetime) -> UsageRecord:
        """Record that the request was lost, unless there is a record; return the standing one.

        After this no answer to the request can be recorded, however late it comes.
        """
        lost = lost_record(hold, at)
        return _standing(self._writer.put(items.usage_item(lost), condition=_ABSENT), lost)

    def _day_update(self, record: UsageRecord) -> Item:
        day = items.format_time(record.since)[:10]
        counts = {"requests": 1, "quota": record.quota}
        counts |= {f"tokens_{kind}": count for kind, count in record.tokens.items()}
        return {
            "TableName": self._table,
            "Key": items.day_key(record.account_id, day, record.model),
            "UpdateExpression": "ADD "
            + ", ".join(f"#{position} :{position}" for position in range(len(counts))),
            "ExpressionAttributeNames": {f"#{at}": name for at, name in enumerate(counts)},
            "ExpressionAttributeValues": {
                f":{at}": items.number(count) for at, count in enumerate(counts.values())
            },
        }


def _standing(answer: Answer, record: UsageRecord) -> UsageRecord:
    return record if answer.is_written else items.read_usage_item(answer.item)
