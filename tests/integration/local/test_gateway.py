"""The gateway and its sandboxes with a sample function, over a real socket."""

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from local.gateway import Gateway
from local.sandbox import LAYER, Launch, Pool, SandboxError
from local.serving import serving
from local.template import Api, Function, GatewayAnswer, Route

HERE = Path(__file__).parent
WRAPPER = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/python/stream-runtime"}


def function(name: str, *, handler: str = "handler", timeout_s: float = 20, **env: str) -> Function:
    return Function(
        name=name,
        handler=f"local_function.{handler}",
        timeout_s=timeout_s,
        memory_mb=128,
        environment=env,
    )


FUNCTIONS = {
    one.name: one
    for one in (
        function("Stream", **WRAPPER),
        function("Brief", timeout_s=1.5, **WRAPPER),
        function("Plain"),
        function("Malformed", handler="malformed"),
        function("Broken", handler="no_such_handler", **WRAPPER),
    )
}
API = Api(
    stage="api",
    functions=FUNCTIONS,
    routes=(
        Route(path="/s/{rest+}", method="ANY", function="Stream", is_streaming=True, timeout_s=60),
        Route(path="/t/{rest+}", method="ANY", function="Brief", is_streaming=True, timeout_s=60),
        Route(path="/b/{rest+}", method="POST", function="Plain", is_streaming=False, timeout_s=1),
        Route(path="/m", method="ANY", function="Malformed", is_streaming=False, timeout_s=5),
        Route(path="/n", method="ANY", function="Broken", is_streaming=True, timeout_s=5),
    ),
    cors={"AllowOrigin": "*", "AllowMethods": "GET", "AllowHeaders": "a"},
    answers={
        "MISSING_AUTHENTICATION_TOKEN": GatewayAnswer(
            status=404,
            headers={"x-request-id": "context.requestId", "x-fixed": "'1'"},
            body='{"error":{"message":$context.error.messageString}}',
        )
    },
    binary_types=frozenset({"multipart/form-data"}),
)


@pytest.fixture
async def pools(tmp_path: Path) -> AsyncIterator[dict[str, Pool]]:
    launch = Launch(environment=dict(os.environ), log=tmp_path / "log", root=HERE, layer=LAYER)
    launch.log.write_bytes(b"")
    pools = {name: Pool(one, launch, 2) for name, one in FUNCTIONS.items()}
    yield pools
    for pool in pools.values():
        await pool.stop()


@pytest.fixture
async def client(pools: dict[str, Pool]) -> AsyncIterator[httpx.AsyncClient]:
    lines: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with serving(Gateway(API, pools, log=lines.append), listener):
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
                yield client


async def wait_until_idle(pool: Pool, count: int = 1) -> None:
    async with asyncio.timeout(20):
        while len(pool._idle) < count:  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", ["/s/x", "/b/x"])
async def test_event_is_api_gateways(client: httpx.AsyncClient, path: str) -> None:
    """Path without the stage, parameters, query and headers single and multi, request id."""
    found = await client.post(f"/api{path}?a=1&a=2&b=", content=b"text", headers={"X-A": "1"})

    event = found.json()["event"]
    assert event["path"] == path
    assert event["resource"] == path.replace("x", "{rest+}")
    assert event["pathParameters"] == {"rest": "x"}
    assert event["queryStringParameters"] == {"a": "2", "b": ""}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": [""]}
    assert event["headers"]["x-a"] == "1"
    assert event["requestContext"]["stage"] == "api"
    assert event["requestContext"]["path"] == f"/api{path}"
    assert (event["body"], event["isBase64Encoded"]) == ("text", False)


async def test_encoded_characters_are_part_of_the_path(client: httpx.AsyncClient) -> None:
    """An encoded question mark or slash begins no query and ends no greedy parameter."""
    event = (await client.post("/s/a%3Fb%2Fc%23d%20e?q=1")).json()["event"]

    assert event["path"] == "/s/a%3Fb%2Fc%23d%20e"
    assert event["pathParameters"] == {"rest": "a?b/c#d e"}
    assert event["queryStringParameters"] == {"q": "1"}


async def test_binary_types_are_base64(client: httpx.AsyncClient) -> None:
    """A multipart body survives whole."""
    raw = bytes(range(256))
    found = await client.post(
        "/s/x", content=raw, headers={"content-type": "multipart/form-data; boundary=x"}
    )

    assert base64.b64decode(found.json()["event"]["body"]) == raw
    assert found.json()["length"] == 256


async def test_stream_is_passed_on_as_it_comes(client: httpx.AsyncClient) -> None:
    """The first byte is here while the function still works."""
    loop = asyncio.get_running_loop()
    async with client.stream("POST", "/s/slow") as answer:
        began = loop.time()
        pieces = [(loop.time() - began, piece) async for piece in answer.aiter_raw()]

    assert pieces[0][1] == b" "
    assert pieces[-1][0] - pieces[0][0] > 0.25


