"""Channels of kind `bedrock`: Converse and ConverseStream, signed with the function's own role.

{base_url}/model/{model}/converse           a whole answer, JSON
{base_url}/model/{model}/converse-stream    frames of application/vnd.amazon.eventstream
"""

import asyncio
from collections.abc import Mapping
from urllib.parse import quote

from botocore.credentials import ReadOnlyCredentials

from tollgate.core.catalog import Channel, Route
from tollgate.core.json_text import dump
from tollgate.errors import ConfigurationError
from tollgate.upstream.bedrock.answer import read_answer
from tollgate.upstream.bedrock.events import ConverseDecoder
from tollgate.upstream.bedrock.exceptions import read_answer_error
from tollgate.upstream.bedrock.request import make_body
from tollgate.upstream.bedrock.signing import CredentialSource, sign
from tollgate.upstream.error_bodies import ErrorBody
from tollgate.upstream.failures import ChannelFailedError, RequestUnsupportedError
from tollgate.upstream.vendor_requests import USER_AGENT, Call, ChatCall, VendorRequest
from tollgate.upstream.vendors import EventDecoder


class BedrockVendor:
    """A `Vendor` for chat; the catalog has no image model on such a channel."""

    def __init__(self, credentials: CredentialSource) -> None:
        self._credentials = credentials

    async def make_request(
        self, call: Call, *, channel: Channel, route: Route, key: str | None
    ) -> VendorRequest:
        """Return the signed request; the channel's own headers are sent beside those signed.

        Raises: RequestUnsupportedError; ChannelFailedError: there are no credentials.
        """
        del key
        if not isinstance(call, ChatCall):
            raise RequestUnsupportedError("This model only chats.", param="model")
        url = _url(channel, route, is_stream=call.is_stream)
        body = dump(make_body(call, route.upstream_model))
        own = {name.lower(): value for name, value in channel.headers.items()}
        signed = sign(
            url,
            body,
            {"content-type": "application/json"},
            region=channel.region or "",
            by=await self._find_credentials(call),
        )
        headers = _headers(call, len(body)) | own | signed
        return VendorRequest(url=url, headers=headers, content=body)

    async def _find_credentials(self, call: Call) -> ReadOnlyCredentials:
        try:
            async with asyncio.timeout(call.budget_s()):
                return await self._credentials.current()
        except TimeoutError as error:
            raise ChannelFailedError("timeout", is_resting=False) from error
        except ConfigurationError as error:
            raise ChannelFailedError("credentials", is_resting=False) from error

    def open_decoder(self, event_bytes_max: int) -> EventDecoder:
        """Return a decoder of frames, of which botocore takes up to 24 MB each."""
        del event_bytes_max
        return ConverseDecoder()

    def read_answer(self, raw: Mapping[str, object]) -> Mapping[str, object]:
        """Return Converse's answer as a chat completion."""
        return read_answer(raw)

    def read_error(
        self, status: int, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, ErrorBody]:
        """Return what an exception of AWS stands for."""
        return read_answer_error(status, headers, body)


def _url(channel: Channel, route: Route, *, is_stream: bool) -> str:
    """Return the address; ids have colons, and those that are ARNs slashes."""
    operation = "converse-stream" if is_stream else "converse"
    return f"{channel.base_url}/model/{quote(route.upstream_model, safe='')}/{operation}"


def _headers(call: Call, content_length: int) -> dict[str, str]:
    accept = "application/vnd.amazon.eventstream" if call.is_stream else "application/json"
    return {
        "accept": accept,
        "accept-encoding": "identity",
        "content-length": str(content_length),
        "user-agent": USER_AGENT,
    }
