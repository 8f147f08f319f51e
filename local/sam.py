"""`make sam-local`: the built bundle in Lambda's containers, by `sam local start-api`, buffered.

    python -m local.sam [--port 3000] [--home .local] [--architecture x86_64] [--check]

    sam local ── a container a function ──▶ DynamoDB Local, demo vendor: on this machine, outside

Its functions find the catalog in the table, since no file of this machine is in their containers.
`<home>/sam-env.json` is what `sam local invoke --env-vars` takes meanwhile.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from tollgate.core.catalog_toml import parse_catalog
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect

from local.backend import (
    LOOPBACK,
    REGION,
    TABLE,
    Backend,
    StartError,
    listen,
    make_catalog,
    start_backend,
)
from local.dynamodb import MissingToolError
from local.processes import die_with_parent, free_port
from local.sandbox import ROOT
from local.terminal import announce, describe, serve_until_stopped

SAM = ROOT / ".venv-sam" / "bin" / "sam"
_READY_WITHIN_S = 120.0
_ENDED_WITHIN_S = 30.0
_INSTEAD = "`make run` serves the same API without it, and streams."
_NOTE = """ The built bundle, in Lambda's containers, which cannot stream: answers
come whole, and each function's first one late, when its container starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line. `is_check`: only say what is missing."""

    port: int
    home: Path
    architecture: str
    is_check: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What containers call this machine, and the address at which it listens for them."""

    name: str
    address: str


def main() -> None:
    """Run until interrupted; exit 1 with a clear line where something is missing."""
    options = _read_options()
    try:
        host = find_host()
        if options.is_check:
            return
        asyncio.run(serve(options, os.environ, host))
    except (StartError, MissingToolError) as error:
        sys.exit(f"make sam-local: {error}")
    except KeyboardInterrupt:
        pass
    print("Stopped.")


def _read_options() -> Options:
    parser = argparse.ArgumentParser(prog="local.sam", description="Tollgate under `sam local`")
    parser.add_argument("--port", type=int, default=3000, help="port of the API; 0: a free one")
    parser.add_argument("--home", type=Path, default=ROOT / ".local", help="where data is kept")
    parser.add_argument("--architecture", default="x86_64", help="that of `make build`")
    parser.add_argument("--check", action="store_true", help="only say what is missing")
    found = parser.parse_args()
    return Options(
        port=found.port or free_port(),
        home=found.home.resolve(),
        architecture=found.architecture,
        is_check=found.check,
    )


def find_host(platform: str = sys.platform) -> Host:
    """Return how containers reach this machine.

    Elsewhere than on Linux they run in a machine of their own, which passes that name on to this
    one's loopback address. On Linux this machine is the gateway of their network; what listens
    there is not seen from outside.

    Raises: MissingToolError: there is no Docker, or it does not run.
    """
    docker = shutil.which("docker")
    if docker is None:
        raise MissingToolError(
            "`sam local` runs the functions in Docker, and no `docker` was found:"
            f" https://docs.docker.com/get-started/get-docker/. {_INSTEAD}"
        )
    command = [docker, "network", "inspect", "bridge"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise MissingToolError(
            f"Docker is there, but its engine does not answer: {run.stderr.strip()}. Start Docker"
            " Desktop, or `sudo systemctl start docker`; on Linux, is this user in the group"
            f" `docker`? {_INSTEAD}"
        )
    if platform != "linux":
        return Host(name="host.docker.internal", address=LOOPBACK)
    gateway = read_gateway(run.stdout)
    return Host(name=gateway, address=gateway)


def read_gateway(inspected: str) -> str:
    """Return the address of this machine in the network that `docker network inspect` showed.

    Some versions of Docker do not say it: then it is the first one, as Docker takes it.
    """
    config: dict[str, str] = json.loads(inspected)[0]["IPAM"]["Config"][0]
    return config.get("Gateway") or str(next(ip_network(config["Subnet"]).hosts()))


async def serve(options: Options, environment: Mapping[str, str], host: Host) -> None:
    """Start the parts, serve, and stop them in reverse."""

    async def start(stack: contextlib.AsyncExitStack) -> None:
        listen(options.port).close()  # sam would say it less clearly
        backend = await start_backend(stack, options.home, environment, host.address)
        await asyncio.to_thread(_push_catalog, backend, host, environment)
        variables = write_variables(options.home, backend.dynamodb_url, host)
        process = await _start_sam(stack, options, environment, variables)
        await _wait_until_ready(process, options)
        address = f"http://{LOOPBACK}:{options.port}/v1"
        announce(address, backend, options.home / "sam.log", _NOTE)
        describe(stack, options.home, address, backend)

    await serve_until_stopped(options.home, start)


def _push_catalog(backend: Backend, host: Host, environment: Mapping[str, str]) -> None:
    """Put the demo's catalog into the table; vendors' keys are not handed to containers."""
    text = make_catalog(backend, environment, {}, host.name)
    client = connect(region=REGION, endpoint_url=backend.dynamodb_url, read_timeout_s=10.0)
    with contextlib.closing(client):
        accounts = DynamoAccounts(client, TABLE)
        accounts.push_catalog(text, parse_catalog(text).version, datetime.now(UTC))


def write_variables(home: Path, dynamodb_url: str, host: Host) -> Path:
    """Write what the functions' environment has in place of the template's values."""
    variables = {
        "TOLLGATE_TABLE": TABLE,
        "TOLLGATE_DYNAMODB_URL": f"http://{host.name}:{urlsplit(dynamodb_url).port}",
        "TOLLGATE_CATALOG_FILE": "",
        "TOLLGATE_PROVIDER_SECRET": "",
        "TOLLGATE_KEEPALIVE_S": "0",
    }
    file = home / "sam-env.json"
    file.write_text(json.dumps({"Parameters": variables}, indent=2))
    return file


async def _start_sam(
    stack: contextlib.AsyncExitStack,
    options: Options,
    environment: Mapping[str, str],
    variables: Path,
) -> asyncio.subprocess.Process:
    command = [str(SAM), "local", "start-api", "--host", LOOPBACK, "--port", str(options.port)]
    command += ["--env-vars", str(variables), "--skip-pull-image"]
    command += ["--parameter-overrides", f"Architecture={options.architecture}"]
    temporary = stack.enter_context(tempfile.TemporaryDirectory())
    with (options.home / "sam.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env=make_sam_environment(environment, temporary),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
    stack.push_async_callback(_stop_sam, process)
    return process


def make_sam_environment(environment: Mapping[str, str], temporary: str) -> dict[str, str]:
    """Return sam's environment: the containers get no credentials of whoever starts this.

    `temporary`: a folder of this run's. A sam that is interrupted while it builds its image leaves
    a lock in there, for which the next one would wait five minutes.
    """
    kept = {name: value for name, value in environment.items() if name != "AWS_PROFILE"}
    made_up = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    made_up |= {"AWS_SESSION_TOKEN": "local", "AWS_DEFAULT_REGION": REGION}
    return kept | made_up | {"TMPDIR": temporary}


async def _stop_sam(process: asyncio.subprocess.Process) -> None:
    """End sam as Ctrl-C does: it then removes its containers."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(_ENDED_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _wait_until_ready(process: asyncio.subprocess.Process, options: Options) -> None:
    deadline = asyncio.get_running_loop().time() + _READY_WITHIN_S
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(LOOPBACK, options.port)
            writer.close()
            return
        if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
            said = (options.home / "sam.log").read_text()[-2000:]
            raise StartError(f"`sam local start-api` did not start:\n{said}")
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    main()
