"""What `make sam-local` says where Docker is missing, and what it hands to the containers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.sam import Host, make_sam_environment, read_gateway, write_variables
from local.sandbox import ROOT
from local.template import load_template


def check(path: Path) -> subprocess.CompletedProcess[str]:
    """Run the check with the commands in `path` only."""
    return subprocess.run(
        [sys.executable, "-m", "local.sam", "--check"],
        cwd=ROOT,
        env={"PATH": str(path), "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'common'}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_missing_docker_is_named(tmp_path: Path) -> None:
    """One line with where to get it and what works without it; the exit code is 1."""
    run = check(tmp_path)

    assert run.returncode == 1
    assert "no `docker` was found: https://docs.docker.com/" in run.stderr
    assert "`make run` serves the same API without it" in run.stderr
    assert "Traceback" not in run.stderr


def test_stopped_engine_is_named(tmp_path: Path) -> None:
    """With what Docker says of it."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    docker.chmod(0o755)
    run = check(Path(f"{tmp_path}:/bin:/usr/bin"))

    assert run.returncode == 1
    assert "its engine does not answer: Cannot connect to the Docker daemon" in run.stderr


@pytest.mark.parametrize(
    ("config", "gateway"),
    [
        ({"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.9"}, "172.18.0.9"),
        ({"Subnet": "172.17.0.0/16"}, "172.17.0.1"),
    ],
)
def test_gateway_of_the_containers_network(config: dict[str, str], gateway: str) -> None:
    """As Docker says, or the first address where it does not."""
    assert read_gateway(json.dumps([{"IPAM": {"Config": [config]}}])) == gateway


def test_variables_are_those_of_the_template(tmp_path: Path) -> None:
    """SAM drops without a word a variable that no function has in the template."""
    host = Host(name="172.17.0.1", address="172.17.0.1")
    file = write_variables(tmp_path, "http://127.0.0.1:8123", host)
    variables = json.loads(file.read_text())["Parameters"]
    template = load_template(ROOT / "template.yaml")
    common = template["Globals"]["Function"]["Environment"]["Variables"]
    chat = template["Resources"]["ChatFunction"]["Properties"]["Environment"]["Variables"]

    assert variables["TOLLGATE_DYNAMODB_URL"] == "http://172.17.0.1:8123"
    assert set(variables) <= set(common) | set(chat)
    assert set(common) - set(variables) == {"TOLLGATE_CORS_ORIGIN", "TOLLGATE_LOG_LEVEL"}


def test_containers_get_no_credentials_of_this_machine() -> None:
    """Whoever starts it may be logged in to an account of AWS's."""
    made = make_sam_environment(
        {"AWS_PROFILE": "work", "AWS_ACCESS_KEY_ID": "real", "PATH": os.environ["PATH"]}, "/t"
    )

    assert "AWS_PROFILE" not in made
    assert "real" not in made.values()
    assert made["AWS_SESSION_TOKEN"] == "local"
    assert made["TMPDIR"] == "/t"
