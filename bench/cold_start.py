"""What a function's start costs before its first event, net of a bare Python's.

Baseline: `import fastapi, boto3`, which a function of this kind brings along. Each process has the
packages that Lambda has, and no others. `imported` is the module alone; `ready` is all that is made
before the first event, every client among it. Chat and images are started by the streaming runtime,
and so with AWS's runtime client, which is also shown alone. No process cleans up at its end, since
none of Lambda's does.

After `make build` also on the built layer, which brings its bytecode, against the same layer
without it, as SAM's own builder makes it: /opt is read-only, and each start compiles every module.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.deployed import ROOT, lay_out
from bench.figures import read_rounds
from bench.measure import find_ratios, print_ratios
from bench.naive.ranks import unpack_ranks

FUNCTIONS = sorted(file.parent.name for file in (ROOT / "functions").glob("*/app.py"))
STREAMED = ("chat", "images")
BASELINE = "import fastapi, boto3"
RUNTIME_CLIENT = "from awslambdaric import bootstrap"
_LEAVE = "\nimport os; os._exit(0)"
ROUNDS = 15
NAIVE = {"chat": "app", "models": "models"}
_NOBODY = "http://127.0.0.1:9"  # nothing is asked of it
LAYER = ROOT / ".aws-sam" / "build" / "CommonLayer" / "python"
_READY = {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a process runs, and what is in its environment; `path`: of its packages."""

    code: str
    path: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> float:
        """Return the CPU seconds of a new process that runs it."""
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": self.path,
            "TOLLGATE_DYNAMODB_URL": _NOBODY,
            **self.environment,
        }
        command = [sys.executable, "-S", "-c", self.code + _LEAVE]
        process = subprocess.Popen(command, env=environment, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, self.code)
        return usage.ru_utime + usage.ru_stime


def start_of(function: str, path: str, **environment: str) -> Start:
    """Return the start of a function as its runtime starts it."""
    if function not in STREAMED:
        return Start(code=f"import functions.{function}.app", path=path, environment=environment)
    handler = {"_HANDLER": f"functions.{function}.app.handler"}
    return Start(code="import tollgate.runtime.entry", path=path, environment=handler | environment)


def cases(folder: Path) -> dict[str, Start]:
    """Return what each process runs; `folder`: from `lay_out`."""
    path = f"{ROOT}:{folder}"
    found = {code: Start(code=code, path=path) for code in (BASELINE, RUNTIME_CLIENT)}
    for name in FUNCTIONS:
        found[f"{name}, imported"] = start_of(name, path)
        found[f"{name}, ready"] = start_of(name, path, **_READY)
    return found | naive_cases(path)


def naive_cases(path: str) -> dict[str, Start]:
    """Return the naive functions' starts, which are ready when imported."""
    environment = {
        "NAIVE_DYNAMODB_URL": _NOBODY,
        "NAIVE_UPSTREAM_URL": _NOBODY,
        "TIKTOKEN_CACHE_DIR": str(unpack_ranks()),
    }
    return {
        f"naive {name}": Start(
            code=f"import bench.naive.{module}", path=path, environment=environment
        )
        for name, module in NAIVE.items()
    }


def measure(starts: Mapping[str, Start], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Return each case's seconds, one round after the other, less a bare interpreter's."""
    for start in starts.values():
        start.run()  # writes the bytecode, as a deployed bundle has it
    found: dict[str, list[float]] = {name: [] for name in starts}
    for _ in range(rounds):
        bare = Start(code="pass", path="").run()
        for name, start in starts.items():
            found[name].append(start.run() - bare)
    return found


def layer_cases(folder: Path, packages: Path) -> dict[str, Start]:
    """Return each function's start on the built layer, and on a copy of it without bytecode.

    `folder`: for the copy; `packages`: from `lay_out`, for what Lambda's own runtime has.
    """
    bare = folder / "bare"
    shutil.copytree(LAYER, bare, ignore=shutil.ignore_patterns("__pycache__"))
    keep = {"PYTHONDONTWRITEBYTECODE": "1", **_READY}
    found = {}
    for name in FUNCTIONS:
        for kind, layer in {"bytecode": LAYER, "sources only": bare}.items():
            found[f"{name}, {kind}"] = start_of(name, f"{ROOT}:{layer}:{packages}", **keep)
    return found


def main() -> dict[str, float]:
    """Print and return each function's ratio."""
    rounds = read_rounds(ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        packages = lay_out(Path(folder) / "packages")
        found = measure(cases(packages), rounds)
        print_ratios("Start of a function, CPU net of a bare Python", found, BASELINE)
        if LAYER.is_dir():
            built = measure(layer_cases(Path(folder), packages), rounds)
            print_ratios("Ready on the built layer", built, f"{FUNCTIONS[-1]}, bytecode")
    return find_ratios(found, BASELINE)


if __name__ == "__main__":
    main()
