"""One call as the HTTP request that a channel's vendor expects. Pure: no I/O.

    openai        {base_url}/chat/completions             authorization: Bearer …
    azure, v1     {base_url}/openai/v1/chat/completions   api-key: …
    azure, dated  {base_url}/openai/deployments/{model}/chat/completions?api-version=…   api-key: …

What is asked, and how its answer looks, is the call's own: chat's is here, the images' in
`image_calls`.

Nothing of the caller's headers is forwarded. Source of Azure's two forms: Azure OpenAI's "API
version lifecycle": the v1 path takes no date, and `model` in the body names the deployment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

from tollgate.core.catalog import Channel, Model, Route
from tollgate.core.json_text import dump
from tollgate.core.message_parts import find_message
from tollgate.core.metrics import RequestMetrics
from tollgate.core.openings import opens_completion
from tollgate.upstream.pieces import Pieces
from tollgate.upstream.sse import EVENT_BYTES_MAX

USER_AGENT = "tollgate/0.1"
_AZURE_V1_VERSIONS = frozenset({None, "", "v1"})
_OUTPUT_LIMIT_FIELDS = ("max_completion_tokens", "max_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerShape:
    """How a good answer looks: the list that a whole one must have, and the largest ones taken.

    `is_item`: whether an entry of the list says anything. `opens`: whether an event begins the
    answer, and does not only announce it. `has_long_gaps`: a later part may take as long as the
    first one, without a byte between them.
    """

    list_field: str
    opens: Callable[[Mapping[str, object]], bool]
    whole_bytes_max: int
    event_bytes_max: int
    is_item: Callable[[Mapping[str, object]], bool] = lambda _: True
    has_long_gaps: bool = False

    def has_items(self, raw: Mapping[str, object]) -> bool:
        """Whether a whole answer has its list, and anything in it."""
        found = raw.get(self.list_field)
        items = found if isinstance(found, list) else []
        return any(isinstance(item, Mapping) and self.is_item(item) for item in items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A request's body; pieces are sent in their order, and again on the next channel.

    `own_fields`: those that we have added, so that a vendor which refuses one refuses us and not
    the caller. `own_names`: the value is the caller's, its name there is not.
    """

    content_type: str
    body: bytes | Pieces
    own_fields: frozenset[str] = frozenset()
    own_names: frozenset[str] = frozenset()


class Call(Protocol):
    """One request, for whichever channel answers it."""

    @property
    def model(self) -> Model:
        """What is asked for; its routes say who is."""

    @property
    def is_stream(self) -> bool:
        """Whether events are asked for."""

    @property
    def is_padded(self) -> bool:
        """Whether the caller is kept alive while it waits for a whole answer."""

    @property
    def budget_s(self) -> Callable[[], float]:
        """Tells the seconds left until the upstream must be stopped."""

    @property
    def later_models(self) -> int:
        """How many other models may be asked if this one's channels fail."""

    @property
    def metrics(self) -> RequestMetrics:
        """Told which channels failed, and how soon one answered."""

    @property
    def path(self) -> str:
        """What follows the channel's address."""

    @property
    def shape(self) -> AnswerShape:
        """How a good answer looks."""

    def encode(self, channel: Channel, route: Route) -> Content:
        """Return the body as this channel wants it."""


