"""The machine: its cores, what a process has used of it, and what it is.

A gateway has one core for itself; whoever asks, the upstream and the database share the other.
Where there is one core only, all share it and the figures say so.
"""

import os
import platform
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("fastapi", "starlette", "mangum", "httpx", "boto3", "tiktoken", "awslambdaric")
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """Numbers of the cores that are used."""

    gateway: int
    others: int

    @property
    def is_shared(self) -> bool:
        """Whether the gateway has no core for itself."""
        return self.gateway == self.others


@cache
def choose_cores() -> Cores:
    """Return the last core of this process for the gateway, and the first for the others.

    Chosen once: afterwards this process keeps to its own.
    """
    available = sorted(os.sched_getaffinity(0))
    return Cores(gateway=available[-1], others=available[0])


def list_family(pid: int) -> list[int]:
    """Return a process and its descendants that run now."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += list_family(int(child))
    return found


def read_cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU seconds that the processes have had, with those of threads that have ended.

    To the nanosecond: the clock that clock_getcpuclockid(3) gives, whose number Linux makes so.
    """
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def read_memory_mb(pids: Iterable[int], *, is_peak: bool = False) -> float:
    """Return the resident megabytes of the processes, now or at their most."""
    name, kilobytes = ("VmHWM" if is_peak else "VmRSS"), 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                kilobytes += int(line.split()[1])
    return kilobytes / 1024


def describe() -> dict[str, object]:
    """Return what the figures were taken on: processor, kernel, interpreter, packages, commit."""
    cores = choose_cores()
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gateway_shares_its_core": cores.is_shared,
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: version(name) for name in _PACKAGES},
        "commit": _commit(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    run = subprocess.run(
        ["git", "-C", str(_ROOT), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout.strip() or "unknown"
