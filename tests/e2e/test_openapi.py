"""What the running gateway answers is what its OpenAPI document promises, on every route."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from local.sandbox import ROOT
from tests.e2e.gateway import Gateway

DOCUMENT = json.loads((ROOT / "docs" / "openapi.json").read_text())
OPERATIONS = [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]
MESSAGES = [{"role": "user", "content": "hello there"}]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
FILES = {"image": ("a.png", PNG, "image/png")}
REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "/v1/chat/completions": {"json": {"model": "demo-echo", "messages": MESSAGES}},
    "/v1/images/generations": {"json": {"model": "demo-image", "prompt": "a gate"}},
    "/v1/images/edits": {"data": {"model": "demo-image", "prompt": "a gate"}, "files": FILES},
    "/v1/images/variations": {"data": {"model": "demo-image"}, "files": FILES},
}
STREAMS = ["/v1/chat/completions", "/v1/images/generations"]


def send(gateway: Gateway, method: str, path: str, **options: Any) -> httpx.Response:
    root = gateway.base_url.removesuffix("/v1")
    headers = {"authorization": f"Bearer {gateway.api_key}"}
    address = root + path.replace("{model}", "demo-echo")
    return httpx.request(method, address, headers=headers, timeout=60, **options)


def check(answer: object, schema: Mapping[str, Any]) -> None:
    """Fail on the first thing that the schema forbids."""
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer)


def schema_of(method: str, path: str, kind: str) -> Mapping[str, Any]:
    content = DOCUMENT["paths"][path][method]["responses"]["200"]["content"]
    schema: Mapping[str, Any] = content[kind]["schema"]
    return schema


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_answer_has_the_promised_form(gateway: Gateway, method: str, path: str) -> None:
    """A good request is answered as its schema says, with a request id."""
    answer = send(gateway, method, path, **REQUESTS.get(path, {}))

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-request-id"]
    check(answer.json(), schema_of(method, path, "application/json"))


@pytest.mark.parametrize("path", STREAMS)
def test_stream_has_the_promised_form(gateway: Gateway, path: str) -> None:
    """Each event of a stream is as its schema says."""
    answer = send(gateway, "post", path, json={**REQUESTS[path]["json"], "stream": True})
    data = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    events = [json.loads(text) for text in data if text != "[DONE]"]

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert events
    for event in events:
        check(event, schema_of("post", path, "text/event-stream"))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_error_has_the_promised_form(gateway: Gateway, method: str, path: str) -> None:
    """Without a key every route answers 401 in OpenAI's form."""
    root = gateway.base_url.removesuffix("/v1")
    answer = httpx.request(method, root + path.replace("{model}", "demo-echo"), timeout=60)

    assert answer.status_code == 401
    check(answer.json(), {"$ref": "#/components/schemas/Error"})


@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_options_is_answered(gateway: Gateway, path: str) -> None:
    """A browser's preflight passes on every route."""
    root = gateway.base_url.removesuffix("/v1")
    answer = httpx.request("OPTIONS", root + path.replace("{model}", "demo-echo"), timeout=60)

    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] == "*"


def test_listed_requests_have_the_promised_form(gateway: Gateway) -> None:
    """The list of requests says of a chat and of an image what its schema says."""
    for path in STREAMS:
        send(gateway, "post", path, **REQUESTS[path])
    answer = send(gateway, "get", "/v1/billing/requests", params={"limit": 2}).json()

    assert [entry["endpoint"] for entry in answer["data"]] == [
        "images.generations",
        "chat.completions",
    ]
    check(answer, schema_of("get", "/v1/billing/requests", "application/json"))
