"""The chat function with connections made at its start, to be lost in a snapshot. No test here."""

import asyncio
import contextlib
import os
from pathlib import Path

from snapshot_restore_py import register_before_snapshot
from tollgate.errors import InvalidKeyError

from functions.chat import app as chat
from tests.integration.runtime.sockets import list_peers

handler = chat.handler


async def connect() -> None:
    """Ask the database for a key, and the upstream for anything."""
    with contextlib.suppress(InvalidKeyError):
        await chat.get_services().authenticator.authenticate(f"Bearer {os.environ['TEST_KEY']}")
    await chat.get_metering().upstream._http.get(os.environ["TEST_UPSTREAM"])


def note_peers() -> None:
    """Write down what is connected; runs first, since the last hook registered does."""
    Path(os.environ["TEST_PEERS"]).write_text("\n".join(sorted(list_peers("self"))))


asyncio.get_event_loop().run_until_complete(connect())
register_before_snapshot(note_peers)
