"""The two kinds of gateways: a server of its own, and a function behind Lambda's Runtime API."""

import asyncio
import subprocess
import time
from dataclasses import dataclass, field, replace
from typing import Protocol

from bench.arrivals import Arrivals, WrongAnswerError
from bench.http_client import HttpClient, Watch
from bench.machine import list_family
from bench.programs import READY_WITHIN_S, Program, wait_for_port
from bench.stubs.runtime_api import RuntimeApiStub
from local.processes import stop
from local.rest_events import HttpRequest, make_event
from local.template import Route

_TRAILING_WORK_S = 0.05
_ROUTE = Route(
    path="/v1/chat/completions", method="POST", function="chat", is_streaming=True, timeout_s=900
)


class Gateway(Protocol):
    """Something that answers a chat request."""

    name: str

    @property
    def pids(self) -> list[int]:
        """The processes whose CPU and memory are the gateway's."""

    async def start(self) -> float:
        """Start it; return the seconds until it could serve."""

    async def ask(self, body: bytes, watch: Watch | None = None) -> Arrivals:
        """Return the answer to a request."""

    async def settle_down(self) -> None:
        """Wait until the work that an answer leaves behind is done."""

    def stop(self) -> None:
        """End it."""


class HttpGateway:
    """A server of its own, or the upstream itself where `program` is None."""

    def __init__(
        self, name: str, port: int, headers: dict[str, str], program: Program | None = None
    ) -> None:
        self.name = name
        self._port = port
        self._client = HttpClient(port, headers)
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pids(self) -> list[int]:
        """Its process and its children."""
        return list_family(self._process.pid) if self._process is not None else []

    async def start(self) -> float:
        """Start it; return the seconds until it listens."""
        began = time.perf_counter()
        if self._program is not None:
            self._process = self._program.start()
            await wait_for_port(self._port, self._process)
        return time.perf_counter() - began

    async def ask(self, body: bytes, watch: Watch | None = None) -> Arrivals:
        """Return the answer to a request."""
        return await self._client.ask(body, watch)

    async def settle_down(self) -> None:
        """Give it a moment: a server does not tell when it is done."""
        await asyncio.sleep(_TRAILING_WORK_S)

    def stop(self) -> None:
        """End it; it can be started anew."""
        self._client.close()
        if self._process is not None:
            stop(self._process)
            self._process = None


@dataclass(slots=True)
class LambdaGateway:
    """A function on the Runtime API stub. `programs`: more than one for the Web Adapter."""

    name: str
    programs: list[Program]
    authorization: str
    api: RuntimeApiStub = field(default_factory=RuntimeApiStub)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def pids(self) -> list[int]:
        """Its processes and their children."""
        return [pid for process in self._processes for pid in list_family(process.pid)]

    async def start(self) -> float:
        """Start it; return the seconds until it asks for its first event."""
        address = await self.api.start()
        began = time.perf_counter()
        for program in self.programs:
            self._processes.append(_with_api(program, address).start())
        waits = asyncio.create_task(self.api.waits.wait())
        while not waits.done():
            await asyncio.wait({waits}, timeout=0.2)
            is_dead = any(process.poll() is not None for process in self._processes)
            is_late = time.perf_counter() - began > READY_WITHIN_S
            if is_dead or is_late or self.api.failure:
                waits.cancel()
                raise WrongAnswerError(f"{self.name} did not start: {self.api.failure!r}")
        return self.api.waited_at_s - began

    async def ask(self, body: bytes, watch: Watch | None = None) -> Arrivals:
        """Return the answer to a request."""
        return await self.api.invoke(make_chat_event(body, self.authorization), watch)

    async def settle_down(self) -> None:
        """Wait until it asks for the next event, and for what may follow."""
        await self.api.waits.wait()
        await asyncio.sleep(_TRAILING_WORK_S)

    def stop(self) -> None:
        """End it; it can be started anew."""
        for process in self._processes:
            stop(process)
        self._processes.clear()
        self.api.stop()
        self.api = RuntimeApiStub()


def _with_api(program: Program, address: str) -> Program:
    return replace(program, environment={**program.environment, "AWS_LAMBDA_RUNTIME_API": address})


def make_chat_event(body: bytes, authorization: str) -> bytes:
    """Return a chat request as API Gateway hands it to Lambda."""
    request = HttpRequest(
        method="POST",
        path="/v1/chat/completions",
        query="",
        headers=[
            ("Authorization", authorization),
            ("Content-Type", "application/json"),
            ("Host", "bench.example"),
        ],
        body=body,
        source_ip="127.0.0.1",
    )
    return make_event(request, _ROUTE, {}, request_id="bench", stage="api", is_binary=False)
