"""Lambda's execution environments: a process a concurrent request, reused when it is idle.

Each runs the command that the managed Python runtime would, behind the function's exec wrapper if
it has one, against a Runtime API of its own.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from local.processes import GRACE_S, die_with_parent
from local.runtime_api import Invocation, Kind, Part, RuntimeApi
from local.template import Function

ROOT = Path(__file__).parent.parent
LAYER = ROOT / "layers" / "common"
_INIT_WITHIN_S = 60.0
_WAITING_MAX = 1000


class SandboxError(Exception):
    """No sandbox could take the event: it failed to start, or too many wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How sandboxes are started. `log`: where their output goes; `root`: /var/task."""

    environment: Mapping[str, str]
    log: Path
    root: Path = ROOT
    layer: Path = LAYER
    python: str = sys.executable


class Sandbox:
    """One process of one function."""

    def __init__(self, function: Function, launch: Launch) -> None:
        self._function = function
        self._launch = launch
        self._api = RuntimeApi(f"arn:aws:lambda:local:000000000000:function:{function.name}")
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process and wait until it asks for its first event.

        Raises: SandboxError: it ends, reports an init error, or takes too long.
        """
        address = await self._api.start()
        with self._launch.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                cwd=self._launch.root,
                env=self._environment(address),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        if not await self._is_ready_within(_INIT_WITHIN_S):
            await self.stop()
            why = _read_message(self._api.init_error)
            raise SandboxError(f"{self._function.name} did not start{why}; see {self._launch.log}")

    def _command(self) -> list[str]:
        stock = [self._launch.python, "-m", "awslambdaric", self._function.handler]
        wrapper = self._function.environment.get("AWS_LAMBDA_EXEC_WRAPPER")
        if not wrapper:
            return stock
        return [wrapper.replace("/opt/python", str(self._launch.layer)), *stock]

    def _environment(self, address: str) -> dict[str, str]:
        """Return what Lambda would set, over what the gateway hands down."""
        function = self._function
        return {
            **self._launch.environment,
            **function.environment,
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": "INFO",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "LAMBDA_TASK_ROOT": str(self._launch.root),
            "PYTHONPATH": f"{self._launch.root}:{self._launch.layer}",
            "PYTHONUNBUFFERED": "1",
            "TZ": ":UTC",
            "_HANDLER": function.handler,
        }

    async def _is_ready_within(self, seconds: float) -> bool:
        """Wait for the runtime's /next, or for the process's end."""
        if self._process is None:
            return False
        ready = asyncio.create_task(self._api.ready.wait())
        ended = asyncio.create_task(self._process.wait())
        await asyncio.wait({ready, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        is_ready = ready.done() and not ended.done()
        for task in (ready, ended):
            task.cancel()
        return is_ready

    async def answer(self, invocation: Invocation) -> AsyncIterator[Part]:
        """Yield the answer's parts; the last one is no chunk.

        At the function's time-out the process is killed and the answer is LOST.
        """
        self._api.invoke(invocation)
        watch = asyncio.create_task(self._watch(invocation))
        try:
            while True:
                part = await invocation.parts.get()
                yield part
                if part.kind is not Kind.CHUNK:
                    return
        finally:
            watch.cancel()

    async def _watch(self, invocation: Invocation) -> None:
        """End the invocation when the process dies or the function's time is up."""
        process = self._process
        left_s = invocation.deadline_s - time.time()
        if process is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await process.wait()
            self._kill()
        if not invocation.is_answered:
            invocation.put(Kind.LOST)

    async def wait_until_idle(self, deadline_s: float) -> bool:
        """Return whether the runtime asks for the next event in time; it may work on till then."""
        return await self._is_ready_within(max(0.0, deadline_s - time.time()))

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End the process and its Runtime API."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(GRACE_S):
                    await self._process.wait()
            except TimeoutError:
                self._kill()
                await self._process.wait()
        await self._api.stop()


def _read_message(init_error: bytes | None) -> str:
    """Return what a runtime posted to /init/error, as the end of a sentence."""
    try:
        return f": {json.loads(init_error or b'')['errorMessage']}"
    except (ValueError, KeyError, TypeError):
        return ""


class Pool:
    """The sandboxes of one function: the one used last is used first."""

    def __init__(self, function: Function, launch: Launch, sandboxes_max: int) -> None:
        """`sandboxes_max`: more requests at once than this wait."""
        self.function = function
        self._launch = launch
        self._slots = asyncio.Semaphore(sandboxes_max)
        self._idle: list[Sandbox] = []
        self._all: set[Sandbox] = set()
        self._waiting = 0
        self._work: set[asyncio.Task[None]] = set()

    async def warm(self) -> None:
        """Start a sandbox before the first request needs it."""
        self._idle.append(await self._start())

    async def invoke(self, event: bytes, request_id: str) -> asyncio.Queue[Part]:
        """Hand an event to a sandbox; return the queue of its answer's parts.

        The function runs to its end whether or not anybody reads them.

        Raises: SandboxError.
        """
        if self._waiting >= _WAITING_MAX:
            raise SandboxError("too many requests wait for a sandbox")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            sandbox = self._take_idle() or await self._start()
        except BaseException:
            self._slots.release()
            raise
        invocation = Invocation(
            event=event,
            deadline_s=time.time() + self.function.timeout_s,
            request_id=request_id,
        )
        parts: asyncio.Queue[Part] = asyncio.Queue()
        task = asyncio.create_task(self._run(sandbox, invocation, parts))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return parts

    async def _run(
        self, sandbox: Sandbox, invocation: Invocation, parts: asyncio.Queue[Part]
    ) -> None:
        try:
            async for part in sandbox.answer(invocation):
                parts.put_nowait(part)
            if sandbox.is_alive and await sandbox.wait_until_idle(invocation.deadline_s):
                self._idle.append(sandbox)
                return
        finally:
            self._slots.release()
        self._all.discard(sandbox)
        await sandbox.stop()

    def _take_idle(self) -> Sandbox | None:
        while self._idle:
            sandbox = self._idle.pop()
            if sandbox.is_alive:
                return sandbox
            self._all.discard(sandbox)
        return None

    async def _start(self) -> Sandbox:
        sandbox = Sandbox(self.function, self._launch)
        self._all.add(sandbox)
        try:
            await sandbox.start()
        except SandboxError:
            self._all.discard(sandbox)
            raise
        return sandbox

    async def stop(self) -> None:
        """End every sandbox."""
        for task in list(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await asyncio.gather(*(sandbox.stop() for sandbox in self._all))
