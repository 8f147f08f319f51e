"""What a run needs before anything is measured: the stubs in their processes, ranks, a key."""

import json
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tollgate.core.keys import make_key

from bench.contestants import Surroundings
from bench.deployed import lay_out
from bench.machine import choose_cores
from bench.programs import LAYER, ROOT, Program, wait_for_port
from bench.stubs.upstream import Plan
from local.processes import free_port, stop


@asynccontextmanager
async def standing() -> AsyncIterator[Surroundings]:
    """Run upstream and database stubs beside this process, on the core that is not a gateway's."""
    core = choose_cores().others
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tollgate-bench-")))
        ports = [await _start(stack, name, folder, core) for name in ("upstream", "dynamodb")]
        os.sched_setaffinity(0, {core})
        yield Surroundings(
            upstream_port=ports[0],
            dynamodb_url=f"http://127.0.0.1:{ports[1]}",
            folder=folder,
            packages=_lay_out(folder / "packages"),
            key=make_key(random.Random(1).choice),
        )


async def _start(stack: ExitStack, name: str, folder: Path, core: int) -> int:
    port = free_port()
    program = Program(
        command=[sys.executable, "-m", f"bench.stubs.{name}", str(port)],
        environment={"PYTHONPATH": f"{ROOT}:{LAYER}"},
        log=folder / f"{name}.log",
        core=core,
    )
    process = program.start()
    stack.callback(stop, process)
    await wait_for_port(port, process)
    return port


def _lay_out(folder: Path) -> Path:
    """Return the packages as Lambda has them, with the exec wrapper among them."""
    lay_out(folder)
    (folder / "stream-runtime").symlink_to(LAYER / "stream-runtime")
    return folder


def make_body(plan: Plan, prompt: str = "Tell me about toll gates.") -> bytes:
    """Return a chat request whose prompt asks the stub upstream for `plan`."""
    message = {"role": "user", "content": f"{plan} {prompt}"}
    return json.dumps({"model": "gpt-4o-mini", "stream": True, "messages": [message]}).encode()
