"""One transport under httpx, in a process of its own: prints what it takes as a line of JSON.

python -m bench.transport_client NAME PORT
"""

import asyncio
import json
import resource
import ssl
import statistics
import sys
import time
from collections.abc import Awaitable

import httpx

from bench.stubs.upstream import Plan
from bench.surroundings import make_body

NAMES = ("httpx's own", "httpx-aiohttp", "aiohttp, our adapter", "httptools, by hand")
BURST_CHUNKS, BURSTS = 1000, 10
PACED_CHUNKS, PACE_US = 500, 1000
FIRSTS = 100


def make_client(name: str) -> httpx.AsyncClient:
    """Return a client with this transport. Its TLS context trusts nobody: none is needed here."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport: httpx.AsyncBaseTransport
    if name == NAMES[0]:
        transport = httpx.AsyncHTTPTransport(verify=tls, trust_env=False)
    elif name == NAMES[1]:
        from httpx_aiohttp import AiohttpTransport as Foreign  # noqa: PLC0415 - measured

        transport = Foreign(verify=tls, trust_env=False)
    elif name == NAMES[2]:
        from tollgate.upstream.transport import AiohttpTransport  # noqa: PLC0415 - measured

        transport = AiohttpTransport(tls=tls, connections_max=10, idle_s=60)
    else:
        from bench.httptools_transport import HttptoolsTransport  # noqa: PLC0415 - measured

        transport = HttptoolsTransport()
    return httpx.AsyncClient(transport=transport, trust_env=False, timeout=None)  # noqa: S113


class Client:
    """Streams answers, as an attempt does."""

    def __init__(self, name: str, port: int) -> None:
        self._http = make_client(name)
        self._url = f"http://127.0.0.1:{port}/v1/chat/completions"

    async def stream(self, chunks: int, pace_us: int = 0) -> float:
        """Read one answer; return the milliseconds to its first bytes."""
        began_s, first_ms, lines = time.perf_counter(), 0.0, 0
        request = self._http.build_request(
            "POST",
            self._url,
            content=make_body(Plan(chunks=chunks, rate=1_000_000 // pace_us if pace_us else 0)),
            headers={"authorization": "Bearer sk", "content-type": "application/json"},
        )
        response = await self._http.send(request, stream=True)
        async for piece in response.aiter_raw():
            first_ms = first_ms or (time.perf_counter() - began_s) * 1000
            lines += piece.count(b"\n")
        await response.aclose()
        if lines != 2 * (chunks + 4):
            raise AssertionError(f"{lines} lines")
        return first_ms

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


async def cpu_us(work: Awaitable[object], chunks: int) -> tuple[float, float]:
    """Return the microseconds of CPU a chunk that the work takes, and its milliseconds in all."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    await work
    wall_ms = (time.perf_counter() - began_s) * 1000
    return (time.process_time() - cpu_s) / chunks * 1e6, wall_ms


async def measure(name: str, port: int) -> dict[str, float]:
    """Return the figures, the start first."""
    client = Client(name, port)
    await client.stream(1)
    found = {"start CPU ms": time.process_time() * 1000}
    cpu_s = time.process_time()
    found["first ms"] = statistics.median([await client.stream(1) for _ in range(FIRSTS)])
    found["request CPU us"] = (time.process_time() - cpu_s) / FIRSTS * 1e6
    bursts = [await cpu_us(client.stream(BURST_CHUNKS), BURST_CHUNKS) for _ in range(BURSTS)]
    found["burst us"] = statistics.median(us for us, _ in bursts)
    found["burst wall ms"] = statistics.median(ms for _, ms in bursts)
    found["paced us"], wall_ms = await cpu_us(client.stream(PACED_CHUNKS, PACE_US), PACED_CHUNKS)
    found["paced late ms"] = wall_ms - PACED_CHUNKS * PACE_US / 1000
    found["RSS MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    await client.aclose()
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2])))))
