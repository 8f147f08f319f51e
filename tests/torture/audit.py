"""What must be true when all is over, read from the table itself and past Tollgate's own code."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from tests.dynamodb import scan
from tests.torture.plan import Plan
from tests.torture.report import Report

type Row = dict[str, Any]


def read_table(client: Any, table: str) -> list[Row]:
    """Return every item, as plain values."""
    return [_read(item) for item in scan(client, table)]


def read_partitions(client: Any, table: str, *pks: str) -> list[Row]:
    """Return the items of some partitions, as plain values; each has less than a page."""
    pages = [
        client.query(
            TableName=table,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
        )
        for pk in pks
    ]
    assert not any("LastEvaluatedKey" in page for page in pages)
    return [_read(item) for page in pages for item in page["Items"]]


def _read(item: Row) -> Row:
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def audit(rows: Iterable[Row], granted: Mapping[str, int]) -> list[str]:
    """Return what does not agree; an empty list is the promise kept.

    `granted`: micropoints that each account was given.
    """
    wrong: list[str] = []
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[_kind(row)].append(row)
    names = sorted(account["account"] for account in found["ACCOUNT"])
    if names != sorted(granted):
        wrong.append(f"accounts: {names} != {sorted(granted)}")
    for account in found["ACCOUNT"]:
        wrong += _audit_account(account, found, granted.get(account["account"], 0))
    ids = Counter(row["request_id"] for row in found["USAGE"])
    wrong += [f"{name}: {count} records" for name, count in ids.items() if count > 1]
    return wrong


def _audit_account(account: Row, found: Mapping[str, list[Row]], granted: int) -> list[str]:
    name = account["account"]
    usage = [row for row in found["USAGE"] if row["account"] == name]
    days = [row for row in found["DAY"] if row["pk"] == account["pk"]]
    grants = [row for row in found["GRANT"] if row["pk"] == account["pk"]]
    charged = [row for row in usage if row["outcome"] != "lost"]
    by_key: Counter[str] = Counter()
    for row in usage:
        by_key[row["key_id"]] += row["quota"]
    pairs = {
        "granted = balance + spent": (account["granted"], account["balance"] + account["spent"]),
        "granted once each": (account["granted"], granted),
        "granted = sum of grants": (account["granted"], sum(row["amount"] for row in grants)),
        "held = 0": (account["held"], 0),
        "no holds": ((account["holds"], account["numbers"]), ({}, {})),
        "off the sweep's list": ("open_since" in account or "open" in account, False),
        "balance >= 0": (min(account["balance"], 0), 0),
        "spent = sum of usage": (account["spent"], sum(row["quota"] for row in usage)),
        "spent = sum of days": (account["spent"], sum(row["quota"] for row in days)),
        "requests of days": (sum(row["requests"] for row in days), len(charged)),
        "prompt tokens of days": (
            sum(row.get("tokens_prompt", 0) for row in days),
            sum(row["tokens"].get("prompt", 0) for row in charged),
        ),
        "spent by key": (
            {key: used for key, used in account["key_used"].items() if used},
            {key: used for key, used in by_key.items() if used},
        ),
    }
    return [
        f"{name}: {rule}: {pair[0]} != {pair[1]}"
        for rule, pair in pairs.items()
        if pair[0] != pair[1]
    ]


def audit_answers(rows: Iterable[Row], plans: Mapping[int, Plan], report: Report) -> None:
    """Compare what callers got with what is recorded; note in `report` what does not agree."""
    records = {row["request_id"]: row for row in rows if _kind(row) == "USAGE"}
    runs: dict[str, set[int]] = defaultdict(set)
    for index, plan in plans.items():
        runs[plan.request_id].add(index)
    answers = {
        name: [report.finished[index] for index in indices if index in report.finished]
        for name, indices in runs.items()
    }
    for name, quotas in answers.items():
        if quotas and _is_freed(records.get(name), report.early):
            report.freed += 1
        elif quotas and not _is_paid(quotas, records.get(name), runs=len(runs[name])):
            report.wrong.append(f"{name}: answers of {quotas}, record {records.get(name)}")
        elif runs[name] <= report.silent and name in records and records[name]["quota"]:
            report.wrong.append(f"{name}: no output, and charged: {records[name]}")
    whole = {name for name, row in records.items() if row["outcome"] == "complete"}
    report.charged_unfinished = sum(not answers.get(name) for name in whole)
    report.answered_twice = sum(len(quotas) > 1 for quotas in answers.values())
    report.images = sum(plans[index].is_image for index in report.finished)


def _is_freed(record: Row | None, early: Collection[datetime]) -> bool:
    """Whether a sweep whose clock was ahead took the request for lost: its time is the record's."""
    if record is None or record["outcome"] != "lost":
        return False
    return datetime.fromisoformat(record["finished_at"]) in early


def _is_paid(quotas: Collection[int], record: Row | None, *, runs: int) -> bool:
    """Whether a request is charged what one of its whole answers says.

    Of two runs the first to be recorded pays, be it one that broke off: then its record is not of
    the whole answer.
    """
    if record is None or record["outcome"] == "lost":
        return False
    return record["quota"] in quotas if record["outcome"] == "complete" else runs > 1


def _kind(row: Row) -> str:
    pk, sk = str(row["pk"]).split("#")[0], str(row["sk"]).split("#")[0]
    return pk if pk == "USAGE" else sk
