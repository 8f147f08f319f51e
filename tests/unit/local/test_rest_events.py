"""Events of the REST API."""

import base64
import json
from typing import Any

from local.rest_events import HttpRequest, make_event
from local.template import Route

ROUTE = Route(
    path="/v1/models/{model+}", method="GET", function="F", is_streaming=False, timeout_s=29
)


def event(body: bytes = b"", *, query: str = "", is_binary: bool = False) -> dict[str, Any]:
    request = HttpRequest(
        method="GET",
        path="/v1/models/a%2Fb",
        query=query,
        headers=[("host", "gate:3000"), ("x-one", "1"), ("x-one", "2"), ("user-agent", "cart")],
        body=body,
        source_ip="192.0.2.1",
    )
    made: dict[str, Any] = json.loads(
        make_event(
            request,
            ROUTE,
            {"model": "a/b"},
            request_id="r-1",
            stage="api",
            is_binary=is_binary,
        )
    )
    return made


def test_repeated_headers_are_kept_and_the_last_one_is_the_single() -> None:
    """API Gateway's rule for names that come twice."""
    made = event()

    assert made["headers"]["x-one"] == "2"
    assert made["multiValueHeaders"]["x-one"] == ["1", "2"]


def test_query_is_decoded_and_blank_values_are_kept() -> None:
    """Percent and plus are undone; `a=` is an empty string, no query at all is null."""
    made = event(query="a=x%20y&a=p+q&b=")

    assert made["multiValueQueryStringParameters"] == {"a": ["x y", "p q"], "b": [""]}
    assert made["queryStringParameters"] == {"a": "p q", "b": ""}
    assert event()["queryStringParameters"] is None
    assert event()["multiValueQueryStringParameters"] is None


def test_path_is_the_clients_and_parameters_are_decoded() -> None:
    """The stage is in the context's path only."""
    made = event()

    assert made["path"] == "/v1/models/a%2Fb"
    assert made["pathParameters"] == {"model": "a/b"}
    assert made["resource"] == made["requestContext"]["resourcePath"] == "/v1/models/{model+}"
    assert made["requestContext"]["path"] == "/api/v1/models/a%2Fb"


def test_context_says_who_asked() -> None:
    """Stage, request id, host, address and agent."""
    context = event()["requestContext"]

    assert (context["stage"], context["requestId"]) == ("api", "r-1")
    assert context["domainName"] == "gate:3000"
    assert context["identity"] == {"sourceIp": "192.0.2.1", "userAgent": "cart"}


def test_body_is_text_base64_or_null() -> None:
    """Binary bytes survive; bytes that are no UTF-8 are replaced in text; nothing is null."""
    raw = bytes(range(256))

    assert base64.b64decode(event(raw, is_binary=True)["body"]) == raw
    assert event("é".encode() + b"\xff")["body"] == "é\N{REPLACEMENT CHARACTER}"
    assert event()["body"] is None
