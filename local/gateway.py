"""API Gateway on this machine: template.yaml's routes in front of sandboxes, as an ASGI app.

Serves each path with and without the stage (`/v1/…`, `/api/v1/…`). What differs from AWS is listed
in docs/local.md.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from tollgate.core.keys import PREFIX

from local.answers import Head, MalformedAnswerError, PreludeParser, read_proxy_answer
from local.rest_events import HttpRequest, make_event
from local.runtime_api import Kind, Part
from local.sandbox import Pool, SandboxError
from local.template import Api, Route

BODY_BYTES_MAX = 10 * 1024 * 1024
EVENT_BYTES_MAX = 6 * 1024 * 1024
_HOP_HEADERS = {"connection", "content-length", "transfer-encoding"}
_OWN_ANSWERS = {
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
    "REQUEST_TOO_LARGE": (413, "Request Too Long"),
    "INTEGRATION_FAILURE": (502, "Internal server error"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out"),
}


class OwnAnswerError(Exception):
    """The gateway answers by itself, as `kind` of the template's GatewayResponses says."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class CutStreamError(Exception):
    """The function's stream broke off: the client's connection is cut as API Gateway cuts it."""


def _path_to_tell(path: str) -> str:
    """Return the path for the console, unless somebody has put a key into it."""
    return "(a path with a key)" if PREFIX in unquote(path).lower() else path


@dataclass(slots=True, kw_only=True)
class RequestLine:
    """What is said of a request on the console. Neither headers nor bodies nor keys are in it."""

    method: str
    path: str
    began_s: float
    status: int = 0
    first_byte_s: float | None = None
    bytes_sent: int = 0

    def format(self) -> str:
        """Return one line."""
        now_s = time.monotonic()
        first_ms = int(((self.first_byte_s or now_s) - self.began_s) * 1000)
        all_ms = int((now_s - self.began_s) * 1000)
        moment = time.strftime("%H:%M:%S")
        return (
            f"{moment} {self.method} {self.path} {self.status}"
            f" first {first_ms} ms, all {all_ms} ms, {self.bytes_sent} bytes"
        )


