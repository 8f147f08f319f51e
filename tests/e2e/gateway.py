"""A running gateway as a test sees it: an address, a key, and the ledger's raw items."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Key

GATEWAY = os.environ.get("TOLLGATE_GATEWAY", "local.run")  # local.sam: make test-sam-local


def not_under_sam(reason: str) -> pytest.MarkDecorator:
    """Mark a test of what `sam local` does not do."""
    return pytest.mark.skipif(GATEWAY == "local.sam", reason=f"sam local: {reason}")


SETTLED_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One usage record, read past Tollgate's own code."""

    quota: int
    model: str
    outcome: str
    is_exact: bool
    channel: str
    tokens: dict[str, int]


@dataclass(slots=True)
class Money:
    """What happened to the account while it was watched; amounts are micropoints."""

    gateway: "Gateway"
    before: dict[str, Any]
    known: frozenset[str]
    after: dict[str, Any] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """What the balance went down by."""
        return int(self.before["balance"] - self.after["balance"])

    def new_records(self) -> list[Record]:
        """Return the records that were written while it was watched."""
        records = self.gateway.records()
        return [record for request_id, record in records.items() if request_id not in self.known]

    def record(self, completion_id: str) -> Record:
        """Return the usage record of an answer's id."""
        return self.gateway.record(completion_id.removeprefix("chatcmpl-"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What `.local/gateway.json` says, and the way to the items behind it."""

    base_url: str
    api_key: str
    account: str
    dynamodb_url: str
    table: str

    @contextmanager
    def _open_table(self) -> Iterator[Any]:
        dynamodb = boto3.resource(
            "dynamodb",
            endpoint_url=self.dynamodb_url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        try:
            yield dynamodb.Table(self.table)
        finally:
            dynamodb.meta.client.close()

    def read_account(self) -> dict[str, Any]:
        """Return the account item as it stands."""
        key = {"pk": f"ACCOUNT#{self.account}", "sk": "ACCOUNT"}
        with self._open_table() as table:
            item: dict[str, Any] = table.get_item(Key=key, ConsistentRead=True)["Item"]
        return item

    def records(self) -> dict[str, Record]:
        """Return this month's and last month's usage records by request id."""
        now = time.gmtime()
        months = {
            time.strftime("%Y-%m", now),
            time.strftime("%Y-%m", time.gmtime(time.time() - 3600)),
        }
        return {
            item["sk"].split("#")[-1]: _read_record(item)
            for month in months
            for item in self._query(f"USAGE#{self.account}#{month}")
        }

    def record(self, request_id: str) -> Record:
        """Return one usage record."""
        return self.records()[request_id]

    def _query(self, pk: str) -> Iterator[dict[str, Any]]:
        start: dict[str, Any] = {}
        with self._open_table() as table:
            while True:
                page = table.query(
                    KeyConditionExpression=Key("pk").eq(pk), ConsistentRead=True, **start
                )
                yield from page["Items"]
                if "LastEvaluatedKey" not in page:
                    return
                start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    @contextmanager
    def watch(self) -> Iterator[Money]:
        """Watch the account over some calls; at the end nothing is held and its sums agree."""
        money = Money(self, self.read_account(), frozenset(self.records()))
        yield money
        money.after = self.wait_until_settled()

    def wait_until_settled(self) -> dict[str, Any]:
        """Return the account once nothing is held: settling follows the last byte."""
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while (account := self.read_account())["holds"]:
            assert time.monotonic() < deadline, f"still held: {account['holds']}"
            time.sleep(0.02)
        assert account["held"] == 0
        assert account["granted"] == account["balance"] + account["spent"]
        return account


def _read_record(item: dict[str, Any]) -> Record:
    return Record(
        quota=int(item["quota"]),
        model=item["model"],
        outcome=item["outcome"],
        is_exact=item["is_exact"],
        channel=item["channel"],
        tokens={kind: int(count) for kind, count in item["tokens"].items()},
    )


def micropoints(points: float | Decimal) -> int:
    """Return a JSON quota, in points, as micropoints."""
    return int((Decimal(str(points)) * 1_000_000).to_integral_exact())
