"""REST API events, as API Gateway hands them to Lambda (payload format 1.0)."""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from local.template import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request as it came in. `path` is percent-encoded as it was sent, without the stage."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    source_ip: str


def make_event(
    request: HttpRequest,
    route: Route,
    parameters: Mapping[str, str],
    *,
    request_id: str,
    stage: str,
    is_binary: bool,
) -> bytes:
    """Return the event as JSON; `is_binary`: the body goes as base64, else as UTF-8 text."""
    query = parse_qsl(request.query, keep_blank_values=True)
    body = (
        base64.b64encode(request.body).decode()
        if is_binary
        else request.body.decode("utf-8", "replace")
    )
    headers = _gather(request.headers)
    event: dict[str, Any] = {
        "resource": route.path,
        "path": request.path,
        "httpMethod": request.method,
        "headers": _last(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": _last(_gather(query)) or None,
        "multiValueQueryStringParameters": _gather(query) or None,
        "pathParameters": dict(parameters) or None,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "local",
            "resourcePath": route.path,
            "httpMethod": request.method,
            "path": f"/{stage}{request.path}",
            "stage": stage,
            "accountId": "000000000000",
            "apiId": "local",
            "requestId": request_id,
            "protocol": "HTTP/1.1",
            "domainName": _last(headers).get("host", "127.0.0.1"),
            "requestTimeEpoch": int(time.time() * 1000),
            "identity": {
                "sourceIp": request.source_ip,
                "userAgent": _last(headers).get("user-agent"),
            },
        },
        "body": body if request.body else None,
        "isBase64Encoded": is_binary,
    }
    return json.dumps(event).encode()


def _gather(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def _last(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: found[-1] for name, found in values.items()}
