"""`make run`: start everything, say how to use it, serve until Ctrl-C, leave nothing running.

    python -m local.run [--port 3000] [--home .local] [--sandboxes 8]

While it serves, `<home>/gateway.json` holds what scripts need: base_url, api_key, account,
dynamodb_url, table, pid.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tollgate.core.units import format_points
from tollgate.ledger.model import Account

from local import dynamodb
from local.catalog import make_local_catalog, write_local_catalog
from local.demo_upstream import DEFAULT_CHUNKS_PER_S, make_demo_app
from local.gateway import Gateway
from local.ledger import prepare_account, write_private
from local.sandbox import ROOT, Launch, Pool, SandboxError
from local.schedule import keep_schedule
from local.serving import serving
from local.template import Api, load_template, read_api

TABLE = "tollgate"
ACCOUNT = "demo"
REGION = "us-east-1"
_PACKAGED_CATALOG = ROOT / "layers" / "common" / "tollgate" / "catalog.toml"


class StartError(Exception):
    """What keeps the gateway from starting, in words for the person at the terminal."""


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
    except (StartError, dynamodb.MissingToolError, SandboxError) as error:
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
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_owning(options.home))
        listener = stack.enter_context(_listen(options.port))
        starting = asyncio.create_task(_start(stack, options, environment, listener))
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            return
        starting.result()
        await waiting
        print("\nStopping …", flush=True)


@contextlib.contextmanager
def _owning(home: Path) -> Iterator[None]:
    """Keep a second gateway out of the same data, and clear away what a killed one left.

    Raises: StartError: another gateway serves from this home.
    """
    home.mkdir(parents=True, exist_ok=True)
    described = home / "gateway.json"
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartError(f"a gateway is running already: {_address(described)}") from error
        described.unlink(missing_ok=True)
        yield


def _address(described: Path) -> str:
    try:
        fields = json.loads(described.read_text())
        return f"{fields['base_url']}, process {fields['pid']}"
    except OSError:
        return "it is just starting, or ending"


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=512)
    except OSError as error:
        raise StartError(
            f"port {port} is taken. Is another gateway running? Choose one: make run PORT=8080"
        ) from error


async def _start(
    stack: contextlib.AsyncExitStack,
    options: Options,
    environment: Mapping[str, str],
    listener: socket.socket,
) -> None:
    home = options.home
    lib = await asyncio.to_thread(dynamodb.install, home)
    print("Starting DynamoDB Local, the demo upstream and the functions", flush=True)
    database = await _start_database(stack, lib, home / "dynamodb" / "data")
    demo_listener = _listen(0)
    chunks_per_s = float(environment.get("TOLLGATE_DEMO_CHUNKS_PER_S", DEFAULT_CHUNKS_PER_S))
    await stack.enter_async_context(serving(make_demo_app(chunks_per_s), demo_listener))
    key, account = await asyncio.to_thread(
        prepare_account, database.url, TABLE, home / "key", account_id=ACCOUNT, region=REGION
    )
    catalog = home / "catalog.toml"
    write_local_catalog(catalog, _catalog_text(options, demo_listener, environment))
    api = read_api(
        load_template(ROOT / "template.yaml"),
        _function_environment(database.url, catalog, environment),
    )
    pools = await _start_pools(stack, api, options, environment)
    for schedule in api.schedules:
        await stack.enter_async_context(keep_schedule(schedule, pools[schedule.function]))
    gateway = Gateway(api, pools, log=lambda line: print(line, flush=True))
    await stack.enter_async_context(serving(gateway, listener))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    _announce(address, key, account, home)
    described = home / "gateway.json"
    fields = {"base_url": address, "api_key": key, "account": ACCOUNT}
    fields |= {"dynamodb_url": database.url, "table": TABLE}
    write_private(described, json.dumps(fields | {"pid": os.getpid()}, indent=2))
    stack.callback(described.unlink, missing_ok=True)


async def _start_database(
    stack: contextlib.AsyncExitStack, lib: Path, data: Path
) -> dynamodb.DynamoDB:
    """Start DynamoDB Local; it is stopped even if an interrupt comes before it is ready."""
    starting = asyncio.ensure_future(asyncio.to_thread(dynamodb.start, lib, data=data))

    async def stop() -> None:
        with contextlib.suppress(dynamodb.MissingToolError):
            (await starting).stop()

    stack.push_async_callback(stop)
    return await asyncio.shield(starting)


def _catalog_text(options: Options, demo: socket.socket, environment: Mapping[str, str]) -> str:
    if options.catalog is not None:
        return options.catalog.read_text()
    url = f"http://127.0.0.1:{demo.getsockname()[1]}/v1"
    patience_s = float(environment.get("TOLLGATE_DEMO_PATIENCE_S", "10"))
    return make_local_catalog(
        _PACKAGED_CATALOG.read_text(), url, environment, patience_s=patience_s
    )


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


def _announce(base_url: str, key: str, account: Account, home: Path) -> None:
    print(
        f"""
Tollgate is running.

  base URL   {base_url}
  API key    {key}
  balance    {format_points(account.balance)} points (account {account.account_id})

Try it:

curl -N {base_url}/chat/completions -H "Authorization: Bearer {key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "gpt-4o-mini", "stream": true,
       "messages": [{{"role": "user", "content": "Tell me a story"}}]}}'

or, with `pip install openai`:

from openai import OpenAI
client = OpenAI(base_url="{base_url}", api_key="{key}")
for chunk in client.chat.completions.create(
    model="gpt-4o-mini", stream=True, messages=[{{"role": "user", "content": "Tell me a story"}}]
):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print("quota:", chunk.quota)

Models of the demo: demo-echo, demo-story, demo-think, demo-image and more (docs/local.md).
The functions' log: {home / "functions.log"}. Ctrl-C ends it; balances are kept.
""",
        flush=True,
    )


if __name__ == "__main__":
    main()
