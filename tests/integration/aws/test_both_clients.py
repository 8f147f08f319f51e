"""The lean client and botocore's, against the same servers: what a caller gets is the same."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.retries.standard import (
    ThrottledRetryableChecker,
    ThrottlingStatusCodeChecker,
    TransientRetryableChecker,
)
from tollgate.aws import client as lean
from tollgate.aws.botocore_clients import make_botocore_client
from tollgate.aws.clients import ClientMaker, make_client
from tollgate.aws.errors import AwsError, AwsRefusedError, AwsUnansweredError
from tollgate.aws.wire import Limits

from tests.fakes.scripted_server import Script, ScriptedServer, answer, hang, raw, serving

MAKERS: list[ClientMaker] = [make_client, make_botocore_client]
LIMITS = Limits(connect_timeout_s=1.0, read_timeout_s=0.3, attempts_max=3)
KEY = {"pk": {"S": "p"}, "sk": {"S": "s"}}
ITEM = KEY | {"n": {"N": "5"}, "m": {"M": {"l": {"L": [{"BOOL": True}, {"NULL": True}]}}}}

type Ask = Callable[[Callable[[Any], Any]], Any]


def say(body: object, *, status: int = 200, head: str = "") -> Script:
    raw_body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answer(raw_body, status=status, content_type="application/x-amz-json-1.0", head=head)


def refuse(code: str, status: int = 400, **fields: object) -> Script:
    return say({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", **fields}, status=status)


FOUND = say({"Item": ITEM})


@pytest.fixture(params=MAKERS, ids=["lean", "botocore"])
def make(request: pytest.FixtureRequest) -> ClientMaker:
    maker: ClientMaker = request.param
    return maker


@asynccontextmanager
async def asking(
    make: ClientMaker, *scripts: Script, limits: Limits = LIMITS
) -> AsyncIterator[tuple[Ask, ScriptedServer]]:
    """Yield what runs a call, in a thread, on a client whose server plays `scripts`."""
    async with serving(*scripts) as server:
        url = server.base_url.removesuffix("/v1")
        client = make("dynamodb", region="us-east-1", limits=limits, endpoint_url=url)
        yield lambda call: asyncio.to_thread(call, client), server
        client.close()


def get_item(client: Any) -> Any:
    return client.get_item(TableName="t", Key=KEY)["Item"]


async def test_call_as_it_is_on_the_wire(make: ClientMaker) -> None:
    """The same body, target, type and signed headers."""
    async with asking(make, FOUND) as (ask, server):
        assert await ask(get_item) == ITEM

    [headers], [body] = server.headers, server.raw_bodies
    assert json.loads(body) == {"TableName": "t", "Key": KEY}
    assert headers["x-amz-target"] == "DynamoDB_20120810.GetItem"
    assert headers["content-type"] == "application/x-amz-json-1.0"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"].startswith("tollgate")
    scope = "/us-east-1/dynamodb/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-ta"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=local/")
    assert scope in headers["authorization"]


async def expect_more_tries(make: ClientMaker, failure: Script, error: type[AwsError]) -> None:
    """Look that one more try follows a failure, and where it stays `error` all three."""
    async with asking(make, failure, FOUND) as (ask, server):
        assert await ask(get_item) == ITEM
        assert len(server.paths) == 2
    async with asking(make, failure) as (ask, server):
        with pytest.raises(error):
            await ask(get_item)
        assert len(server.paths) == 3


@pytest.mark.parametrize(
    "failure",
    [
        refuse("InternalServerError", 500),
        say(b"<html>", status=503),
        refuse("ProvisionedThroughputExceededException"),
        raw(ending="reset"),
        raw(ending="close"),
        raw(b"HTTP/1.1 2"),
        hang,
    ],
    ids=["500", "503", "throttled", "reset", "closed", "cut head", "hung"],
)
async def test_failure_that_passes_is_not_the_callers(make: ClientMaker, failure: Script) -> None:
    """One more try; and where it stays, an error of ours after the tries that there are."""
    await expect_more_tries(make, failure, AwsError)


def test_what_is_tried_again_is_botocores_list() -> None:
    """Which grows with its versions, and the services' models with it."""
    loader = Loader()
    modelled = {
        name
        for service in ("dynamodb", "secretsmanager")
        for name, shape in loader.load_service_model(service, "service-2")["shapes"].items()
        if "retryable" in shape
    }

    assert set(ThrottledRetryableChecker._THROTTLED_ERROR_CODES) == lean._THROTTLED
    assert modelled | set(TransientRetryableChecker._TRANSIENT_ERROR_CODES) == lean._TRANSIENT
    assert set(TransientRetryableChecker._TRANSIENT_STATUS_CODES) == lean._TRANSIENT_STATUS
    assert ThrottlingStatusCodeChecker._THROTTLING_STATUS_CODES == [429]


