"""One chat call as the HTTP request that a channel's vendor expects. Pure: no I/O.

    openai        {base_url}/chat/completions             authorization: Bearer …
    azure, v1     {base_url}/openai/v1/chat/completions   api-key: …
    azure, dated  {base_url}/openai/deployments/{model}/chat/completions?api-version=…   api-key: …

Nothing of the caller's headers is forwarded. Source of Azure's two forms: Azure OpenAI's "API
version lifecycle": the v1 path takes no date, and `model` in the body names the deployment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from tollgate.core.catalog import Channel, Model, Route
from tollgate.core.json_text import dump

USER_AGENT = "tollgate/0.1"
_AZURE_V1_VERSIONS = frozenset({None, "", "v1"})
_OUTPUT_LIMIT_FIELDS = ("max_completion_tokens", "max_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """One chat request, for whichever channel answers it.

    `body`: the caller's, without affixes; `model` and the output limit are set for each channel.
    `output_limit`: tokens; None leaves the caller's own field as it is. `budget_s` tells the
    seconds left until the upstream must be stopped.
    """

    model: Model
    body: Mapping[str, object]
    output_limit: int | None
    is_stream: bool
    budget_s: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorRequest:
    """A POST, ready to send. Not to be logged: `headers` hold the key."""

    url: str
    headers: Mapping[str, str]
    content: bytes

    def __repr__(self) -> str:
        """Return the address only."""
        return f"VendorRequest({self.url!r})"


def make_request(
    call: ChatCall, *, channel: Channel, route: Route, key: str | None
) -> VendorRequest:
    """Return the request for `channel`. `key` None: the channel wants none."""
    return VendorRequest(
        url=_url(channel, route),
        headers=_headers(call, channel) | _credentials(channel, key),
        content=dump(_body(call, channel, route)),
    )


def _url(channel: Channel, route: Route) -> str:
    base = channel.base_url.rstrip("/")
    if channel.kind == "openai":
        return f"{base}/chat/completions"
    if channel.api_version in _AZURE_V1_VERSIONS:
        return f"{base}/openai/v1/chat/completions"
    deployment = quote(route.upstream_model, safe="")
    version = quote(channel.api_version or "", safe="")
    return f"{base}/openai/deployments/{deployment}/chat/completions?api-version={version}"


def _headers(call: ChatCall, channel: Channel) -> dict[str, str]:
    """The channel's own headers come last: an operator may override any but the key."""
    return {
        "accept": "text/event-stream" if call.is_stream else "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    } | {name.lower(): value for name, value in channel.headers.items()}


def _credentials(channel: Channel, key: str | None) -> dict[str, str]:
    if key is None:
        return {}
    return {"api-key": key} if channel.kind == "azure" else {"authorization": f"Bearer {key}"}


def _body(call: ChatCall, channel: Channel, route: Route) -> dict[str, object]:
    body = dict(call.body) | {"model": route.upstream_model}
    if call.is_stream:
        options = body.get("stream_options")
        asked = options if isinstance(options, Mapping) else {}
        body |= {"stream": True, "stream_options": {**asked, "include_usage": True}}
    limit = _output_limit(call)
    for field in _OUTPUT_LIMIT_FIELDS:
        body.pop(field, None)
    return body if limit is None else body | {channel.output_limit_field: limit}


def _output_limit(call: ChatCall) -> object:
    """Return the one limit that the vendor is told, in the one field that it reads.

    The hold paid for the smaller of the caller's two. A vendor that reads the other one would
    answer at the account's cost, or refuse a field that it does not know.
    """
    if call.output_limit is not None:
        return call.output_limit
    asked = [
        limit for field in _OUTPUT_LIMIT_FIELDS if isinstance(limit := call.body.get(field), int)
    ]
    return min(asked, default=None)
