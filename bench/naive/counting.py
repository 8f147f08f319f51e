"""Counting a megabyte with tiktoken as it is, in one piece: how much slower the worst kind is.

Prints JSON: a ratio to prose for each kind, None where tiktoken fails, which for long whitespace is
a panic, no Exception. A process of its own, whose backtraces are nobody's.

    python -m bench.naive.counting
"""

import json
import subprocess
import sys
import time

from tollgate.core.encodings import load_encoding

from bench.count_tokens import families


def count_all() -> dict[str, float | None]:
    """Return each kind's ratio to prose."""
    encoding = load_encoding("o200k_base")
    found: dict[str, float | None] = {}
    for name, text in families().items():
        began = time.process_time()
        try:
            encoding.encode(text, disallowed_special=())
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - a panic of Rust's is no Exception
            found[name] = None
        else:
            found[name] = time.process_time() - began
    prose = found["prose"] or 1.0
    return {name: seconds and round(seconds / prose, 3) for name, seconds in found.items()}


def measure() -> dict[str, float | None]:
    """Return what a process of its own finds."""
    command = [sys.executable, "-m", "bench.naive.counting"]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    found: dict[str, float | None] = json.loads(run.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(count_all()))
