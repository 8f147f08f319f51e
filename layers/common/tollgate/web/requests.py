"""A request's body, id, time and deadline, read from the ASGI scope and bounded."""

import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from starlette.requests import Request

from tollgate.core.json_text import parse_object
from tollgate.errors import InvalidRequestError, RequestTooLargeError

KEEPALIVE_HEADER = "x-tollgate-keepalive"
MARGIN_S = 5.0  # kept back from the Lambda's time for the last frames and the ledger
SETTLE_S = 3.0  # of that, what is the ledger's alone
SILENCE_S_MAX = 290.0
_NO_DEADLINE_S = 900.0


async def read_body(request: Request, bytes_max: int) -> bytes:
    """Return the whole body; one that comes in one piece, as Lambda's does, is not copied.

    Raises: RequestTooLargeError.
    """
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        if piece:  # Starlette ends with an empty one; a single piece is joined without a copy
            pieces.append(piece)
        size += len(piece)
        if size > bytes_max:
            raise RequestTooLargeError(bytes_max=bytes_max)
    return b"".join(pieces)


async def read_json(request: Request, bytes_max: int) -> dict[str, object]:
    """Return the body's JSON object.

    Raises: RequestTooLargeError; InvalidRequestError: not a JSON object.
    """
    try:
        return parse_object(await read_body(request, bytes_max))
    except ValueError as error:
        raise InvalidRequestError(
            "We could not parse the JSON body of your request. The API expects a JSON object."
        ) from error


def wants_padding(request: Request) -> bool:
    """Whether a slow whole answer is to be kept alive by spaces before it.

    The caller has to ask: the first space commits status 200, whatever comes after it.

    Raises: InvalidRequestError: a value other than "whitespace".
    """
    value = request.headers.get(KEEPALIVE_HEADER)
    if value not in (None, "whitespace"):
        raise InvalidRequestError(
            f"'{KEEPALIVE_HEADER}' must be 'whitespace'.", param=KEEPALIVE_HEADER
        )
    return value is not None


def find_request_id(scope: Mapping[str, object]) -> str:
    """Return Lambda's id of this invocation, or a new one outside of Lambda.

    Lambda may run one invocation twice; both are the same request then. API Gateway's own id will
    not do: `sam local start-api` gives every request the same.
    """
    found = getattr(scope.get("aws.context"), "aws_request_id", None)
    return found if isinstance(found, str) and found else str(uuid.uuid4())


def find_request_time(scope: Mapping[str, object], now: datetime) -> datetime:
    """Return when API Gateway took the request (aware UTC, whole milliseconds), else `now`.

    Two runs of one invocation find the same time, and so the same usage record; a sandbox whose
    clock is wrong does not make holds that look old.
    """
    event = scope.get("aws.event")
    context = event.get("requestContext") if isinstance(event, Mapping) else None
    epoch_ms = context.get("requestTimeEpoch") if isinstance(context, Mapping) else None
    if not isinstance(epoch_ms, int):
        return now
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=epoch_ms)


def find_budget_s(scope: Mapping[str, object], *, is_silent: bool) -> Callable[[], float]:
    """Return a function that tells the seconds left for the upstream, by the Lambda's deadline.

    `is_silent`: nothing is sent until the answer is there. API Gateway cuts such a line after 300
    seconds, and an answer that nobody gets must not be paid for.
    """
    left_s = _find_left_s(scope) - MARGIN_S
    ends_at = time.monotonic() + (min(left_s, SILENCE_S_MAX) if is_silent else left_s)
    return lambda: ends_at - time.monotonic()


def find_send_s(scope: Mapping[str, object]) -> float:
    """Return the seconds from now in which all of the answer must be sent.

    Longer than the upstream's budget, whose end has to be told; and what is left then settles.
    """
    return _find_left_s(scope) - SETTLE_S


def _find_left_s(scope: Mapping[str, object]) -> float:
    remaining_ms = getattr(scope.get("aws.context"), "get_remaining_time_in_millis", None)
    return remaining_ms() / 1000 if callable(remaining_ms) else _NO_DEADLINE_S