async def test_answer_about_the_item_is_asked_for_once(make: ClientMaker) -> None:
    """With all that it says: the item, or why a transaction was cancelled."""
    reasons = [{"Code": "None"}, {"Code": "ConditionalCheckFailed", "Item": ITEM}]
    scripts = [
        refuse("ConditionalCheckFailedException", Item=ITEM, message="no"),
        refuse("TransactionCanceledException", CancellationReasons=reasons),
        refuse("TransactionConflictException"),
    ]
    async with asking(make, *scripts) as (ask, server):
        calls = [
            lambda client: client.update_item(TableName="t", Key=KEY),
            lambda client: client.transact_write_items(TransactItems=[]),
            lambda client: client.put_item(TableName="t", Item=ITEM),
        ]
        told = []
        for call in calls:
            with pytest.raises(AwsRefusedError) as caught:
                await ask(call)
            told.append(caught.value)

    assert [(error.code, error.status) for error in told] == [
        ("ConditionalCheckFailedException", 400),
        ("TransactionCanceledException", 400),
        ("TransactionConflictException", 400),
    ]
    assert told[0].answer["Item"] == ITEM
    assert told[1].answer["CancellationReasons"] == reasons
    assert len(server.paths) == 3


async def test_transaction_that_is_sent_again_is_one(make: ClientMaker) -> None:
    """A token of its own makes it so: the first may have taken effect, and then says yes again."""
    async with asking(make, refuse("InternalServerError", 500), say({})) as (ask, server):
        for _ in range(2):
            await ask(lambda client: client.transact_write_items(TransactItems=[]))

    tokens = [json.loads(body)["ClientRequestToken"] for body in server.raw_bodies]
    assert tokens[0] == tokens[1] != tokens[2]
    assert all(0 < len(token) <= 36 for token in tokens)


@pytest.mark.parametrize(
    "damaged",
    [
        say({"Item": {}}, head="x-amz-crc32: 5\r\n"),
        raw(b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"Item": {}}'),
        *(
            say(body)
            for body in (b"<html>a proxy's</html>", b'{"Item": ', b"\xff\xfe", b"[1]", b"")
        ),
    ],
)
async def test_damaged_answer_is_none(damaged: Script) -> None:
    """The lean client's alone: botocore makes an empty answer of some of these, without a word."""
    await expect_more_tries(make_client, damaged, AwsUnansweredError)


async def test_idle_connection_that_ended_costs_no_try(make: ClientMaker) -> None:
    """As after a sandbox's sleep; the server has ended it meanwhile."""
    ending = raw(b'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{"Item": {}}')
    once = Limits(connect_timeout_s=1.0, read_timeout_s=5.0, attempts_max=1)
    async with asking(make, ending, FOUND, limits=once) as (ask, server):
        assert await ask(get_item) == {}
        await asyncio.sleep(0.05)
        assert await ask(get_item) == ITEM

    assert server.connections == 2


def test_stopped_server(make: ClientMaker) -> None:
    """Nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = make("dynamodb", region="us-east-1", limits=LIMITS, endpoint_url=url)

    with pytest.raises(AwsUnansweredError):
        get_item(client)
    client.close()
