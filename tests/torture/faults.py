"""A wire to DynamoDB that fails, in the place of the client's own: below its tries and its reading.

lost before        the request never arrives           lost after     it takes effect, no answer
late               no answer; it arrives seconds later twice          two copies, at once
copy later         an answer, and a copy seconds later slow           it arrives late, answered
throttled, 500     an error, nothing took effect       500 after      an error, it took effect
kill before/after  SIGKILL of this process             kill is chosen by verb, not by chance

What is late comes from whoever `post_later` is, so also when this process is dead.
"""

import json
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPMessage
from typing import Any

from tollgate.aws.answers import Answer
from tollgate.aws.errors import AwsUnansweredError
from tollgate.aws.wire import Wire

FAULTS = (
    "lost before",
    "lost after",
    "late",
    "twice",
    "copy later",
    "slow",
    "throttled",
    "500",
    "500 after",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A signed request that arrives `delay_s` from now; this database takes old signatures."""

    url: str
    headers: dict[str, str]
    body: bytes
    delay_s: float


@dataclass(slots=True, kw_only=True)
class Faults:
    """What happens to the calls of one task: a request, a sweep, an operator's ruling.

    `rate`: of calls that fail by chance; `once`: `verb fault`, what befalls the first call of a
    verb; `kill`: see `die`.
    """

    dice: random.Random
    rate: float = 0.0
    once: str = ""
    kill: str = ""
    seen: list[str] = field(default_factory=list)

    def choose(self, verb: str) -> str:
        """Return the fault of the next call, or nothing."""
        if self.once.startswith(f"{verb} "):
            fault, self.once = self.once.removeprefix(f"{verb} "), ""
        else:
            fault = self.dice.choice(FAULTS) if self.dice.random() < self.rate else ""
        if fault:
            self.seen.append(f"{verb} {fault}")
        return fault

    def die(self, moment: str) -> None:
        """End this process as Lambda does, if this is the moment: at once, with no goodbye."""
        if moment == self.kill:
            os.kill(os.getpid(), signal.SIGKILL)


_UPDATES = {  # by what only its UpdateExpression has; the first that fits
    "taken": "reserve",
    ":more": "extend",
    "spent": "settle",
    "holds.#r": "release",
    "granted": "grant",
    "open_since": "move",
    "#status": "status",
    "budget": "budget",
}


def name_verb(operation: str, call: Mapping[str, Any]) -> str:
    """Return the ledger's verb that a call is, a transaction by its first write.

    What is no write has the operation's own name.
    """
    if "TransactItems" in call:
        [first] = call["TransactItems"][0].values()
        return name_write(operation, first)
    return name_write(operation, call)


def name_write(operation: str, write: Mapping[str, Any]) -> str:
    """Return the verb of one write, be it part of a transaction."""
    item = write.get("Item")
    if item is not None:
        return _name_put(operation, item)
    update = write.get("UpdateExpression", "")
    verb = next((verb for mark, verb in _UPDATES.items() if mark in update), operation)
    return "create" if verb == "TransactWriteItems" else verb


def _name_put(operation: str, item: Mapping[str, Any]) -> str:
    if "grant_id" in item:
        return "grant"
    if "outcome" in item:
        return "void" if operation == "PutItem" else "journal"
    return "create"


class FaultyWire:
    """Stands between one client and its database. `faults` may be changed between requests."""

    def __init__(self, client: Any, post_later: Callable[[Parcel], None]) -> None:
        """`post_later` delivers parcels, also when this process is dead."""
        self.faults = Faults(dice=random.Random(0))
        self._post_later = post_later
        self._wire: Wire = client._wire
        client._wire = self

    def post(self, headers: dict[str, str], body: bytes, *, is_fresh: bool = False) -> Answer:
        """Do what the client's own wire does, or what befalls it."""
        faults = self.faults
        operation = headers["x-amz-target"].partition(".")[2]
        verb = name_verb(operation, json.loads(body))
        faults.die(f"{verb} before")
        answer = self._deliver(headers, body, faults.choose(verb), is_fresh=is_fresh)
        faults.die(f"{verb} after")
        return answer

    def close(self) -> None:
        """Close the client's own wire."""
        self._wire.close()

    def _deliver(
        self, headers: dict[str, str], body: bytes, fault: str, *, is_fresh: bool
    ) -> Answer:
        if fault == "lost before":
            raise AwsUnansweredError(fault)
        if fault == "late":
            self._post_later(self._pack(headers, body))
            raise AwsUnansweredError(fault)
        if fault in ("throttled", "500"):
            return _refuse(fault)
        if fault == "slow":
            time.sleep(self.faults.dice.uniform(0.02, 0.2))
        if fault == "copy later":
            self._post_later(self._pack(headers, body))
        answer = self._wire.post(headers, body, is_fresh=is_fresh)
        if fault == "twice":
            self._wire.post(headers, body)
        if fault == "lost after":
            raise AwsUnansweredError(fault)
        return _refuse("500") if fault == "500 after" else answer

    def _pack(self, headers: dict[str, str], body: bytes) -> Parcel:
        return Parcel(
            url=f"http://{headers['host']}/",
            headers=headers,
            body=body,
            delay_s=self.faults.dice.choice((0.01, 0.1, 0.5, 2.0, 5.0, 20.0)),
        )


def _refuse(fault: str) -> Answer:
    """Return an error as DynamoDB words it."""
    status, kind = (
        (400, "ProvisionedThroughputExceededException")
        if fault == "throttled"
        else (500, "InternalServerError")
    )
    error = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "injected"}
    return Answer(status=status, headers=HTTPMessage(), body=json.dumps(error).encode())
