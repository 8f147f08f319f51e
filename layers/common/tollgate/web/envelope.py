"""Around every answer: `x-request-id`, CORS, OPTIONS, the last catch, and the line of metrics.

Hand-written because starlette's CORS middleware adds nothing without an `Origin` header, and its
500s are made outside of any middleware, without CORS.
"""

from collections.abc import MutableMapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tollgate.web.errors import JSON_HEADERS, answer_error, log_unforeseen
from tollgate.web.metrics import LogMetrics, find_metrics, note_error
from tollgate.web.requests import find_request_id

ALLOWED_METHODS = "GET,POST,OPTIONS"
ALLOWED_HEADERS = (
    "accept,authorization,cache-control,content-type,http-referer,idempotency-key,openai-beta,"
    "openai-organization,openai-project,x-requested-with,x-stainless-arch,x-stainless-async,"
    "x-stainless-helper-method,x-stainless-lang,x-stainless-os,x-stainless-package-version,"
    "x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout,"
    "x-title,x-tollgate-keepalive"
)
EXPOSED_HEADERS = (
    "retry-after,x-request-id,x-should-retry,x-tollgate-channel,x-tollgate-model,"
    "x-tollgate-output-limit"
)


class Envelope:
    """ASGI middleware; the request's id is left in `scope["state"]["request_id"]`."""

    def __init__(
        self, app: ASGIApp, *, cors_origin: str, log_metrics: LogMetrics | None = None
    ) -> None:
        """`cors_origin`: value of `access-control-allow-origin`."""
        self._app = app
        self._log_metrics = log_metrics
        self._cors = [
            (b"access-control-allow-origin", cors_origin.encode()),
            (b"access-control-expose-headers", EXPOSED_HEADERS.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its answer's head completed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = find_request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        is_started = False

        async def send_enveloped(message: MutableMapping[str, object]) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                ours = [(b"x-request-id", request_id.encode()), *self._cors]
                message["headers"] = [*message.get("headers", ()), *ours]  # type: ignore[misc]
            await send(message)

        if scope["method"] == "OPTIONS":
            await _answer_options(send_enveloped)
            return
        try:
            await self._app(scope, receive, send_enveloped)
        except Exception as error:  # noqa: BLE001 - the last row of the error table
            log_unforeseen(error)
            note_error(scope, error)
            if not is_started:
                await _answer_unforeseen(send_enveloped, error)
        finally:
            if self._log_metrics is not None:
                self._log_metrics(find_metrics(scope), request_id)


async def _answer_options(send: Send) -> None:
    headers = [
        (b"access-control-allow-methods", ALLOWED_METHODS.encode()),
        (b"access-control-allow-headers", ALLOWED_HEADERS.encode()),
        (b"access-control-max-age", b"86400"),
    ]
    start: Message = {"type": "http.response.start", "status": 204, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": b""})


async def _answer_unforeseen(send: Send, error: Exception) -> None:
    answer = answer_error(error)
    headers = [(name.encode(), value.encode()) for name, value in JSON_HEADERS.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