_CHAT_SHAPE = AnswerShape(
    list_field="choices",
    opens=opens_completion,
    whole_bytes_max=64 * 1024 * 1024,
    event_bytes_max=EVENT_BYTES_MAX,
    is_item=lambda choice: find_message(choice) is not None,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """One chat request, a `Call`.

    `body`: the caller's, without affixes; `model` and the output limit are set for each channel.
    `output_limit`: tokens; None leaves the caller's own field as it is. The others: see `Call`.
    """

    model: Model
    body: Mapping[str, object]
    output_limit: int | None
    is_stream: bool
    is_padded: bool = False
    budget_s: Callable[[], float]
    later_models: int = 0
    metrics: RequestMetrics = field(default_factory=RequestMetrics)

    @property
    def path(self) -> str:
        """OpenAI's path of chat completions."""
        return "chat/completions"

    @property
    def shape(self) -> AnswerShape:
        """A completion has choices."""
        return _CHAT_SHAPE

    def encode(self, channel: Channel, route: Route) -> Content:
        """Return the caller's body with what this channel needs."""
        body = _body(self, channel, route)
        return Content(
            content_type="application/json",
            body=dump(body),
            own_fields=_own_fields(self, body),
            own_names=frozenset(
                name for name in _OUTPUT_LIMIT_FIELDS if name in body and not _is_sent(self, name)
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorRequest:
    """A POST, ready to send. Not to be logged: `headers` hold the key.

    `own_fields` and `own_names`: see `Content`.
    """

    url: str
    headers: Mapping[str, str]
    content: bytes | Pieces
    own_fields: frozenset[str] = frozenset()
    own_names: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        """Return the address only."""
        return f"VendorRequest({self.url!r})"


def make_request(call: Call, *, channel: Channel, route: Route, key: str | None) -> VendorRequest:
    """Return the request for `channel`. `key` None: the channel wants none."""
    content = call.encode(channel, route)
    return VendorRequest(
        url=_url(call, channel, route),
        headers=_headers(call, content, channel) | _credentials(channel, key),
        content=content.body,
        own_fields=content.own_fields,
        own_names=content.own_names,
    )


def _url(call: Call, channel: Channel, route: Route) -> str:
    base = channel.base_url.rstrip("/")
    if channel.kind == "openai":
        return f"{base}/{call.path}"
    if channel.api_version in _AZURE_V1_VERSIONS:
        return f"{base}/openai/v1/{call.path}"
    deployment = quote(route.upstream_model, safe="")
    version = quote(channel.api_version or "", safe="")
    return f"{base}/openai/deployments/{deployment}/{call.path}?api-version={version}"


def _headers(call: Call, content: Content, channel: Channel) -> dict[str, str]:
    """The channel's own headers come after ours: an operator may override any but the key."""
    headers = {
        "accept": "text/event-stream" if call.is_stream else "application/json",
        "accept-encoding": "identity",
        "content-type": content.content_type,
        "user-agent": USER_AGENT,
    } | {name.lower(): value for name, value in channel.headers.items()}
    # Without a length a body of pieces would be sent chunked, which some vendors refuse.
    return headers | {"content-length": str(len(content.body))}


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
    if not channel.has_stream_options:
        body.pop("stream_options", None)
    limit = output_limit(call)
    for name in _OUTPUT_LIMIT_FIELDS:
        body.pop(name, None)
    return body if limit is None else body | {channel.output_limit_field: limit}


def output_limit(call: ChatCall) -> object:
    """Return the one limit that the vendor is told, in the one field that it reads.

    The hold paid for the smaller of the caller's two. A vendor that reads the other one would
    answer at the account's cost, or refuse a field that it does not know.
    """
    return _asked_limit(call) if call.output_limit is None else call.output_limit


def _asked_limit(call: ChatCall) -> int | None:
    asked = (call.body.get(name) for name in _OUTPUT_LIMIT_FIELDS)
    return min((limit for limit in asked if isinstance(limit, int)), default=None)


def _own_fields(call: ChatCall, body: Mapping[str, object]) -> frozenset[str]:
    """Return what of `body` the caller has not asked for; a limit that we lowered is ours too."""
    is_limit_ours = call.output_limit not in {None, _asked_limit(call)}
    ours = _OUTPUT_LIMIT_FIELDS if is_limit_ours else ()
    added = () if _is_sent(call, "stream_options") else ("stream_options",)
    return frozenset(name for name in (*ours, *added) if name in body)


def _is_sent(call: ChatCall, name: str) -> bool:
    return call.body.get(name) is not None
