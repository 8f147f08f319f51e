"""The chat function, that kills itself at the moment named by TEST_KILL_AT. No test in here."""

import os
import random
from typing import Any

from mangum import Mangum

from functions.chat.app import app, get_services
from tests.torture.faults import Faults, FaultyWire

faults = Faults(dice=random.Random(0), rate=0.0, kill=os.environ.get("TEST_KILL_AT", ""))


def break_wire() -> None:
    """Put the killing wire under the function's own client."""
    wire = FaultyWire(get_services().ledger._client, lambda _: None)
    wire.faults = faults


async def killable(scope: Any, receive: Any, send: Any) -> None:
    """Serve a request; die after its first chunk, or after its [DONE], if told to."""

    async def note(message: Any) -> None:
        await send(message)
        body = message.get("body", b"")
        if body.startswith(b"data: {"):
            faults.die("first chunk")
        if body.startswith(b"data: [DONE]"):
            faults.die("done")

    await app(scope, receive, note)


break_wire()
handler = Mangum(killable, lifespan="off")
