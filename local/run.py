"""`make run`: start everything, say how to use it, serve until Ctrl-C, leave nothing running.

python -m local.run [--port 3000] [--home .local] [--sandboxes 8]
"""

import argparse
import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.backend import (
    REGION,
    TABLE,
    Backend,
    StartError,
    listen,
    make_catalog,
    start_backend,
)
from local.catalog import write_local_catalog
from local.dynamodb import MissingToolError
from local.gateway import Gateway
from local.sandbox import ROOT, Launch, Pool, SandboxError
from local.schedule import keep_schedule
from local.serving import serving
from local.template import Api, load_template, read_api
from local.terminal import announce, describe, serve_until_stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line. `catalog`: used as it is, in place of the merged one."""

    port: int
    home: Path
    sandboxes: int
    catalog: Path | None


def main() -> None:
    """Run until interrupted; exit 1 with a clear line where something is missing."""
    options = _read_options()
    try:
        asyncio.run(serve(options, os.environ))
    except (StartError, MissingToolError, SandboxError) as error:
        sys.exit(f"make run: {error}")
    except KeyboardInterrupt:
        pass
    print("Stopped.")


def _read_options() -> Options:
    parser = argparse.ArgumentParser(prog="local.run", description="Tollgate on this machine")
    parser.add_argument("--port", type=int, default=3000, help="port of the gateway; 0: a free one")
    parser.add_argument("--home", type=Path, default=ROOT / ".local", help="where data is kept")
    parser.add_argument("--sandboxes", type=int, default=8, help="requests at once, a function")
    parser.add_argument("--catalog", type=Path, help="a catalog to use as it is")
    found = parser.parse_args()
    return Options(
        port=found.port,
        home=found.home.resolve(),
        sandboxes=found.sandboxes,
        catalog=found.catalog,
    )


async def serve(options: Options, environment: Mapping[str, str]) -> None:
    """Start the parts, serve, and stop them in reverse."""

    async def start(stack: contextlib.AsyncExitStack) -> None:
        listener = stack.enter_context(listen(options.port))
        await _start(stack, options, environment, listener)

    await serve_until_stopped(options.home, start)


async def _start(
    stack: contextlib.AsyncExitStack,
    options: Options,
    environment: Mapping[str, str],
    listener: socket.socket,
) -> None:
    home = options.home
    backend = await start_backend(stack, home, environment)
    catalog = home / "catalog.toml"
    write_local_catalog(catalog, _catalog_text(options, backend, environment))
    api = read_api(
        load_template(ROOT / "template.yaml"),
        _function_environment(backend.dynamodb_url, catalog, environment),
    )
    pools = await _start_pools(stack, api, options, environment)
    for schedule in api.schedules:
        await stack.enter_async_context(keep_schedule(schedule, pools[schedule.function]))
    gateway = Gateway(api, pools, log=lambda line: print(line, flush=True))
    await stack.enter_async_context(serving(gateway, listener))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    announce(address, backend, home / "functions.log")
    describe(stack, home, address, backend)


def _catalog_text(options: Options, backend: Backend, environment: Mapping[str, str]) -> str:
    if options.catalog is not None:
        return options.catalog.read_text()
    return make_catalog(backend, environment, environment)


def _function_environment(
    dynamodb_url: str, catalog: Path, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return what the functions' environment has here in place of the template's values."""
    ours = {
        "TOLLGATE_TABLE": TABLE,
        "TOLLGATE_DYNAMODB_URL": dynamodb_url,
        "TOLLGATE_CATALOG_FILE": str(catalog),
        "TOLLGATE_PROVIDER_SECRET": "",
        "AWS_REGION": REGION,
    }
    keepalive = environment.get("TOLLGATE_KEEPALIVE_S")
    return ours | ({"TOLLGATE_KEEPALIVE_S": keepalive} if keepalive else {})


async def _start_pools(
    stack: contextlib.AsyncExitStack,
    api: Api,
    options: Options,
    environment: Mapping[str, str],
) -> dict[str, Pool]:
    launch = Launch(environment=environment, log=options.home / "functions.log")
    launch.log.write_bytes(b"")
    pools = {
        name: Pool(function, launch, options.sandboxes) for name, function in api.functions.items()
    }
    for pool in pools.values():
        stack.push_async_callback(pool.stop)
    routed = {route.function for route in api.routes}
    await asyncio.gather(*(pool.warm() for name, pool in pools.items() if name in routed))
    return pools


if __name__ == "__main__":
    main()
