"""Programs that a run starts: pinned, with an environment of their own, ended with the run."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.arrivals import WrongAnswerError
from local.processes import die_with_parent

ROOT = Path(__file__).parent.parent
LAYER = ROOT / "layers" / "common"
# The interpreter without this environment's packages, as Lambda's is.
PYTHON = str(getattr(sys, "_base_executable", sys.executable))
READY_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A command and what it needs. `core` None: wherever."""

    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    core: int | None = None
    folder: Path = ROOT

    def start(self) -> subprocess.Popen[bytes]:
        """Start it; it ends with this process."""
        die = die_with_parent()

        def prepare() -> None:
            if self.core is not None:
                os.sched_setaffinity(0, {self.core})
            if die is not None:
                die()

        with self.log.open("ab") as log:
            return subprocess.Popen(
                list(self.command),
                env={**_bare_environment(), **self.environment},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=prepare,  # noqa: PLW1509 - nothing else runs in the child
            )


def _bare_environment() -> dict[str, str]:
    """Return what every program gets: nothing that would lead it elsewhere or make it talk."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/tmp"),  # noqa: S108 - where there is none
        "NO_PROXY": "127.0.0.1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONUNBUFFERED": "1",
    }


async def wait_for_port(port: int, program: subprocess.Popen[bytes]) -> None:
    """Return when something listens on the port.

    Raises: WrongAnswerError: the program ended, or does not listen in time.
    """
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and program.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            await asyncio.sleep(0.01)
        else:
            return
    raise WrongAnswerError(f"{program.args!r} does not listen")
