"""DynamoDB Local, AWS's own: fetched once through Maven, run by Java.

.local/dynamodb/lib/     the jars and their native SQLite, about 50 MB
.local/dynamodb/data/    the tables, kept over restarts
"""

import fcntl
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from local.processes import die_with_parent, free_port, stop

JAVA_MIN = 17
_POM = Path(__file__).parent / "pom.xml"
_READY_WITHIN_S = 60.0
_INSTALL_WITHIN_S = 900.0


class MissingToolError(Exception):
    """A program that this machine lacks; the text says how to get it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamoDB:
    """A running DynamoDB Local."""

    url: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it; what it acknowledged is on disk."""
        stop(self.process)


def install(home: Path, say: Callable[[str], None] = print) -> Path:
    """Return the folder of jars under `home`, fetching them the first time.

    A fetch that breaks off leaves nothing behind; two at once wait for each other.

    Raises: MissingToolError: Java or Maven is missing, or the fetch failed.
    """
    check_java()
    lib = home / "dynamodb" / "lib"
    lib.parent.mkdir(parents=True, exist_ok=True)
    with (lib.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not lib.is_dir():
            say("Fetching DynamoDB Local (once, about 50 MB)")
            _fetch(lib)
    return lib


def check_java() -> None:
    """Raises: MissingToolError: there is no Java, or it is too old."""
    how = f"Tollgate's local DynamoDB needs Java {JAVA_MIN} or newer: https://adoptium.net"
    java = shutil.which("java")
    if java is None:
        raise MissingToolError(f"{how} (no `java` was found)")
    run = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', run.stderr)
    if found is None or int(found[1]) < JAVA_MIN:
        raise MissingToolError(f"{how} (found: {run.stderr.strip().splitlines()[:1]})")


def _fetch(lib: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingToolError(
            "DynamoDB Local is fetched through Maven, and no `mvn` was found: "
            "https://maven.apache.org/install.html"
        )
    with tempfile.TemporaryDirectory(dir=lib.parent) as folder:
        target = Path(folder) / "lib"
        command = [maven, "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
        try:
            subprocess.run(
                [*command, f"-DoutputDirectory={target}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_INSTALL_WITHIN_S,
                check=True,
            )
        except subprocess.SubprocessError as error:
            said = str(getattr(error, "stdout", None) or error)
            raise MissingToolError(
                f"Maven could not fetch DynamoDB Local:\n{said[-2000:]}"
            ) from error
        target.rename(lib)


def start(lib: Path, *, data: Path | None, port: int = 0) -> DynamoDB:
    """Start it on `port` of 127.0.0.1 (0: a free one); `data` None keeps the tables in memory.

    Raises: MissingToolError: it does not start.
    """
    port = port or free_port()
    if data is not None:
        data.mkdir(parents=True, exist_ok=True)
    where = ["-inMemory"] if data is None else ["-dbPath", str(data)]
    log = tempfile.TemporaryFile()  # noqa: SIM115 - the child's, for as long as it runs
    process = subprocess.Popen(
        [
            *("java", "-Xmx512m", "-cp", f"{lib}/*", f"-Djava.library.path={lib}"),
            "com.amazonaws.services.dynamodbv2.local.main.ServerRunner",
            *("-port", str(port), "-sharedDb", "-disableTelemetry"),
            *where,
        ],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=die_with_parent(),  # noqa: PLW1509 - nothing else runs in the child
    )
    with log:
        database = DynamoDB(url=f"http://127.0.0.1:{port}", process=process)
        _wait_until_ready(database, log.fileno())
    return database


def _wait_until_ready(database: DynamoDB, log: int) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while not _answers(database.url):
        if database.process.poll() is not None or time.monotonic() > deadline:
            database.stop()
            said = Path(f"/dev/fd/{log}").read_bytes()[-2000:].decode(errors="replace")
            raise MissingToolError(f"DynamoDB Local did not start:\n{said}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        straight.open(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
        return True  # it refuses a request without a signature: it is there
    except OSError:
        return False
    return True
