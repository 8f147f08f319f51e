"""The catalog's shape: channels that answer, models that are sold, what each costs.

`core.catalog_toml` reads it; nothing here knows of files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tollgate.core.image_rates import ImageRate
from tollgate.core.prices import Price
from tollgate.core.units import Micropoints

type ChannelKind = Literal["openai", "azure", "bedrock"]
type ModelKind = Literal["chat", "image"]
type EncodingName = Literal["o200k_base", "cl100k_base"]
type OutputLimitField = Literal["max_tokens", "max_completion_tokens"]
type SearchKind = Literal["searxng", "tavily", "brave"]
type SafeSearch = Literal["off", "moderate", "strict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds that the gateway waits for one channel.

    API Gateway cuts a line after 300 silent seconds, so no first byte is waited for longer.
    """

    connect_s: float = 5.0
    first_byte_s: float = 290.0
    between_bytes_s: float = 120.0
    total_s: float = 840.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One upstream account.

    `base_url` ends before `/chat/completions` or `/images/…` (Azure: the resource's address;
    Bedrock: before `/model/`). `region` is Bedrock's, which takes no key: its requests are signed.
    `key_name` names the entry of the provider secret, or the environment variable, that holds the
    API key; None: no key is sent. `output_limit_field` is the parameter that this vendor reads an
    output limit from. `has_stream_options`: it knows the parameter that asks a stream for usage.
    """

    name: str
    kind: ChannelKind = "openai"
    base_url: str
    key_name: str | None = None
    api_version: str | None = None
    region: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    output_limit_field: OutputLimitField = "max_tokens"
    has_stream_options: bool = True
    timeouts: Timeouts = Timeouts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One channel's offer of a model: lower `priority` first, `weight` shares within a priority."""

    channel: str
    upstream_model: str
    priority: int = 0
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTokens:
    """How a model family counts an image's tokens; see `core.image_tokens`.

    `scheme` "tile": `base` + `tile` a 512 px square after OpenAI's two resizes; "patch": 32 px
    patches, at most `patches_max`, times `multiplier_percent` / 100; "flat": `base` at any size.
    """

    scheme: Literal["tile", "patch", "flat"]
    base: int = 0
    tile: int = 0
    patches_max: int = 1536
    multiplier_percent: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model on sale. `price` None: listed without a price, so refused as if it did not exist.

    The token limits and `tier_percents` are a chat model's. An image model has `image_output`, the
    output tokens of an image, where its price has tokens, and `image_defaults`: the size and
    quality that its vendor takes where a request names none. `refused_fields`, in lower case: what
    a request must not have, because the vendor bills it apart. `fallback`: chat models that answer,
    in this order, where every channel of this one has failed; theirs are not followed.
    """

    name: str
    kind: ModelKind = "chat"
    owned_by: str
    created: int
    context_tokens_max: int = 0
    output_tokens_max: int = 0
    encoding: EncodingName
    image_tokens: ImageTokens
    price: Price | None
    routes: tuple[Route, ...]
    refused_fields: frozenset[str] = frozenset()
    tier_percents: Mapping[str, int] = field(default_factory=dict)
    image_output: ImageRate | None = None
    image_defaults: Mapping[str, str] = field(default_factory=dict)
    fallback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProvider:
    """One account with a web search, for `web-` names; lower `priority` first.

    `price`: of one search. `timeout_s`: for its whole answer. At most `results_max` results are
    shown to the model, in at most `text_tokens_max` tokens of its encoding. `options`: parameters
    of the provider's own, sent as they are. `key_name` as a channel's.
    """

    name: str
    kind: SearchKind
    base_url: str
    key_name: str | None
    price: Micropoints
    priority: int = 0
    timeout_s: float = 10.0
    results_max: int = 5
    text_tokens_max: int = 2000
    safe_search: SafeSearch = "moderate"
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything on sale. `version` is the first 12 hex digits of the text's SHA-256.

    `search`: the search providers in the order in which they are asked. `image_model`: the model of
    an image request that names none.
    """

    version: str
    points_per_usd: int
    channels: Mapping[str, Channel]
    models: Mapping[str, Model]
    search: tuple[SearchProvider, ...] = ()
    image_model: str | None = None
