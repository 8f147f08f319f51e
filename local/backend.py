"""What stands behind the functions on this machine: DynamoDB Local, an account, the demo vendor.

`make run` and `make sam-local` differ in what runs the functions, and share this.
"""

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tollgate.ledger.model import Account

from local import dynamodb
from local.catalog import make_local_catalog
from local.demo_upstream import DEFAULT_CHUNKS_PER_S, make_demo_app
from local.ledger import prepare_account
from local.sandbox import LAYER
from local.serving import serving

TABLE = "tollgate"
ACCOUNT = "demo"
REGION = "us-east-1"
PACKAGED_CATALOG = LAYER / "tollgate" / "catalog.toml"
LOOPBACK = "127.0.0.1"


class StartError(Exception):
    """What keeps the gateway from starting, in words for the person at the terminal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Running parts. `key`: of `account`, to be shown."""

    dynamodb_url: str
    demo_port: int
    key: str
    account: Account


def listen(port: int, host: str = LOOPBACK) -> socket.socket:
    """Return a listening socket; port 0: a free one.

    Raises: StartError: the port is taken.
    """
    try:
        return socket.create_server((host, port), backlog=512)
    except OSError as error:
        raise StartError(
            f"port {port} is taken. Is another gateway running? Choose one: make run PORT=8080"
        ) from error


def make_catalog(
    backend: Backend, environment: Mapping[str, str], keys: Mapping[str, str], host: str = LOOPBACK
) -> str:
    """Return the packaged catalog with the demo's models, and those of vendors with a key.

    `keys`: by their names, see `make_local_catalog`. `host`: what the functions call this machine.
    """
    url = f"http://{host}:{backend.demo_port}/v1"
    patience_s = float(environment.get("TOLLGATE_DEMO_PATIENCE_S", "10"))
    return make_local_catalog(PACKAGED_CATALOG.read_text(), url, keys, patience_s=patience_s)


async def start_backend(
    stack: contextlib.AsyncExitStack,
    home: Path,
    environment: Mapping[str, str],
    demo_host: str = LOOPBACK,
) -> Backend:
    """Start the parts, which `stack` ends; `demo_host`: where the demo vendor listens.

    Raises: dynamodb.MissingToolError.
    """
    lib = await asyncio.to_thread(dynamodb.install, home)
    print("Starting DynamoDB Local, the demo upstream and the functions", flush=True)
    database = await _start_database(stack, lib, home / "dynamodb" / "data")
    listener = listen(0, demo_host)
    chunks_per_s = float(environment.get("TOLLGATE_DEMO_CHUNKS_PER_S", DEFAULT_CHUNKS_PER_S))
    await stack.enter_async_context(serving(make_demo_app(chunks_per_s), listener))
    key, account = await asyncio.to_thread(
        prepare_account, database.url, TABLE, home / "key", account_id=ACCOUNT, region=REGION
    )
    return Backend(
        dynamodb_url=database.url,
        demo_port=listener.getsockname()[1],
        key=key,
        account=account,
    )


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
