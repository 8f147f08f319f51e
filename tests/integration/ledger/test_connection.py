"""Answers that are not DynamoDB's, over a real socket: whatever comes, no error of Python's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tollgate.aws.botocore_clients import make_botocore_client
from tollgate.aws.clients import ClientMaker, make_client
from tollgate.errors import LedgerUnavailableError
from tollgate.ledger.connection import connect
from tollgate.ledger.queries import query
from tollgate.ledger.store import DynamoLedger

from tests.contracts.test_ledger import ask as question
from tests.contracts.test_ledger import reservation
from tests.fakes.scripted_server import answer, serving


@asynccontextmanager
async def asking(
    body: bytes, make: ClientMaker
) -> AsyncIterator[Callable[[Callable[[Any], Any]], Any]]:
    """Yield a function that runs a call, in a thread, on a client whose server says `body`."""
    async with serving(answer(body, content_type="application/x-amz-json-1.0")) as server:
        client = connect(
            region="us-east-1",
            endpoint_url=server.base_url.removesuffix("/v1"),
            attempts_max=1,
            make=make,
        )
        yield lambda call: asyncio.to_thread(call, client)
        client.close()


@pytest.mark.parametrize("make", [make_client, make_botocore_client])
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
async def test_body_that_is_no_page(body: bytes, make: ClientMaker) -> None:
    """A good status around something else is the ledger being unavailable, which is 503."""
    async with asking(body, make) as ask:
        with pytest.raises(LedgerUnavailableError):
            await ask(lambda client: list(query(client, "t", "p")))


@pytest.mark.parametrize("make", [make_client, make_botocore_client])
@pytest.mark.parametrize(
    "body",
    [
        *(b"{}", b'{"Attributes": null}', b'{"Attributes": {}}', b'{"Attributes": 5}'),
        *(b'{"Attributes": {"numbers": {"M": {}}}}', b'{"Attributes": {"numbers": {"S": ""}}}'),
    ],
)
async def test_hold_without_a_number_may_be_there(body: bytes, make: ClientMaker) -> None:
    """Nobody could settle it, so it is of unknown outcome; who asked for it gives it back."""
    async with asking(body, make) as ask:
        with pytest.raises(LedgerUnavailableError):
            await ask(lambda client: DynamoLedger(client, "t").reserve(reservation(question(1))))


@pytest.mark.parametrize("make", [make_client, make_botocore_client])
async def test_pages_that_never_end(make: ClientMaker) -> None:
    """A page that ends where it began would be followed by itself."""
    page = b'{"Items": [], "LastEvaluatedKey": {"pk": {"S": "p"}}}'
    async with asking(page, make) as ask:
        with pytest.raises(LedgerUnavailableError):
            await ask(lambda client: list(query(client, "t", "p")))
