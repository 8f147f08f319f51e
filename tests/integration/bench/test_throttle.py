"""A process that is held to a share of a core goes on afterwards, and nothing is left behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import throttle
from bench.machine import read_cpu_s
from bench.throttle import choose_way, share_of, throttled


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[bytes]]:
    """A process that uses all the CPU that it is given, until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process
    process.kill()
    process.wait()


def _runs(process: subprocess.Popen[bytes]) -> bool:
    """Return whether it uses CPU, within ten seconds."""
    before, deadline = read_cpu_s([process.pid]), time.monotonic() + 10
    while read_cpu_s([process.pid]) == before:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_shares_follow_the_memory() -> None:
    """A core is 1769 MB."""
    assert share_of(1769) == 1
    assert share_of(256) == pytest.approx(0.145, abs=0.001)


@pytest.mark.parametrize("has_cgroups", [True, False])
def test_a_process_runs_on_while_and_after_it_is_throttled(
    busy: subprocess.Popen[bytes],
    *,
    has_cgroups: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """By the kernel where it may be asked, else by signals."""
    if not has_cgroups:
        monkeypatch.setattr(throttle, "_V1", tmp_path)
        monkeypatch.setattr(throttle, "_V2", tmp_path)
        assert choose_way() == "stop and go"
    with throttled([busy.pid], 0.2):
        assert _runs(busy)
    assert _runs(busy)
    assert busy.poll() is None
    left = [path for root in (throttle._V1, throttle._V2) for path in root.glob(f"*-{os.getpid()}")]
    assert left == []
