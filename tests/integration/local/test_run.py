"""`make run` from start to end, as a process in a terminal."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.processes import stop
from local.sandbox import ROOT
from tests.e2e.conftest import link_database

pytestmark = pytest.mark.xdist_group("run")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return link_database(tmp_path / "home")


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        stop(process)


def start(
    started: list[subprocess.Popen[bytes]], home: Path, port: int = 0, **environment: str
) -> subprocess.Popen[bytes]:
    with (home / "console.log").open("ab") as console:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.run", "--port", str(port), "--home", str(home)],
            cwd=ROOT,
            env=os.environ
            | {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'common'}", "COLUMNS": "80"}
            | environment,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started.append(process)
    return process


def wait_until_up(process: subprocess.Popen[bytes], home: Path) -> dict[str, str]:
    deadline = time.monotonic() + 120
    while not (home / "gateway.json").is_file():
        assert process.poll() is None, (home / "console.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    fields: dict[str, str] = json.loads((home / "gateway.json").read_text())
    return fields


def descendants_of(home: Path) -> list[str]:
    """Return the command lines of processes that have to do with this home."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(home / "dynamodb") in text.decode(errors="replace") or (
                f"TOLLGATE_CATALOG_FILE={home}" in text.decode(errors="replace")
            ):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


def wait_until_gone(home: Path) -> None:
    deadline = time.monotonic() + 20
    while left := descendants_of(home):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_what_is_printed_works_as_printed(
    home: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """The curl line and the Python snippet are run literally; the description is private."""
    process = start(started, home, TOLLGATE_DEMO_CHUNKS_PER_S="0")
    fields = wait_until_up(process, home)
    printed = (home / "console.log").read_text()
    curl = printed[printed.index("curl -N") : printed.index("or, with `pip")].strip()
    snippet = printed[printed.index("from openai") : printed.index("Models of the demo")].strip()

    curled = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, check=True)
    ran = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, check=True
    )

    assert curled.stdout.strip().endswith("data: [DONE]")
    assert '"quota":' in curled.stdout
    assert ran.stdout.startswith("Once there was a toll gate")
    assert "quota: 0." in ran.stdout
    assert set(fields) == {"base_url", "api_key", "account", "dynamodb_url", "table", "pid"}
    assert fields["pid"] == process.pid
    assert stat.S_IMODE((home / "gateway.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_and_keeps_the_balance(
    home: Path, started: list[subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    """After a signal nothing runs and gateway.json is gone; a restart has key and balance.

    Ctrl-C reaches the whole process group, as in a terminal; SIGTERM the process alone.
    """
    first = start(started, home, TOLLGATE_DEMO_CHUNKS_PER_S="0")
    before = wait_until_up(first, home)
    spend(before)

    if number is signal.SIGINT:
        os.killpg(first.pid, number)
    else:
        first.send_signal(number)
    assert first.wait(30) == 0
    wait_until_gone(home)
    assert not (home / "gateway.json").exists()

    after = wait_until_up(start(started, home), home)
    assert after["api_key"] == before["api_key"]
    assert "balance    999." in (home / "console.log").read_text().rpartition("base URL")[2]


def spend(fields: dict[str, str]) -> None:
    body = json.dumps({"model": "demo-story", "messages": [{"role": "user", "content": "x"}]})
    headers = ["-H", f"Authorization: Bearer {fields['api_key']}"]
    command = ["curl", "-sf", f"{fields['base_url']}/chat/completions", *headers, "-d", body]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="uses Linux's parent-death signal")
def test_even_a_kill_leaves_no_orphan(home: Path, started: list[subprocess.Popen[bytes]]) -> None:
    """SIGKILL of the gateway takes Java and the sandboxes along; the next one clears its file."""
    process = start(started, home)
    wait_until_up(process, home)

    process.kill()
    process.wait()
    wait_until_gone(home)

    again = start(started, home, PATH="/nonexistent")
    assert again.wait(30) == 1
    assert not (home / "gateway.json").exists()
    assert wait_until_up(start(started, home), home)["pid"] != process.pid


def test_taken_port_is_said(home: Path, started: list[subprocess.Popen[bytes]]) -> None:
    """One line with the way out, and a failure code."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = start(started, home, port=port)
        assert process.wait(30) == 1

    said = (home / "console.log").read_text()
    assert f"port {port} is taken" in said
    assert "make run PORT=" in said
    assert "Traceback" not in said


def test_second_gateway_is_refused(home: Path, started: list[subprocess.Popen[bytes]]) -> None:
    """Two would write to one database; the first one's address is told, and it goes on."""
    first = start(started, home)
    fields = wait_until_up(first, home)

    second = start(started, home)

    assert second.wait(30) == 1
    said = (home / "console.log").read_text()
    assert f"already: {fields['base_url']}, process {first.pid}" in said
    assert json.loads((home / "gateway.json").read_text()) == fields
    spend(fields)


def test_interrupt_while_it_starts_leaves_nothing(
    home: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """Java may be half up by then."""
    process = start(started, home)
    deadline = time.monotonic() + 60
    while "Starting DynamoDB" not in (home / "console.log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)

    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 0
    wait_until_gone(home)
    assert "Traceback" not in (home / "console.log").read_text()
    assert not (home / "gateway.json").exists()


def test_proxy_of_the_environment_is_not_used_here(
    home: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """What runs on this machine is reached directly."""
    dead = dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    fields = wait_until_up(start(started, home, no_proxy="", NO_PROXY="", **dead), home)

    spend(fields)


def test_missing_java_is_said(home: Path, started: list[subprocess.Popen[bytes]]) -> None:
    """How to get it, and nothing left running."""
    process = start(started, home, PATH="/nonexistent")

    assert process.wait(30) == 1
    said = (home / "console.log").read_text()
    assert "Java 17" in said
    assert "adoptium" in said
    assert "Traceback" not in said
