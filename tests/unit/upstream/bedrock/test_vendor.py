"""Address, headers and signature of a request to Bedrock."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import CredentialRetrievalError
from tollgate.core.catalog import Channel, Route
from tollgate.errors import ConfigurationError
from tollgate.upstream.bedrock.signing import RoleCredentials
from tollgate.upstream.bedrock.vendor import BedrockVendor
from tollgate.upstream.failures import ChannelFailedError, RequestUnsupportedError
from tollgate.upstream.image_calls import ImageCall
from tollgate.upstream.vendor_requests import ChatCall, VendorRequest
from tollgate.upstream.vendors import OpenAiVendor, find_vendor

from tests.fakes.bedrock import FixedCredentials, is_signed
from tests.fakes.models import make_model

PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc"


async def make(model: str, *, is_stream: bool = False, **headers: str) -> VendorRequest:
    route = Route(channel="c", upstream_model=model)
    call = ChatCall(
        model=make_model(route),
        body={"messages": [{"role": "user", "content": "hello"}]},
        output_limit=None,
        is_stream=is_stream,
        budget_s=lambda: 1.0,
    )
    channel = Channel(
        name="c",
        kind="bedrock",
        base_url="https://bedrock-runtime.eu-west-1.amazonaws.com",
        region="eu-west-1",
        headers=headers,
    )
    vendor = BedrockVendor(FixedCredentials())
    return await vendor.make_request(call, channel=channel, route=route, key=None)


@pytest.mark.parametrize(
    ("model", "is_stream", "expected"),
    [
        ("amazon.nova-x-v1:0", False, "/model/amazon.nova-x-v1%3A0/converse"),
        ("amazon.nova-x-v1:0", True, "/model/amazon.nova-x-v1%3A0/converse-stream"),
        (
            PROFILE,
            True,
            (
                "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012"
                "%3Aapplication-inference-profile%2Fabc/converse-stream"
            ),
        ),
    ],
)
async def test_address(model: str, expected: str, *, is_stream: bool) -> None:
    """Colons and slashes of an id are escaped: it is one part of the path."""
    made = await make(model, is_stream=is_stream)

    assert made.url.removeprefix("https://bedrock-runtime.eu-west-1.amazonaws.com") == expected


@pytest.mark.parametrize("model", ["amazon.nova-x-v1:0", PROFILE])
async def test_signature(model: str) -> None:
    """The signature is the one that Signature Version 4 describes, for exactly these bytes."""
    made = await make(model, authorization="Bearer stale")
    headers = dict(made.headers) | {"host": "bedrock-runtime.eu-west-1.amazonaws.com"}
    path = made.url.removeprefix("https://bedrock-runtime.eu-west-1.amazonaws.com")
    body = bytes(made.content)  # type: ignore[arg-type]

    assert is_signed(headers, path, body, region="eu-west-1")
    assert not is_signed(headers, path, body + b" ", region="eu-west-1")
    assert not is_signed(headers, path, body, region="us-east-1")
    assert headers["x-amz-security-token"] == "session"


async def test_headers_and_body() -> None:
    """Unbuffered and uncompressed, with the channel's own headers; no secret in the repr."""
    made = await make("m", is_stream=True, **{"X-Team": "sales"})

    assert made.headers["accept"] == "application/vnd.amazon.eventstream"
    assert made.headers["accept-encoding"] == "identity"
    assert made.headers["content-length"] == str(len(made.content))
    assert made.headers["x-team"] == "sales"
    assert json.loads(bytes(made.content)) == {  # type: ignore[arg-type]
        "messages": [{"role": "user", "content": [{"text": "hello"}]}]
    }
    assert "AKID" not in repr(made)


async def test_images_are_not_made_there() -> None:
    """The catalog has no such route; should there be one, the next channel is asked."""
    route = Route(channel="c", upstream_model="m")
    call = ImageCall(
        model=make_model(route),
        task="generations",
        body={},
        is_stream=False,
        budget_s=lambda: 1.0,
    )
    channel = Channel(name="c", kind="bedrock", base_url="https://x.test", region="us-east-1")

    with pytest.raises(RequestUnsupportedError):
        await BedrockVendor(FixedCredentials()).make_request(
            call, channel=channel, route=route, key=None
        )


async def test_credentials_are_found_once() -> None:
    """What botocore found is kept, and asked each time, since it renews itself."""
    found: list[Credentials] = []

    def find() -> Credentials:
        found.append(Credentials("AKID", "secret", "session"))
        return found[-1]

    source = RoleCredentials(find)

    assert (
        await source.current()
        == await source.current()
        == ReadOnlyCredentials("AKID", "secret", "session", None)
    )
    assert len(found) == 1


def _fail() -> Any:
    raise CredentialRetrievalError(provider="container-role", error_msg="timed out")


@pytest.mark.parametrize("find", [lambda: None, _fail])
async def test_no_credentials(find: Callable[[], Any]) -> None:
    """None at all, or none to be had now: the operator's trouble, and asked anew next time."""
    with pytest.raises(ConfigurationError):
        await RoleCredentials(find).current()


async def test_credentials_take_no_longer_than_there_is_time() -> None:
    """A role's server that hangs costs the channel, not the request's whole time."""

    class Hanging:
        async def current(self) -> ReadOnlyCredentials:
            await asyncio.Event().wait()
            raise AssertionError

    route = Route(channel="c", upstream_model="m")
    call = ChatCall(
        model=make_model(route), body={}, output_limit=None, is_stream=False, budget_s=lambda: 0.0
    )
    channel = Channel(name="c", kind="bedrock", base_url="https://x.test", region="us-east-1")
    with pytest.raises(ChannelFailedError) as caught:
        await BedrockVendor(Hanging()).make_request(call, channel=channel, route=route, key=None)

    assert (caught.value.reason, caught.value.is_resting) == ("timeout", False)


def test_kinds() -> None:
    """Each kind of channel has one vendor in a process."""
    assert isinstance(find_vendor("openai"), OpenAiVendor)
    assert isinstance(find_vendor("azure"), OpenAiVendor)
    assert isinstance(find_vendor("bedrock"), BedrockVendor)
    assert find_vendor("bedrock") is find_vendor("bedrock")
