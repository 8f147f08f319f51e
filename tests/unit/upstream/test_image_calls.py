"""Addresses and bodies of image requests."""

import json
from typing import Any

import pytest
from tollgate.core.catalog import Channel, Route
from tollgate.core.multipart import parse_form
from tollgate.upstream.image_calls import ImageCall
from tollgate.upstream.pieces import Pieces
from tollgate.upstream.vendor_requests import VendorRequest, make_request

from tests.fakes.models import make_model

ROUTE = Route(channel="c", upstream_model="my deployment/1")
OPENAI = Channel(name="c", base_url="https://vendor.example/v1")
FORM = parse_form(
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm-official\r\n'
    b'--b\r\nContent-Disposition: form-data; name="official"\r\n\r\ntrue\r\n'
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="\xc3\x9f.png"\r\n\r\n\xff\r\n'
    b"--b--\r\n",
    "multipart/form-data; boundary=b",
)


def make(
    channel: Channel = OPENAI, *, task: Any = "edits", body: Any = None, is_stream: bool = False
) -> VendorRequest:
    call = ImageCall(
        model=make_model(ROUTE),
        task=task,
        body={} if body is None else body,
        is_stream=is_stream,
        budget_s=lambda: 1.0,
    )
    return make_request(call, channel=channel, route=ROUTE, key="sk-1")


@pytest.mark.parametrize("task", ["generations", "edits", "variations"])
@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (None, "https://res.example/openai/v1/images/{}"),
        (
            "2025-04-01-preview",
            (
                "https://res.example/openai/deployments/my%20deployment%2F1/images/{}"
                "?api-version=2025-04-01-preview"
            ),
        ),
    ],
)
def test_addresses(task: str, version: str | None, expected: str) -> None:
    """OpenAI's path, Azure's two."""
    azure = Channel(name="c", kind="azure", base_url="https://res.example", api_version=version)

    assert make(task=task).url == f"https://vendor.example/v1/images/{task}"
    assert make(azure, task=task).url == expected.format(task)


def test_json_body() -> None:
    """The caller's fields with the route's model; no output limit, no stream options."""
    made = make(body={"prompt": "p", "stream": True, "n": 2}, is_stream=True)

    assert isinstance(made.content, bytes)
    assert json.loads(made.content) == {
        "prompt": "p", "stream": True, "n": 2, "model": "my deployment/1",
    }  # fmt: skip
    assert made.headers["content-type"] == "application/json"
    assert made.headers["accept"] == "text/event-stream"
    assert made.headers["content-length"] == str(len(made.content))


async def test_form_body() -> None:
    """Boundary, headers and file names stay; the model is the route's, `official` is gone."""
    made = make(body=FORM)

    assert isinstance(made.content, Pieces)
    sent = b"".join([buffer async for buffer in made.content])
    assert sent == (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nmy deployment/1\r\n'
        b"--b\r\n"
        b'Content-Disposition: form-data; name="image"; filename="\xc3\x9f.png"\r\n\r\n\xff\r\n'
        b"--b--\r\n"
    )
    assert made.headers["content-type"] == "multipart/form-data; boundary=b"
    assert made.headers["content-length"] == str(len(sent))
    assert made.headers["accept"] == "application/json"
