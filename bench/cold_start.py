"""What a function's start costs before its first event, net of a bare Python's.

Baseline: `import fastapi, boto3`, which a function of this kind brings along. `ready` is with the
client of DynamoDB made, which the first event needs.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.measure import print_ratios

ROOT = Path(__file__).parent.parent
FUNCTIONS = sorted(file.parent.name for file in (ROOT / "functions").glob("*/app.py"))
BASELINE = "import fastapi, boto3"
ROUNDS = 15


def cases() -> dict[str, str]:
    """Return what each process runs."""
    functions = {name: f"import functions.{name}.app" for name in FUNCTIONS}
    ready = {
        f"{name}, ready": f"{code}; from tollgate.web.services import make_services;"
        f" make_services(functions.{name}.app.settings)"
        for name, code in functions.items()
    }
    return {BASELINE: BASELINE, **functions, **ready}


def run(code: str) -> float:
    """Return the CPU seconds of a new process that runs `code`."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'common'}",
        "TOLLGATE_DYNAMODB_URL": "http://127.0.0.1:9",  # nothing is asked of it
    }
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=ROOT)
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


def main() -> None:
    """Print each function's ratio."""
    found = measure(cases())
    print_ratios("Start of a function, CPU net of a bare Python", found, BASELINE)


if __name__ == "__main__":
    main()
