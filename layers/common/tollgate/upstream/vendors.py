"""One protocol for all kinds of channels: out in the vendor's form, back in OpenAI's.

    call ──▶ make_request ──▶ HTTP ──▶ open_decoder   a stream: bytes into events
                                  ├──▶ read_answer    a whole answer
                                  └──▶ read_error     any other status

`openai` and `azure` differ in addresses and credentials only and are both here; `bedrock` is in
`upstream.bedrock`. Connections, time-outs and failover are the same for all: none is here.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Protocol

from tollgate.core.catalog import Channel, ChannelKind, Route
from tollgate.upstream.error_bodies import ErrorBody, parse_error_body
from tollgate.upstream.sse import ServerEvent, SseParser
from tollgate.upstream.vendor_requests import Call, VendorRequest, make_request


class EventDecoder(Protocol):
    """Puts one stream's bytes together, however the network cut them."""

    def feed(self, chunk: bytes) -> Iterable[ServerEvent]:
        """Return the events that `chunk` completes.

        Raises: UpstreamBrokenError, perhaps behind the last good event: the bytes are none of this
            vendor's, or an event is too large.
        """

    def end(self) -> list[ServerEvent]:
        """Return what the end of the stream completes. Raises as `feed`."""


class Vendor(Protocol):
    """One kind of channel; stateless, shared by all requests of a process."""

    async def make_request(
        self, call: Call, *, channel: Channel, route: Route, key: str | None
    ) -> VendorRequest:
        """Return the request, ready to send. `key` None: the channel has none.

        Raises: RequestUnsupportedError: channels of this kind cannot do what is asked.
            ChannelFailedError: there is nothing to sign with.
        """

    def open_decoder(self, event_bytes_max: int) -> EventDecoder:
        """Return the decoder of one stream; its events are OpenAI's chunks."""

    def read_answer(self, raw: Mapping[str, object]) -> Mapping[str, object]:
        """Return a whole answer in OpenAI's form, errors under status 200 too."""

    def read_error(
        self, status: int, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, ErrorBody]:
        """Return the status that an answer other than 2xx stands for, and what its body says."""


class OpenAiVendor:
    """Vendors that speak OpenAI's form themselves: kinds `openai` and `azure`."""

    async def make_request(
        self, call: Call, *, channel: Channel, route: Route, key: str | None
    ) -> VendorRequest:
        """Return the request for the channel's address, with its key."""
        return make_request(call, channel=channel, route=route, key=key)

    def open_decoder(self, event_bytes_max: int) -> EventDecoder:
        """Return a parser of server-sent events."""
        return SseParser(event_bytes_max)

    def read_answer(self, raw: Mapping[str, object]) -> Mapping[str, object]:
        """Return the answer as it is."""
        return raw

    def read_error(
        self, status: int, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, ErrorBody]:
        """Return the status as it is, and what the body says."""
        del headers
        return status, parse_error_body(body)


@cache
def find_vendor(kind: ChannelKind) -> Vendor:
    """Return how channels of `kind` are spoken to, the same object each time."""
    if kind == "bedrock":
        # Late, so that a process without such a channel does not load what it needs.
        from tollgate.upstream.bedrock.signing import RoleCredentials  # noqa: PLC0415
        from tollgate.upstream.bedrock.vendor import BedrockVendor  # noqa: PLC0415

        return BedrockVendor(RoleCredentials())
    return OpenAiVendor()
