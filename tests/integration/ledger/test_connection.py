"""Answers that are not DynamoDB's, over a real socket: whatever comes, no error of Python's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tollgate.errors import LedgerUnavailableError
from tollgate.ledger.connection import connect
from tollgate.ledger.queries import query

from tests.fakes.scripted_server import answer, serving

QUESTION = {
    "TableName": "t",
    "KeyConditionExpression": "pk = :pk",
    "ExpressionAttributeValues": {":pk": {"S": "p"}},
}


@asynccontextmanager
async def asking(body: bytes) -> AsyncIterator[Callable[[Callable[[Any], Any]], Any]]:
    """Yield a function that runs a call, in a thread, on a client whose server says `body`."""
    async with serving(answer(body, content_type="application/x-amz-json-1.0")) as server:
        client = connect(
            region="us-east-1", endpoint_url=server.base_url.removesuffix("/v1"), attempts_max=1
        )
        yield lambda call: asyncio.to_thread(call, client)
        client.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>a proxy's</html>",
        b'{"Items": [{"pk": ',
        b"\xff\xfe",
        b"[1]",
        b'"text"',
        b"null",
        b"{}",
        b'{"Count": 1}',
        b'{"Items": 5}',
        b'{"Items": null}',
        b"[" * 100_000,
    ],
)
async def test_body_that_is_no_page(body: bytes) -> None:
    """A good status around something else is the ledger being unavailable, which is 503."""
    async with asking(body) as ask:
        with pytest.raises(LedgerUnavailableError):
            await ask(lambda client: list(query(client, "t", "p")))


async def test_pages_go_past_botocores_parser() -> None:
    """What the service's model does not know is still there: the parser was not asked."""
    async with asking(b'{"Items": [{"pk": {"S": "p"}}], "Count": 1, "Unmodelled": 5}') as ask:
        page = await ask(lambda client: client.query(**QUESTION))

    assert page["Items"] == [{"pk": {"S": "p"}}]
    assert page["Unmodelled"] == 5