class Gateway:
    """The ASGI app."""

    def __init__(
        self, api: Api, pools: Mapping[str, Pool], log: Callable[[str], None] = print
    ) -> None:
        """`log` gets a line a request."""
        self._api = api
        self._pools = pools
        self._log = log
        self._patterns = [(route.pattern, route) for route in api.routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = scope["raw_path"].decode("ascii", "backslashreplace")
        line = RequestLine(
            method=request.method, path=_path_to_tell(path), began_s=time.monotonic()
        )
        request_id = str(uuid.uuid4())
        try:
            response = await self._answer(request, path, request_id)
        except OwnAnswerError as error:
            response = self._answer_by_itself(error.kind, request_id)
        except ClientDisconnect:
            return
        line.status = response.status_code
        try:
            await response(scope, receive, _counting(send, line))
        finally:
            self._log(line.format())

    async def _answer(self, request: Request, path: str, request_id: str) -> Response:
        path = path.removeprefix(f"/{self._api.stage}")
        route, parameters = self._find(path, request.method)
        if request.method == "OPTIONS" and self._api.cors:
            return self._preflight()
        event = await self._read_event(request, path, route, parameters, request_id)
        try:
            parts = await self._pools[route.function].invoke(event, request_id)
        except SandboxError as error:
            raise OwnAnswerError("INTEGRATION_FAILURE") from error
        if route.is_streaming:
            return await _stream(parts)
        return await _buffer(parts, route)

    def _find(self, path: str, method: str) -> tuple[Route, dict[str, str]]:
        for pattern, route in self._patterns:
            found = pattern.fullmatch(path)
            if found and (route.method in ("ANY", method) or method == "OPTIONS"):
                return route, {name: unquote(value) for name, value in found.groupdict().items()}
        raise OwnAnswerError("MISSING_AUTHENTICATION_TOKEN")

    def _preflight(self) -> Response:
        cors = self._api.cors
        names = {"Origin": "AllowOrigin", "Methods": "AllowMethods", "Headers": "AllowHeaders"}
        headers = {
            f"Access-Control-Allow-{name}": cors[key] for name, key in names.items() if key in cors
        }
        return Response("{}", 200, headers, "application/json")

    async def _read_event(
        self,
        request: Request,
        path: str,
        route: Route,
        parameters: Mapping[str, str],
        request_id: str,
    ) -> bytes:
        body = await _read_body(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        event = make_event(
            HttpRequest(
                method=request.method,
                path=path,
                query=request.scope["query_string"].decode("latin-1"),
                headers=list(request.headers.items()),
                body=body,
                source_ip=request.client.host if request.client else "127.0.0.1",
            ),
            route,
            parameters,
            request_id=request_id,
            stage=self._api.stage,
            is_binary=kind in self._api.binary_types,
        )
        if len(event) > EVENT_BYTES_MAX:
            raise OwnAnswerError("REQUEST_TOO_LARGE")
        return event

    def _answer_by_itself(self, kind: str, request_id: str) -> Response:
        """Render what the template says of this answer, or of its whole class."""
        status, words = _OWN_ANSWERS[kind]
        family = "DEFAULT_4XX" if status < 500 else "DEFAULT_5XX"  # noqa: PLR2004 - HTTP
        own = self._api.answers.get(kind) or self._api.answers.get(family)
        if own is None:
            return Response(json.dumps({"message": words}), status, media_type="application/json")
        body = own.body.replace("$context.error.messageString", json.dumps(words))
        headers = {
            name: request_id if value == "context.requestId" else value.strip("'")
            for name, value in own.headers.items()
        }
        return Response(body, own.status or status, headers, "application/json")


def _counting(send: Send, line: RequestLine) -> Send:
    async def count(message: Any) -> None:
        if message["type"] == "http.response.body":
            line.first_byte_s = line.first_byte_s or time.monotonic()
            line.bytes_sent += len(message.get("body", b""))
        await send(message)

    return count


async def _read_body(request: Request) -> bytes:
    """Read the body; beyond the limit the rest is read away, so that the client gets an answer."""
    body, size = bytearray(), 0
    async for piece in request.stream():
        size += len(piece)
        if size <= BODY_BYTES_MAX:
            body += piece
    if size > BODY_BYTES_MAX:
        raise OwnAnswerError("REQUEST_TOO_LARGE")
    return bytes(body)


async def _buffer(parts: asyncio.Queue[Part], route: Route) -> Response:
    try:
        async with asyncio.timeout(route.timeout_s):
            part = await parts.get()
    except TimeoutError as error:
        raise OwnAnswerError("INTEGRATION_TIMEOUT") from error
    if part.kind is not Kind.BUFFERED:
        raise OwnAnswerError("INTEGRATION_FAILURE")
    try:
        head = read_proxy_answer(part.data)
    except MalformedAnswerError as error:
        raise OwnAnswerError("INTEGRATION_FAILURE") from error
    return _with_headers(Response(head.body, head.status), head)


async def _stream(parts: asyncio.Queue[Part]) -> Response:
    """Hold back until the prelude is complete, then pass chunks on as they come."""
    parser, head = PreludeParser(), None
    try:
        while head is None:
            part = await parts.get()
            if part.kind is not Kind.CHUNK:
                raise OwnAnswerError("INTEGRATION_FAILURE")
            head = parser.feed(part.data)
    except MalformedAnswerError as error:
        raise OwnAnswerError("INTEGRATION_FAILURE") from error
    return _with_headers(StreamingResponse(_body(head.body, parts), head.status), head)


async def _body(first: bytes, parts: asyncio.Queue[Part]) -> AsyncIterator[bytes]:
    if first:
        yield first
    while True:
        part = await parts.get()
        match part.kind:
            case Kind.CHUNK:
                yield part.data
            case Kind.END:
                return
            case _:
                raise CutStreamError


def _with_headers(response: Response, head: Head) -> Response:
    for name, value in head.headers:
        if name.lower() not in _HOP_HEADERS:
            response.headers.append(name, value)
    return response
