"""The local Runtime API, spoken to as a runtime would."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from local.runtime_api import Invocation, Kind, Part, RuntimeApi

ARN = "arn:aws:lambda:local:000000000000:function:F"
STREAMING = {"Lambda-Runtime-Function-Response-Mode": "streaming"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The API and a runtime's client for it."""

    api: RuntimeApi
    http: httpx.AsyncClient
    port: int

    async def take(self, event: bytes = b"{}") -> Invocation:
        """Wait for an event by /next, hand one over and see it come."""
        asking = asyncio.create_task(self.http.get("invocation/next"))
        async with asyncio.timeout(20):
            await self.api.ready.wait()
        invocation = Invocation(event=event, deadline_s=time.time() + 60, request_id="r-1")
        self.api.invoke(invocation)
        assert (await asking).content == event
        return invocation

    async def post_raw(self, head: str, body: bytes) -> asyncio.StreamWriter:
        """Post bytes as they are, and leave the connection open."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        path = "/2018-06-01/runtime/invocation/r-1/response"
        mode = "Lambda-Runtime-Function-Response-Mode: streaming"
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\n{mode}\r\n{head}\r\n\r\n".encode() + body)
        await writer.drain()
        return writer


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    api = RuntimeApi(ARN)
    address = await api.start()
    url = f"http://{address}/2018-06-01/runtime/"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
        yield Runtime(api=api, http=http, port=int(address.rpartition(":")[2]))
    await api.stop()


async def next_part(invocation: Invocation) -> Part:
    async with asyncio.timeout(20):
        return await invocation.parts.get()


async def pieces(*sent: bytes) -> AsyncIterator[bytes]:
    for one in sent:
        yield one


async def test_next_waits_and_brings_the_event_with_its_headers(runtime: Runtime) -> None:
    """A long poll; `ready` says that somebody waits."""
    asking = asyncio.create_task(runtime.http.get("invocation/next"))
    async with asyncio.timeout(20):
        await runtime.api.ready.wait()
    deadline_s = time.time() + 7
    runtime.api.invoke(Invocation(event=b'{"a":1}', deadline_s=deadline_s, request_id="r-1"))
    found = await asking

    assert found.json() == {"a": 1}
    assert found.headers["lambda-runtime-aws-request-id"] == "r-1"
    assert found.headers["lambda-runtime-deadline-ms"] == str(int(deadline_s * 1000))
    assert found.headers["lambda-runtime-invoked-function-arn"] == ARN
    assert found.headers["lambda-runtime-trace-id"].startswith("Root=1-")
    assert len(found.headers["lambda-runtime-invocation-id"]) == 36


async def test_buffered_answer_is_one_part(runtime: Runtime) -> None:
    """Accepted with 202."""
    invocation = await runtime.take()
    found = await runtime.http.post("invocation/r-1/response", content=b"answer")

    assert found.status_code == 202
    assert await next_part(invocation) == Part(Kind.BUFFERED, b"answer")


async def test_chunks_come_while_the_body_is_open(runtime: Runtime) -> None:
    """Each is a part before the next one is sent; the end follows the last chunk."""
    invocation = await runtime.take()
    seen: list[Part] = []

    async def body() -> AsyncIterator[bytes]:
        for one in (b"one", b"two"):
            yield one
            seen.append(await next_part(invocation))

    async with asyncio.timeout(20):
        found = await runtime.http.post(
            "invocation/r-1/response", content=body(), headers=STREAMING
        )

    assert seen == [Part(Kind.CHUNK, b"one"), Part(Kind.CHUNK, b"two")]
    assert await next_part(invocation) == Part(Kind.END)
    assert found.status_code == 202


async def test_trailers_tell_the_functions_error(runtime: Runtime) -> None:
    """The end carries the error's type."""
    invocation = await runtime.take()
    trailer = b"Lambda-Runtime-Function-Error-Type: Function.Oops\r\n"
    writer = await runtime.post_raw(
        "Transfer-Encoding: chunked", b"3\r\none\r\n0\r\n" + trailer + b"\r\n"
    )

    assert await next_part(invocation) == Part(Kind.CHUNK, b"one")
    assert await next_part(invocation) == Part(Kind.END, b"Function.Oops")
    writer.close()


async def test_next_is_refused_while_an_answer_is_open(runtime: Runtime) -> None:
    """403: a runtime may not work on two events."""
    invocation = await runtime.take()
    writer = await runtime.post_raw("Transfer-Encoding: chunked", b"3\r\none\r\n")
    assert await next_part(invocation) == Part(Kind.CHUNK, b"one")

    assert (await runtime.http.get("invocation/next")).status_code == 403
    writer.close()


async def test_stream_that_breaks_off_is_lost(runtime: Runtime) -> None:
    """Half an answer is not an end."""
    invocation = await runtime.take()
    writer = await runtime.post_raw("Transfer-Encoding: chunked", b"3\r\none\r\n")
    assert await next_part(invocation) == Part(Kind.CHUNK, b"one")
    writer.close()

    assert await next_part(invocation) == Part(Kind.LOST)


@pytest.mark.parametrize("headers", [{}, STREAMING])
async def test_answer_after_its_time_is_410(runtime: Runtime, headers: dict[str, str]) -> None:
    """Once the invocation is given up, its answer goes nowhere."""
    invocation = await runtime.take()
    invocation.put(Kind.LOST)
    late = await runtime.http.post(
        "invocation/r-1/response", content=pieces(b"late"), headers=headers
    )
    strange = await runtime.http.post("invocation/other/response", content=b"x")

    assert (late.status_code, strange.status_code) == (410, 410)
    assert invocation.parts.qsize() == 1


async def test_buffered_answer_beyond_six_megabytes_is_413(runtime: Runtime) -> None:
    """The caller gets an error in its place."""
    invocation = await runtime.take()
    found = await runtime.http.post(
        "invocation/r-1/response", content=b"x" * (6 * 1024 * 1024 + 101)
    )

    assert found.status_code == 413
    assert (await next_part(invocation)).kind is Kind.ERROR


async def test_errors_are_taken(runtime: Runtime) -> None:
    """Of an invocation, and of the start."""
    invocation = await runtime.take()
    failed = await runtime.http.post("invocation/r-1/error", content=b'{"errorType":"E"}')
    init = await runtime.http.post("init/error", content=b'{"errorMessage":"m"}')

    assert (failed.status_code, init.status_code) == (202, 202)
    assert await next_part(invocation) == Part(Kind.ERROR, b'{"errorType":"E"}')
    assert runtime.api.init_error == b'{"errorMessage":"m"}'


async def test_other_paths_are_404(runtime: Runtime) -> None:
    """What Lambda does not have."""
    assert (await runtime.http.post("restore/next", content=b"x")).status_code == 404
