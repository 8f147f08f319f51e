"""What makes a function kill itself at the moment named by TEST_KILL_AT. No test in here."""

import os
import random
from collections.abc import Mapping
from typing import Any

from tests.torture.faults import Faults, FaultyWire

faults = Faults(dice=random.Random(0), kill=os.environ.get("TEST_KILL_AT", ""))


def break_wire(client: Any) -> None:
    """Put the killing wire under a function's DynamoDB client: dies before or after a verb."""
    FaultyWire(client, lambda _: None).faults = faults


def break_upstream(upstream: Any) -> None:
    """Die before the upstream is called, or once it has begun to answer."""
    send = upstream._http.send

    async def send_and_die(*arguments: Any, **options: Any) -> Any:
        faults.die("upstream before")
        response = await send(*arguments, **options)
        faults.die("upstream after")
        return response

    upstream._http.send = send_and_die


def killable(app: Any, marks: Mapping[bytes, str]) -> Any:
    """Return the app that dies after it has sent what begins with one of `marks`: its moment."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            await send(message)
            body = message.get("body", b"")
            for mark, moment in marks.items():
                if body.startswith(mark):
                    faults.die(moment)

        await app(scope, receive, note)

    return serve
