"""The DynamoDB client: short time-outs, few retries, and one word for all that goes wrong."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tollgate.aws_clients import make_client
from tollgate.errors import LedgerUnavailableError

_USER_AGENT = "tollgate"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

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
) -> Any:
    """Return a low-level client that fails within `attempts_max` x (connect + read) seconds.

    A hung database then costs a request 6 to 9 seconds and an honest 503, not its whole time. A
    database on this machine takes any credentials, so none are asked for, and no proxy leads to it.
    """
    is_local = endpoint_url is not None and urlsplit(endpoint_url).hostname in _LOOPBACK
    credentials = (
        {"aws_access_key_id": "local", "aws_secret_access_key": "local"} if is_local else {}
    )
    client = make_client(
        "dynamodb",
        region=region,
        endpoint_url=endpoint_url,
        config=Config(
            connect_timeout=connect_timeout_s,
            read_timeout=read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": attempts_max},
            tcp_keepalive=True,
            # A fifth of a call's CPU: checking what the store's own code made, by the service's
            # model, and putting together how botocore introduces itself, for each call anew.
            parameter_validation=False,
            user_agent=_USER_AGENT,
            proxies={} if is_local else None,
        ),
        **credentials,
    )
    client.meta.events.register("before-parse.dynamodb.Query", _take_answer_as_it_is)
    return client


def _take_answer_as_it_is(
    *, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Give a query's JSON past botocore's parser, which takes ten times as long for the same.

    It walks each value by the service's model and changes only binary ones; no item has any. What
    is no page of items is taken from the parser too, which fails on some of it with errors of
    Python's: botocore then finds by the checksum that it was cut and asks again, and `query` finds
    no items in it. Were the event gone, the parser would do its work.
    """
    if response_dict["status_code"] == HTTPStatus.OK:
        customized_response_dict |= _read_page(response_dict["body"])
        response_dict["body"] = b"{}"


def _read_page(body: bytes) -> dict[str, Any]:
    """Return a query's answer, or nothing where the body is none."""
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    is_page = isinstance(page, dict) and isinstance(page.get("Items"), list)
    return page if is_page else {}


@contextmanager
def reaching_the_ledger() -> Iterator[None]:
    """Turn every failure to get an answer into LedgerUnavailableError.

    A refused condition, or a conflict with a transaction, is an answer and passes through as
    botocore's ClientError.
    """
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in _ANSWER_CODES:
            raise
        raise LedgerUnavailableError from error
    except BotoCoreError as error:
        raise LedgerUnavailableError from error
