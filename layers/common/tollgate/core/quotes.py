"""What a request may cost before it runs, and what it has come to while it runs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tollgate.core.prices import Price
from tollgate.core.units import (
    PICOPOINTS_PER_MICROPOINT,
    Micropoints,
    Picopoints,
    Tokens,
    round_up,
)

FLOOR_OUTPUT_TOKENS = 256
LEAST_OUTPUT_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """Prices of one request, each the dearest kind that this request can meet.

    `prompt_tokens` counts the prompt once; `choices` is the request's `n`; `output_tokens_max` is
    the limit of one choice, whether the caller's or the model's. Of `prompt_tokens`, the last
    `search_tokens` are a web search's results, and `search` is its price: before the search the
    most that either can be, after it what they are.
    """

    price: Price
    prompt_tokens: Tokens
    output_tokens_max: Tokens
    choices: int
    tier_percent: int
    has_audio_input: bool
    has_audio_output: bool
    search_tokens: Tokens = Tokens(0)
    search: Micropoints = Micropoints(0)

    def _cost(self, output_tokens: int) -> Micropoints:
        """Return the most that the prompt and so many output tokens a choice can cost."""
        tokens_cost = (
            self.prompt_tokens * self._input_price
            + self.choices * output_tokens * self._output_price
        )
        return self._total(tokens_cost)

    def _total(self, tokens_cost: int) -> Micropoints:
        tiered = -(-tokens_cost * self.tier_percent // 100)
        return Micropoints(round_up(Picopoints(tiered)) + self._flat)

    @property
    def _flat(self) -> Micropoints:
        """What the request costs whatever its tokens."""
        return Micropoints(self.price.request + self.search)

    @property
    def _input_price(self) -> Picopoints:
        text = max(self.price.input, self.price.cache_write)
        return Picopoints(max(text, self.price.audio_input)) if self.has_audio_input else text

    @property
    def _output_price(self) -> Picopoints:
        text = max(self.price.output, self.price.reasoning)
        return Picopoints(max(text, self.price.audio_output)) if self.has_audio_output else text

    @property
    def worst(self) -> Micropoints:
        """The prompt and the whole output limit."""
        return self._cost(self.output_tokens_max)

    @property
    def floor(self) -> Micropoints:
        """The prompt and 256 output tokens: what a lowered hold still pays for."""
        return self._cost(min(FLOOR_OUTPUT_TOKENS, self.output_tokens_max))

    @property
    def least(self) -> Micropoints:
        """The prompt and 16 output tokens: below this no call is made."""
        return self._cost(min(LEAST_OUTPUT_TOKENS, self.output_tokens_max))

    def output_tokens_for(self, amount: Micropoints) -> Tokens:
        """Return the output limit a choice that `amount` pays for, at most `output_tokens_max`."""
        tokens_cost = (amount - self._flat) * 1_000_000 * 100 // self.tier_percent
        left = tokens_cost - self.prompt_tokens * self._input_price
        unit = self.choices * self._output_price
        if unit == 0:
            return self.output_tokens_max
        return Tokens(max(0, min(self.output_tokens_max, left // unit)))

    def after_search(self, *, tokens: Tokens, price: Micropoints) -> "Quote":
        """Return the quote with what the search's results count and what it costs."""
        return replace(
            self,
            prompt_tokens=Tokens(self.prompt_tokens - self.search_tokens + tokens),
            search_tokens=tokens,
            search=price,
        )

    def meter(self) -> Callable[[int], Micropoints]:
        """Return what tells the running charge after so many chunks with output.

        At the plain prices. It is asked for each chunk, so what stays the same is looked up here.
        """
        prompt_cost, output_price = self.prompt_tokens * self.price.input, self.price.output
        percent, flat = self.tier_percent, self._flat

        def running(output_chunks: int) -> Micropoints:
            tiered = -(-(prompt_cost + output_chunks * output_price) * percent // 100)
            return -(-tiered // PICOPOINTS_PER_MICROPOINT) + flat  # type: ignore[return-value]

        return running
