"""What a caller reads of a usage record."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tollgate.core.units import Micropoints
from tollgate.ledger.model import UsageRecord
from tollgate.ledger.statements import RecordPage
from tollgate.web.record_list import describe_page, describe_record

RECORD = UsageRecord(
    account_id="alice",
    key_id="key_1",
    request_id="r-1",
    since=datetime(2026, 11, 23, 12, 0, 0, 900_000, tzinfo=UTC),
    finished_at=datetime(2026, 11, 23, 12, 0, 9, tzinfo=UTC),
    endpoint="chat.completions",
    model="m",
    channel="operators-own",
    tokens={"prompt": 10, "completion": 5, "cached": 4, "reasoning": 2},
    is_exact=True,
    is_stream=True,
    quota=Micropoints(1_340_000),
    outcome="complete",
)


def test_record_as_its_caller_sees_it() -> None:
    """The answer's id, OpenAI's usage, points; nothing of the operator's channels."""
    assert describe_record(RECORD) == {
        "id": "chatcmpl-r-1",
        "object": "billing.request",
        "created": 1795435200,
        "request_id": "r-1",
        "key_id": "key_1",
        "endpoint": "chat.completions",
        "model": "m",
        "stream": True,
        "outcome": "complete",
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
        "quota": 1.34,
    }


def test_answers_without_an_id_have_the_requests() -> None:
    """An image's answer has no id; its request's is in `x-request-id`."""
    counts = {"images": 2, "search": 1}
    found = describe_record(replace(RECORD, endpoint="images.generations", tokens=counts))

    assert found["id"] == "r-1"
    assert found["usage"] == {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
        "images": 2,
        "searches": 1,
    }


def test_whole_points_are_whole_numbers() -> None:
    """As `quota` in an answer is written."""
    found: Any = describe_record(replace(RECORD, quota=Micropoints(3_000_000)))

    assert (found["quota"], type(found["quota"])) == (3, int)


def test_page_says_whether_there_is_more() -> None:
    """`next` is there exactly where `has_more` is true."""
    page = RecordPage(records=(RECORD, replace(RECORD, request_id="r-0")), next_cursor="c")
    last = RecordPage(records=(), next_cursor=None)

    found: Any = describe_page(page)
    assert [one["id"] for one in found["data"]] == ["chatcmpl-r-1", "chatcmpl-r-0"]
    assert (found["has_more"], found["next"]) == (True, "c")
    assert describe_page(last) == {
        "object": "list",
        "data": [],
        "has_more": False,
        "next": None,
    }
