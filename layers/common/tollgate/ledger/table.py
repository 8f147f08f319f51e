"""The table as template.yaml makes it, for databases on this machine."""

import time
from typing import Any

from tollgate.aws.errors import AwsRefusedError
from tollgate.errors import LedgerUnavailableError
from tollgate.ledger.items import OPEN_INDEX

_READY_WITHIN_S = 25.0
_LOOK_EVERY_S = 0.2


def create_table(client: Any, name: str) -> None:
    """Create the table `name` if it is not there; returns when it can be used.

    Raises: AwsError; LedgerUnavailableError: it still cannot.
    """
    try:
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
                {"AttributeName": "open", "AttributeType": "S"},
                {"AttributeName": "open_since", "AttributeType": "S"},
            ],
            KeySchema=_keys("pk", "sk"),
            GlobalSecondaryIndexes=[
                {
                    "IndexName": OPEN_INDEX,
                    "KeySchema": _keys("open", "open_since"),
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
        )
    except AwsRefusedError as error:
        if error.code != "ResourceInUseException":
            raise
    ends_at = time.monotonic() + _READY_WITHIN_S
    while client.describe_table(TableName=name)["Table"]["TableStatus"] != "ACTIVE":
        if time.monotonic() > ends_at:
            raise LedgerUnavailableError
        time.sleep(_LOOK_EVERY_S)


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]