async def test_sandbox_is_reused(client: httpx.AsyncClient, pools: dict[str, Pool]) -> None:
    """One request after the other needs one process, once it has asked for the next event."""
    pids = set()
    for _ in range(3):
        pids.add((await client.post("/s/x")).headers["x-pid"])
        await wait_until_idle(pools["Stream"])

    assert len(pids) == 1


async def test_sandboxes_serve_one_request_each_and_are_capped(client: httpx.AsyncClient) -> None:
    """Six at once on two sandboxes: all are served, by two processes."""
    answers = await asyncio.gather(*(client.post("/s/slow") for _ in range(6)))

    assert [one.status_code for one in answers] == [200] * 6
    assert len({one.headers["x-pid"] for one in answers}) == 2


async def test_killed_sandbox_is_502_and_replaced(
    client: httpx.AsyncClient, pools: dict[str, Pool]
) -> None:
    """A process that dies costs its request, and new ones take its place."""
    before = await asyncio.gather(*(client.post("/s/slow") for _ in range(2)))
    await wait_until_idle(pools["Stream"], 2)
    killed = await asyncio.gather(*(client.post("/s/die") for _ in range(2)))
    after = await asyncio.gather(*(client.post("/s/slow") for _ in range(2)))

    assert [one.status_code for one in killed] == [502, 502]
    assert [one.status_code for one in after] == [200, 200]
    assert not {one.headers["x-pid"] for one in before} & {one.headers["x-pid"] for one in after}


async def test_stream_of_a_killed_sandbox_is_cut(client: httpx.AsyncClient) -> None:
    """Half an answer must not look whole."""
    with pytest.raises(httpx.RemoteProtocolError):
        await client.post("/s/die-later")


async def test_function_timeout(client: httpx.AsyncClient) -> None:
    """Lambda's limit ends the process; the caller gets 502."""
    assert (await client.post("/t/sleep")).status_code == 502
    assert (await client.post("/t/x")).status_code == 200


async def test_integration_timeout(client: httpx.AsyncClient) -> None:
    """API Gateway gives a buffered function up after its own limit."""
    assert (await client.post("/b/sleep")).status_code == 504


async def test_malformed_answer_is_502(client: httpx.AsyncClient) -> None:
    """A function that does not answer in the proxy's form."""
    assert (await client.get("/m")).status_code == 502


async def test_function_that_does_not_start_is_502(
    client: httpx.AsyncClient, pools: dict[str, Pool]
) -> None:
    """Each request tries again, none waits for ever, and what was wrong can be read."""
    answers = [(await client.get("/n")).status_code for _ in range(3)]

    with pytest.raises(SandboxError, match=r"Broken did not start: .*no_such_handler"):
        await pools["Broken"].warm()
    assert answers == [502, 502, 502]
    assert pools["Broken"]._all == set()


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("GET", "/b/x")])
async def test_unknown_routes_are_the_templates_answer(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    """Status, headers and body as GatewayResponses says."""
    found = await client.request(method, path)

    assert found.status_code == 404
    assert found.json() == {"error": {"message": "Missing Authentication Token"}}
    assert found.headers["x-fixed"] == "1"
    assert len(found.headers["x-request-id"]) == 36


async def test_options_are_answered_by_the_gateway(client: httpx.AsyncClient) -> None:
    """A preflight needs no function."""
    found = await client.options("/b/x")

    assert found.status_code == 200
    assert found.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("size", [6 * 1024 * 1024, 11 * 1024 * 1024])
async def test_large_bodies_are_413(client: httpx.AsyncClient, size: int) -> None:
    """Lambda's limit of the event, API Gateway's of the body."""
    assert (await client.post("/s/x", content=b"x" * size)).status_code == 413


async def test_caller_that_hangs_up_does_not_stop_the_function(
    client: httpx.AsyncClient, pools: dict[str, Pool]
) -> None:
    """The function runs to its end, and its sandbox serves again."""
    async with client.stream("POST", "/s/slow") as answer:
        pid = answer.headers["x-pid"]
        await anext(answer.aiter_raw())

    await wait_until_idle(pools["Stream"])
    found = await client.post("/s/x")

    assert (found.status_code, found.headers["x-pid"]) == (200, pid)


async def test_request_line_has_neither_query_nor_headers(pools: dict[str, Pool]) -> None:
    """What is said on the console could be shown to anybody, and no path can disturb it."""
    lines: list[str] = []
    transport = httpx.ASGITransport(app=Gateway(API, pools, log=lines.append))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        await client.post("/s/x%0A%1B?key=secret", headers={"authorization": "secret"})

    assert len(lines) == 1
    assert " POST /s/x%0A%1B 200 first " in lines[0]
    assert "secret" not in lines[0]


@pytest.mark.parametrize("path", ["/s/sk-tg-0123456789", "/s/SK%2Dtg%2d0123456789"])
async def test_request_line_has_no_key(pools: dict[str, Pool], path: str) -> None:
    """Nor has it one that somebody has put into an address."""
    lines: list[str] = []
    transport = httpx.ASGITransport(app=Gateway(API, pools, log=lines.append))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        await client.post(path)

    assert len(lines) == 1
    assert " POST (a path with a key) 200 first " in lines[0]
    assert "0123456789" not in lines[0]
