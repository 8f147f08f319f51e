"""A share of one core for a process, as Lambda gives it: memory ÷ 1 769 MB.

By the kernel's own bandwidth control, in the first of its two forms that can be written:

    cgroup v2   cpu.max                             a folder of its own under the root
    cgroup v1   cpu.cfs_quota_us, cpu.cfs_period_us

Source: AWS, "Configure Lambda function memory": one vCPU at 1 769 MB, in proportion below.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MB_A_CORE = 1769
PERIOD_US = 20_000
_ROOT = Path("/sys/fs/cgroup")


class NoShareError(Exception):
    """Nobody here may limit a process: not root, or no control groups."""


@contextmanager
def cpu_share(memory_mb: int) -> Iterator[Path]:
    """Yield a group's file of processes: a process id written there has this memory's share.

    Raises: NoShareError.
    """
    quota_us = int(PERIOD_US * memory_mb / MB_A_CORE)
    is_v2 = (_ROOT / "cgroup.controllers").exists()
    group = (_ROOT if is_v2 else _ROOT / "cpu") / f"tollgate-bench-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise NoShareError from error
    try:
        try:
            if is_v2:
                (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
            else:
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota_us))
        except OSError as error:
            raise NoShareError from error
        yield group / "cgroup.procs"
    finally:
        group.rmdir()
