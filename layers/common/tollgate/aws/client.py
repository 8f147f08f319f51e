"""One service of AWS's: its operations as methods, in AWS's JSON, tried again as botocore does.

    client.get_item(TableName=…, Key=…)  ▶  POST, x-amz-target: DynamoDB_20120810.GetItem

An answer is what JSON makes of it: binary values and times stay the text and numbers that they are
on the wire, of which no item has any. A call may be made twice: whoever calls is idempotent.
Source: Smithy, "AWS JSON 1.0 protocol" and "1.1"; botocore.retries.standard.
"""

import json
import random
import re
import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from tollgate.aws.answers import Answer
from tollgate.aws.errors import AwsError, AwsRefusedError, AwsUnansweredError
from tollgate.aws.signing import Signer
from tollgate.aws.wire import Limits, Wire

_PROTOCOLS = {"dynamodb": ("DynamoDB_20120810", "1.0"), "secretsmanager": ("secretsmanager", "1.1")}
_WITH_TOKEN = {"TransactWriteItems"}  # one that is sent again is then known to be the same
# Both are botocore's, with what the two services' models call retryable; a test compares them.
_THROTTLED = {
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
}
_TRANSIENT = {
    "PriorRequestNotComplete",
    "ReplicatedWriteConflictException",
    "RequestTimeout",
    "RequestTimeoutException",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException"}
_TRANSIENT_STATUS = {500, 502, 503, 504}
_CODE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_dump = json.JSONEncoder(separators=(",", ":")).encode
# The longest waits before the second try; a later one's is twice as long. botocore's.
_PAUSE_S = 0.025
THROTTLED_PAUSE_S = 1.0


class AwsClient:
    """Calls a service's operations; threads may share it. It shows no secret."""

    def __init__(
        self,
        service: str,
        host: str,
        *,
        signer: Signer,
        wire: Wire,
        limits: Limits,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`host`: as the server knows itself, with its port if that is not the usual one."""
        self._prefix, version = _PROTOCOLS[service]
        self._headers = {"host": host, "content-type": f"application/x-amz-json-{version}"}
        self._signer = signer
        self._wire = wire
        self._limits = limits
        self._sleep = sleep

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        """Return the operation of that name: `get_item` for GetItem."""
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self.call, "".join(word.capitalize() for word in name.split("_")))

    def close(self) -> None:
        """Close all connections that are idle."""
        self._wire.close()

    def call(self, operation: str, **parameters: object) -> dict[str, Any]:
        """Return the operation's answer.

        Raises: AwsRefusedError, AwsUnansweredError: the last try's.
        """
        if operation in _WITH_TOKEN:
            parameters = {"ClientRequestToken": secrets.token_hex(16)} | parameters
        body = _dump(parameters).encode()
        for tried in range(1, self._limits.attempts_max + 1):
            try:
                return self._ask(operation, body, is_fresh=tried > 1)
            except AwsError as error:
                if tried == self._limits.attempts_max or not self._is_passing(error):
                    raise
                pause_s = THROTTLED_PAUSE_S if _is_throttled(error) else _PAUSE_S
            self._sleep(random.uniform(0, pause_s * 2 ** (tried - 1)))  # noqa: S311 - jitter
        raise AwsUnansweredError("no try is allowed")

    def _ask(self, operation: str, body: bytes, *, is_fresh: bool) -> dict[str, Any]:
        headers = self._signer.sign(
            self._headers | {"x-amz-target": f"{self._prefix}.{operation}"}, body
        )
        headers["user-agent"] = "tollgate"
        headers["accept-encoding"] = "identity"
        return _read(self._wire.post(headers, body, is_fresh=is_fresh))

    def _is_passing(self, error: AwsError) -> bool:
        """Return whether another try may end better: not after an answer about the item."""
        if not isinstance(error, AwsRefusedError):
            return True
        if error.code in _EXPIRED:
            return self._signer.renew()
        is_transient = error.code in _TRANSIENT or error.status in _TRANSIENT_STATUS
        return is_transient or _is_throttled(error)


def _is_throttled(error: AwsError) -> bool:
    return isinstance(error, AwsRefusedError) and (
        error.code in _THROTTLED or error.status == HTTPStatus.TOO_MANY_REQUESTS
    )


def _read(answer: Answer) -> dict[str, Any]:
    """Return what an answer says; a member that is null is none, as botocore has it.

    Raises: AwsRefusedError: no. AwsUnansweredError: it is not of this protocol.
    """
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        said = None
    is_object = isinstance(said, dict)
    found = {name: value for name, value in said.items() if value is not None} if is_object else {}
    if answer.status != HTTPStatus.OK:
        code = _read_code(answer, found) if is_object else ""
        raise AwsRefusedError(code or str(answer.status), status=answer.status, answer=found)
    if not is_object:
        raise AwsUnansweredError("the answer is no JSON object")
    return found


def _read_code(answer: Answer, said: Mapping[str, Any]) -> str:
    """Return `Code` of `Code`, `namespace#Code`, either with `:address` behind it; or nothing.

    It stands in logs, so it is a word or nothing.
    """
    told = said.get("__type") or answer.headers.get("x-amzn-errortype") or said.get("code")
    code = told.partition(":")[0].rpartition("#")[2] if isinstance(told, str) else ""
    return code if _CODE.fullmatch(code) else ""
