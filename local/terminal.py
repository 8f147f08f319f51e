"""A gateway in a terminal: one a home, told how to use, served until Ctrl-C, leaving nothing.

While it serves, `<home>/gateway.json` holds what scripts need: base_url, api_key, account,
dynamodb_url, table, pid.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from tollgate.core.units import format_points

from local.backend import ACCOUNT, TABLE, Backend, StartError
from local.ledger import write_private


async def serve_until_stopped(
    home: Path, start: Callable[[contextlib.AsyncExitStack], Awaitable[None]]
) -> None:
    """Start the parts, serve, and stop them in reverse.

    Raises: StartError: another gateway serves from this home; and what `start` raises.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_owning(home))
        starting = asyncio.ensure_future(start(stack))
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


def describe(stack: contextlib.AsyncExitStack, home: Path, base_url: str, backend: Backend) -> None:
    """Write `gateway.json`, which goes when `stack` ends."""
    described = home / "gateway.json"
    fields = {"base_url": base_url, "api_key": backend.key, "account": ACCOUNT}
    fields |= {"dynamodb_url": backend.dynamodb_url, "table": TABLE}
    write_private(described, json.dumps(fields | {"pid": os.getpid()}, indent=2))
    stack.callback(described.unlink, missing_ok=True)


def announce(base_url: str, backend: Backend, log: Path, note: str = "") -> None:
    """Print how to use the gateway. `note`: a line of what is special about it."""
    key, account = backend.key, backend.account
    print(
        f"""
Tollgate is running.{note}

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
The functions' log: {log}. Ctrl-C ends it; balances are kept.
""",
        flush=True,
    )
