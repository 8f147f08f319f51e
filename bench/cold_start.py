"""What a function's start costs before its first event, net of a bare Python's.

Baseline: `import fastapi, boto3`, which a function of this kind brings along. `ready` is with the
client of DynamoDB made, which the first event needs.

After `make build` also on the built layer, which brings its bytecode, against the same layer
without it, as SAM's own builder makes it: /opt is read-only, and each start compiles every module.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import botocore

from bench.measure import print_ratios

ROOT = Path(__file__).parent.parent
FUNCTIONS = sorted(file.parent.name for file in (ROOT / "functions").glob("*/app.py"))
BASELINE = "import fastapi, boto3"
ROUNDS = 15
LAYER = ROOT / ".aws-sam" / "build" / "CommonLayer" / "python"
IN_LAMBDAS_RUNTIME = ("botocore", "dateutil", "jmespath", "six.py", "urllib3")


def cases() -> dict[str, str]:
    """Return what each process runs."""
    functions = {name: f"import functions.{name}.app" for name in FUNCTIONS}
    ready = {
        f"{name}, ready": f"{code}; from tollgate.web.services import make_services;"
        f" make_services(functions.{name}.app.settings)"
        for name, code in functions.items()
    }
    return {BASELINE: BASELINE, **functions, **ready}


def run(code: str, *options: str, path: str = f"{ROOT}:{ROOT / 'layers' / 'common'}") -> float:
    """Return the CPU seconds of a new process that runs `code`; `options`: the interpreter's."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": path,
        "TOLLGATE_DYNAMODB_URL": "http://127.0.0.1:9",  # nothing is asked of it
    }
    process = subprocess.Popen([sys.executable, *options, "-c", code], env=environment, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, code)
    return usage.ru_utime + usage.ru_stime


def measure(codes: Mapping[str, str], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Return each case's seconds, one round after the other, less a bare interpreter's."""
    for code in codes.values():
        run(code)  # writes the bytecode, as a deployed bundle has it
    found: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(rounds):
        bare = run("pass")
        for name, code in codes.items():
            found[name].append(run(code) - bare)
    return found


def measure_layer(folder: Path, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Return the seconds of a function's start on the built layer, and without its bytecode.

    `folder`: for a copy of the layer, and for what Lambda's own runtime adds to it.
    """
    runtime, bare_layer = folder / "runtime", folder / "layer"
    runtime.mkdir()
    for name in IN_LAMBDAS_RUNTIME:
        (runtime / name).symlink_to(Path(botocore.__file__).parent.parent / name)
    shutil.copytree(LAYER, bare_layer, ignore=shutil.ignore_patterns("__pycache__"))
    layers = {"bytecode": LAYER, "sources only": bare_layer}
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        bare = run("pass", "-S", "-B")
        for name in FUNCTIONS:
            for kind, layer in layers.items():
                code = f"import functions.{name}.app"
                seconds = run(code, "-S", "-B", path=f"{ROOT}:{layer}:{runtime}") - bare
                found.setdefault(f"{name}, {kind}", []).append(seconds)
    return found


def main() -> None:
    """Print each function's ratio."""
    found = measure(cases())
    print_ratios("Start of a function, CPU net of a bare Python", found, BASELINE)
    if LAYER.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            found = measure_layer(Path(folder))
        print_ratios("Start on the built layer", found, f"{FUNCTIONS[-1]}, bytecode")


if __name__ == "__main__":
    main()
