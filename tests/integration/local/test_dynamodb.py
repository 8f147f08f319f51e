"""How DynamoDB Local is fetched, started and kept."""

import stat
import threading
from pathlib import Path

import pytest
from tollgate.ledger.connection import connect
from tollgate.ledger.table import create_table

from local import dynamodb
from local.sandbox import ROOT

JAVA = "#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-20' >&2\n"
FETCHING = """#!/bin/sh
echo fetch >> "{log}"
for argument; do
    case $argument in -DoutputDirectory=*) folder=${{argument#*=}} ;; esac
done
/bin/mkdir -p "$folder"
echo jar > "$folder/one.jar"
{end}
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    add(folder, "java", JAVA.format(version="21.0.1"))
    return folder


def add(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(stat.S_IRWXU)


def fetching(programs: Path, end: str) -> Path:
    """Make Maven leave a jar and then do `end`; return the file with a line a run."""
    log = programs / "log"
    add(programs, "mvn", FETCHING.format(log=log, end=end))
    return log


@pytest.mark.parametrize("version", ["1.8.0_402", "11.0.2", "16.0.1"])
def test_old_java_is_refused(programs: Path, version: str) -> None:
    """The text says which one is needed, which was found and where to get another."""
    add(programs, "java", JAVA.format(version=version))

    with pytest.raises(dynamodb.MissingToolError, match=rf"Java 17.*adoptium.*{version}"):
        dynamodb.check_java()


@pytest.mark.parametrize("version", ["17", "17.0.9", "25-ea"])
def test_new_java_is_taken(programs: Path, version: str) -> None:
    """From 17 on, early access too."""
    add(programs, "java", JAVA.format(version=version))

    assert dynamodb.check_java() is None


def test_java_that_is_a_mere_placeholder_is_refused(programs: Path) -> None:
    """Some systems have a `java` that only says where to get one."""
    add(programs, "java", "#!/bin/sh\necho 'Unable to locate a Java Runtime.' >&2\nexit 1\n")

    with pytest.raises(dynamodb.MissingToolError, match="Unable to locate"):
        dynamodb.check_java()


def test_missing_maven_is_said(programs: Path, tmp_path: Path) -> None:
    """With the address to get it from."""
    with pytest.raises(dynamodb.MissingToolError, match=r"maven\.apache\.org"):
        dynamodb.install(tmp_path, lambda _: None)


def test_broken_fetch_leaves_nothing_behind(programs: Path, tmp_path: Path) -> None:
    """The next run fetches anew, and what Maven said is told."""
    fetching(programs, "echo no network; exit 1")
    with pytest.raises(dynamodb.MissingToolError, match="no network"):
        dynamodb.install(tmp_path, lambda _: None)
    left = [path.name for path in (tmp_path / "dynamodb").iterdir()]

    fetching(programs, "exit 0")
    lib = dynamodb.install(tmp_path, lambda _: None)

    assert left == ["lock"]
    assert [path.name for path in lib.iterdir()] == ["one.jar"]


def test_two_at_once_fetch_once(programs: Path, tmp_path: Path) -> None:
    """The second waits for the first and takes what it brought; the third needs nothing."""
    log = fetching(programs, "/bin/sleep 0.3")
    said: list[str] = []
    runs = [threading.Thread(target=dynamodb.install, args=(tmp_path, said.append)) for _ in "ab"]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    (programs / "mvn").unlink()

    assert dynamodb.install(tmp_path, said.append) == tmp_path / "dynamodb" / "lib"
    assert log.read_text() == "fetch\n"
    assert len(said) == 1


def test_failure_to_start_tells_what_java_said(programs: Path, tmp_path: Path) -> None:
    """A Java that ends at once."""
    add(programs, "java", "#!/bin/sh\necho no such class\nexit 1\n")

    with pytest.raises(dynamodb.MissingToolError, match="no such class"):
        dynamodb.start(tmp_path, data=None)


def test_tables_outlive_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged is there after SIGKILL, whatever proxy the environment names."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    lib = dynamodb.install(ROOT / ".local")
    found = []
    for item in ("one", "two"):
        database = dynamodb.start(lib, data=tmp_path)
        try:
            client = connect(region="us-east-1", endpoint_url=database.url, read_timeout_s=30)
            create_table(client, "table")
            key = {"pk": {"S": item}, "sk": {"S": item}}
            client.put_item(TableName="table", Item=key)
            found.append(client.scan(TableName="table")["Count"])
            client.close()
            database.process.kill()
            database.process.wait()
        finally:
            database.stop()

    assert found == [1, 2]
