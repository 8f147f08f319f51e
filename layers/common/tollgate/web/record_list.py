"""Usage records as the caller's list of them: what each request used and cost.

What concerns the operator alone, the channel above all, is not in it.
"""

from tollgate.core.answer_ids import completion_id
from tollgate.core.units import points_number
from tollgate.core.usage import counts_json
from tollgate.ledger.model import UsageRecord
from tollgate.ledger.statements import RecordPage

LIMIT_MAX = 100
LIMIT_DEFAULT = 20


def describe_page(page: RecordPage) -> dict[str, object]:
    """Return a list object; `next` is what `after` takes, null on the last page."""
    return {
        "object": "list",
        "data": [describe_record(record) for record in page.records],
        "has_more": page.next_cursor is not None,
        "next": page.next_cursor,
    }


def describe_record(record: UsageRecord) -> dict[str, object]:
    """Return one request; `created` is when it was accepted, in unix seconds."""
    return {
        "id": answer_id(record),
        "object": "billing.request",
        "created": int(record.since.timestamp()),
        "request_id": record.request_id,
        "key_id": record.key_id,
        "endpoint": record.endpoint,
        "model": record.model,
        "stream": record.is_stream,
        "outcome": record.outcome,
        "usage": counts_json(record.tokens),
        "quota": points_number(record.quota),
    }


def answer_id(record: UsageRecord) -> str:
    """Return the id that the answer had: a completion's own, else the request's."""
    is_completion = record.endpoint == "chat.completions"
    return completion_id(record.request_id) if is_completion else record.request_id
