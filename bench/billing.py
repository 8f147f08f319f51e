"""The longest usage answer, 400 days of 50 models, from DynamoDB Local to JSON.

Baseline: the same 20 000 items whole, by botocore's client, one query after the other.
"""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from itertools import batched, product
from pathlib import Path
from typing import Any

from tollgate.aws.botocore_clients import make_botocore_client
from tollgate.core.billing import Exchange, describe_usage
from tollgate.core.days import DAYS_MAX, Days
from tollgate.ledger import items
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.queries import query
from tollgate.ledger.statements import DynamoStatements
from tollgate.ledger.table import create_table
from tollgate.web.app import answer_json

from bench.measure import interleave, print_ratios
from local import dynamodb

_HOME = Path(__file__).parent.parent / ".local"
_TABLE = "bench"
_TODAY = date(2026, 11, 24)
_DAYS = Days(first=_TODAY - timedelta(days=DAYS_MAX - 1), end=_TODAY + timedelta(days=1))
_BASELINE = "whole items, query after query"


def day_items() -> Iterator[items.Item]:
    """Yield the account's day items."""
    amounts = random.Random(1)
    for at, model in product(range(DAYS_MAX), range(50)):
        day = (_DAYS.first + timedelta(days=at)).isoformat()
        counts = ("requests", "quota", "tokens_prompt", "tokens_completion", "tokens_cached")
        yield items.day_key("bench", day, f"vendor/model-{model:02}") | {
            name: items.number(amounts.randrange(10**7)) for name in counts
        }


def fill(client: Any) -> None:
    create_table(client, _TABLE)
    DynamoAccounts(client, _TABLE).create_account("bench", datetime(2026, 1, 1, tzinfo=UTC))

    def write(batch: tuple[items.Item, ...]) -> None:
        requests = [{"PutRequest": {"Item": item}} for item in batch]
        client.batch_write_item(RequestItems={_TABLE: requests})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, batched(day_items(), 25, strict=False)))


def cases(client: Any, naive: Any) -> dict[str, Callable[[], object]]:
    """Return each way to the figures, the last one to the whole answer."""
    statements = DynamoStatements(client, _TABLE)
    first, last = _DAYS.first.isoformat(), _TODAY.isoformat()
    pk, sk = items.account_pk("bench"), items.day_range(first, last)

    def answer() -> bytes:
        costs = statements.list_costs("bench", _DAYS, today=_TODAY)
        return bytes(answer_json(describe_usage(costs, Exchange(100))).body)

    return {
        _BASELINE: lambda: list(DynamoAccounts(naive, _TABLE).list_days("bench", first, last)),
        "two attributes": lambda: list(query(naive, _TABLE, pk, sk=sk, attributes="sk, quota")),
        "and by the lean client": lambda: list(
            query(client, _TABLE, pk, sk=sk, attributes="sk, quota")
        ),
        "and spans side by side": lambda: statements.list_costs("bench", _DAYS, today=_TODAY),
        "and the answer as JSON": answer,
    }


def measure(url: str) -> None:
    """Print CPU and wall clock: a caller waits for the database too."""
    client = connect(region="us-east-1", endpoint_url=url, read_timeout_s=30.0)
    naive = connect(
        region="us-east-1", endpoint_url=url, read_timeout_s=30.0, make=make_botocore_client
    )
    fill(client)
    for kind, clock in (("CPU", time.process_time), ("wall clock", time.perf_counter)):
        found = interleave(cases(client, naive), rounds=5, clock=clock)
        print_ratios(f"Usage of 400 days and 50 models, {kind}", found, _BASELINE)


def main() -> None:
    """Start a database in memory, fill it, measure."""
    database = dynamodb.start(dynamodb.install(_HOME), data=None)
    try:
        measure(database.url)
    finally:
        database.stop()


if __name__ == "__main__":
    main()
