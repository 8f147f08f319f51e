"""A share of a core for a process, as Lambda gives it by its memory: 1769 MB are one core.

The kernel's own limit where a cgroup can be made (version 1 or 2), which is how Lambda does it;
else the process is stopped and let go on in turn, which also takes its idle time from it and so is
a little harder. Either in periods of 20 ms.
Source: AWS, "Configure Lambda function memory"; the kernel's documentation of CFS bandwidth.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PERIOD_US = 20_000
CORE_MB = 1769
_V1 = Path("/sys/fs/cgroup/cpu")
_V2 = Path("/sys/fs/cgroup")


def share_of(memory_mb: int) -> float:
    """Return the share of a core that a function of so much memory has."""
    return memory_mb / CORE_MB


def choose_way() -> str:
    """Return how a share is held to here: `cgroup v1`, `cgroup v2` or `stop and go`."""
    for way, make in (("cgroup v1", _make_v1), ("cgroup v2", _make_v2)):
        folder = make("probe", 0.5)
        if folder is not None:
            folder.rmdir()
            return way
    return "stop and go"


@contextmanager
def throttled(pids: Sequence[int], share: float) -> Iterator[None]:
    """Hold the processes, together, to `share` of a core."""
    folder = _make_v1("gateway", share) or _make_v2("gateway", share)
    if folder is None:
        with _stop_and_go(pids, share):
            yield
        return
    try:
        _move(pids, folder)
        yield
    finally:
        _move(pids, folder.parent)
        folder.rmdir()


def _move(pids: Sequence[int], folder: Path) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it has ended
            (folder / "cgroup.procs").write_text(str(pid))


def _make_v1(name: str, share: float) -> Path | None:
    limits = {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(_quota_us(share))}
    return _make(_V1, "cpu.cfs_quota_us", name, limits)


def _make_v2(name: str, share: float) -> Path | None:
    limits = {"cpu.max": f"{_quota_us(share)} {PERIOD_US}"}
    return _make(_V2, "cgroup.controllers", name, limits)


def _quota_us(share: float) -> int:
    return round(PERIOD_US * share)


def _make(root: Path, mark: str, name: str, limits: Mapping[str, str]) -> Path | None:
    """Return a new cgroup under `root`, or None, and nothing left behind, where there is none.

    `mark`: the file by which such a hierarchy is known.
    """
    folder = root / f"tollgate-bench-{name}-{os.getpid()}"
    if not (root / mark).is_file():
        return None
    try:
        folder.mkdir()
        for file, limit in limits.items():
            (folder / file).write_text(limit)
    except OSError:
        if folder.is_dir():
            folder.rmdir()
        return None
    return folder


@contextmanager
def _stop_and_go(pids: Sequence[int], share: float) -> Iterator[None]:
    is_over = threading.Event()

    def tell(number: signal.Signals) -> None:
        for pid in pids:
            os.kill(pid, number)

    def work() -> None:
        period_s = PERIOD_US / 1e6
        while not is_over.is_set():
            tell(signal.SIGCONT)
            time.sleep(period_s * share)
            tell(signal.SIGSTOP)
            time.sleep(period_s * (1 - share))
        tell(signal.SIGCONT)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
