"""The DynamoDB client: short time-outs, few retries, and one word for all that goes wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tollgate.aws.clients import ClientMaker, make_client
from tollgate.aws.errors import AwsError, AwsRefusedError
from tollgate.aws.wire import Limits
from tollgate.errors import LedgerUnavailableError

# Answers about the item, not about the database: the verbs read them.
_ANSWER_CODES = (
    "ConditionalCheckFailedException",
    "TransactionCanceledException",
    "TransactionConflictException",
)


def connect(
    *,
    region: str,
    endpoint_url: str | None = None,
    connect_timeout_s: float = 1.0,
    read_timeout_s: float = 2.0,
    attempts_max: int = 3,
    make: ClientMaker = make_client,
) -> Any:
    """Return a low-level client that fails within `attempts_max` x (connect + read) seconds.

    A hung database then costs a request 6 to 9 seconds and an honest 503, not its whole time. A
    database on this machine takes any credentials, so none are asked for, and no proxy leads to it.
    """
    limits = Limits(
        connect_timeout_s=connect_timeout_s,
        read_timeout_s=read_timeout_s,
        attempts_max=attempts_max,
    )
    return make("dynamodb", region=region, limits=limits, endpoint_url=endpoint_url)


@contextmanager
def reaching_the_ledger() -> Iterator[None]:
    """Turn every failure to get an answer into LedgerUnavailableError.

    A refused condition, or a conflict with a transaction, is an answer and passes through as
    AwsRefusedError.
    """
    try:
        yield
    except AwsRefusedError as error:
        if error.code in _ANSWER_CODES:
            raise
        raise LedgerUnavailableError from error
    except AwsError as error:
        raise LedgerUnavailableError from error
