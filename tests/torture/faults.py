"""A wire to DynamoDB that fails, as a hook of botocore's: `before-send` answers in its place.

lost before        the request never arrives           lost after     it takes effect, no answer
late               no answer; it arrives seconds later twice          two copies, at once
copy later         an answer, and a copy seconds later slow           it arrives late, answered
throttled, 500     an error, nothing took effect       500 after      an error, it took effect
kill before/after  SIGKILL of this process             kill is chosen by verb, not by chance
"""

import io
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

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
    """What happens to the calls of one request. `rate`: of calls that fail; `kill`: see `die`."""

    dice: random.Random
    rate: float
    kill: str = ""
    seen: list[str] = field(default_factory=list)

    def choose(self) -> str:
        """Return the fault of the next call, or nothing."""
        return self.dice.choice(FAULTS) if self.dice.random() < self.rate else ""

    def die(self, moment: str) -> None:
        """End this process as Lambda does, if this is the moment: at once, with no goodbye."""
        if moment == self.kill:
            os.kill(os.getpid(), signal.SIGKILL)


def name_verb(operation: str, update: str) -> str:
    """Return the ledger's verb that a call is; `update`: its UpdateExpression, if it has one."""
    marks = {"taken": "reserve", ":more": "extend", "spent": "settle", "holds.#r": "release"}
    if operation == "TransactWriteItems":
        return "journal"
    return next((verb for mark, verb in marks.items() if mark in update), operation)


class FaultyWire:
    """Stands between one client and its database. `faults` may be changed between requests."""

    def __init__(self, client: Any, post_later: Callable[[Parcel], None]) -> None:
        """`post_later` delivers parcels, also when this process is dead."""
        self.faults = Faults(dice=random.Random(0), rate=0.0)
        self._post_later = post_later
        self._session = URLLib3Session(timeout=30)
        client.meta.events.register("before-send.dynamodb", self._send)

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        faults = self.faults
        operation = request.headers["X-Amz-Target"].decode().partition(".")[2]
        verb = name_verb(operation, json.loads(request.body).get("UpdateExpression", ""))
        faults.die(f"{verb} before")
        fault = faults.choose()
        if fault:
            faults.seen.append(f"{verb} {fault}")
        response = self._deliver(request, fault)
        faults.die(f"{verb} after")
        return response

    def _deliver(self, request: AWSPreparedRequest, fault: str) -> AWSResponse:
        if fault == "lost before":
            raise ConnectionClosedError(endpoint_url=request.url)
        if fault == "late":
            self._post_later(self._pack(request))
            raise ReadTimeoutError(endpoint_url=request.url, error=None)
        if fault in ("throttled", "500"):
            return _refuse(request.url, fault)
        if fault == "slow":
            time.sleep(self.faults.dice.uniform(0.02, 0.2))
        if fault == "copy later":
            self._post_later(self._pack(request))
        response = self._session.send(request)
        if fault == "twice":
            self._session.send(request)
        if fault == "lost after":
            raise ReadTimeoutError(endpoint_url=request.url, error=None)
        return _refuse(request.url, "500") if fault == "500 after" else response

    def _pack(self, request: AWSPreparedRequest) -> Parcel:
        return Parcel(
            url=request.url,
            headers=dict(request.headers.items()),
            body=request.body,
            delay_s=self.faults.dice.choice((0.01, 0.1, 0.5, 2.0, 5.0, 20.0)),
        )


class _Body(io.BytesIO):
    """What botocore reads of urllib3's response."""

    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


def _refuse(url: str, fault: str) -> AWSResponse:
    """Return an error as DynamoDB words it."""
    status, kind = (
        (400, "ProvisionedThroughputExceededException")
        if fault == "throttled"
        else (500, "InternalServerError")
    )
    error = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "injected"}
    headers = {"content-type": "application/x-amz-json-1.0"}
    return AWSResponse(url, status, headers, _Body(json.dumps(error).encode()))
