"""What a model costs and what one request comes to. Integers throughout; see `core.units`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tollgate.core.image_rates import ImageTable
from tollgate.core.units import Micropoints, Picopoints, Tokens, round_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Picopoints a token by kind, and micropoints a request. All zero is `price = "free"`.

    Kinds that a vendor does not price apart have the price of the kind they belong to:
    cached, cache-write and audio input that of `input`; reasoning and audio output of `output`.
    The image kinds and `images` (micropoints an image) are an image model's. `has_tokens`: what the
    upstream reports is charged; else each image by `images`.
    """

    input: Picopoints
    cached_input: Picopoints
    cache_write: Picopoints
    audio_input: Picopoints
    output: Picopoints
    reasoning: Picopoints
    audio_output: Picopoints
    image_input: Picopoints = Picopoints(0)
    cached_image_input: Picopoints = Picopoints(0)
    image_output: Picopoints = Picopoints(0)
    images: ImageTable | None = None
    has_tokens: bool = True
    request: Micropoints = Micropoints(0)

    @property
    def output_max(self) -> Picopoints:
        """The dearest kind of output: what a hold has to assume."""
        return Picopoints(max(self.output, self.reasoning, self.audio_output))

    @property
    def input_max(self) -> Picopoints:
        """The dearest kind of input: what a hold has to assume."""
        return Picopoints(max(self.input, self.cache_write, self.audio_input))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one request; the details are parts of the two totals, never beside them.

    `cached + cache_write + audio_prompt + image_prompt <= prompt`, `cached_image <= image_prompt`
    and `reasoning + audio_completion + image_completion <= completion` hold by construction
    (`core.usage` and `core.image_usage` clamp what vendors report). `images` counts images made.
    """

    prompt: Tokens
    completion: Tokens
    cached: Tokens = Tokens(0)
    cache_write: Tokens = Tokens(0)
    audio_prompt: Tokens = Tokens(0)
    reasoning: Tokens = Tokens(0)
    audio_completion: Tokens = Tokens(0)
    image_prompt: Tokens = Tokens(0)
    cached_image: Tokens = Tokens(0)
    image_completion: Tokens = Tokens(0)
    images: int = 0
    is_exact: bool = True
    details: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def total(self) -> Tokens:
        """Prompt plus completion, always."""
        return Tokens(self.prompt + self.completion)


def charge(
    usage: Usage,
    price: Price,
    *,
    tier_percent: int = 100,
    search: Micropoints = Micropoints(0),
) -> Micropoints:
    """Return what one finished request costs.

    Rounds up once, after summing, so a request never costs less than its parts.

    Args:
        usage: token counts, each 0 <= n < 2**53.
        price: picopoints a token.
        tier_percent: the service tier's multiplier, in percent of the tokens' price.
        search: what the request's web search costs, whatever the tier.
    """
    plain_prompt = (
        usage.prompt - usage.cached - usage.cache_write - usage.audio_prompt - usage.image_prompt
    )
    plain_completion = (
        usage.completion - usage.reasoning - usage.audio_completion - usage.image_completion
    )
    tokens_cost = (
        plain_prompt * price.input
        + usage.cached * price.cached_input
        + usage.cache_write * price.cache_write
        + usage.audio_prompt * price.audio_input
        + (usage.image_prompt - usage.cached_image) * price.image_input
        + usage.cached_image * price.cached_image_input
        + plain_completion * price.output
        + usage.reasoning * price.reasoning
        + usage.audio_completion * price.audio_output
        + usage.image_completion * price.image_output
    )
    tiered = -(-tokens_cost * tier_percent // 100)
    return Micropoints(round_up(Picopoints(tiered)) + price.request + search)
