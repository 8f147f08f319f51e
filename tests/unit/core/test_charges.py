"""Prices, charges and quotes."""

from dataclasses import replace

import pytest
from tollgate.core.prices import Price, Usage, charge
from tollgate.core.quotes import Quote
from tollgate.core.units import Micropoints, Picopoints, Tokens


def price(**kinds: int) -> Price:
    """Return a price in micropoints a token, by kind; those not named cost 1."""
    names = (
        *("input", "cached_input", "cache_write", "audio_input"),
        *("output", "reasoning", "audio_output"),
    )
    amounts = {name: Picopoints(kinds.get(name, 1) * 1_000_000) for name in names}
    return Price(**amounts, request=Micropoints(kinds.get("request", 0)))


def usage(prompt: int, completion: int, **parts: int) -> Usage:
    return Usage(
        prompt=Tokens(prompt),
        completion=Tokens(completion),
        **{name: Tokens(count) for name, count in parts.items()},
    )


def test_each_kind_has_its_price_and_counts_once() -> None:
    """Parts are taken out of their totals before these are priced."""
    kinds = price(
        input=2, cached_input=1, cache_write=3, audio_input=5, output=7, reasoning=11,
        audio_output=13, request=1000,
    )  # fmt: skip
    used = usage(
        100, 50, cached=10, cache_write=20, audio_prompt=30, reasoning=5, audio_completion=6
    )

    expected = 40 * 2 + 10 * 1 + 20 * 3 + 30 * 5 + 39 * 7 + 5 * 11 + 6 * 13 + 1000
    assert expected == charge(used, kinds)


def test_rounding_is_once_and_up() -> None:
    """Three fractions of a micropoint are summed before they are rounded."""
    third = Picopoints(333_333)
    kinds = replace(price(), input=third, output=third)

    assert charge(usage(1, 1), kinds) == 1
    assert charge(usage(3, 1), kinds) == 2
    assert charge(usage(0, 0), kinds) == 0


@pytest.mark.parametrize(("percent", "expected"), [(100, 1000), (50, 500), (170, 1700)])
def test_tier_multiplies_the_tokens_price(percent: int, expected: int) -> None:
    """A service tier is a percentage of the price."""
    assert expected == charge(usage(500, 500), price(), tier_percent=percent)


def test_search_has_its_own_price_whatever_the_tier() -> None:
    """A search costs the same on a cheap tier, and is added after the rounding."""
    assert charge(usage(500, 500), price(), tier_percent=50, search=Micropoints(7)) == 507


def quote(**fields: object) -> Quote:
    base = Quote(
        price=price(input=1, output=4),
        prompt_tokens=Tokens(100),
        output_tokens_max=Tokens(1000),
        choices=1,
        tier_percent=100,
        has_audio_input=False,
        has_audio_output=False,
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def test_quote_has_the_three_amounts_of_the_hold_rule() -> None:
    """Prompt and limit, prompt and 256 tokens, prompt and 16 tokens."""
    found = quote()

    assert (found.worst, found.floor, found.least) == (4100, 100 + 4 * 256, 164)


def test_a_small_limit_bounds_all_three() -> None:
    """With a limit of 8 tokens nothing more than 8 tokens is held."""
    found = quote(output_tokens_max=Tokens(8))

    assert found.worst == found.floor == found.least == 132


def test_every_choice_is_paid_for() -> None:
    """`n` multiplies the output, not the prompt."""
    assert quote(choices=3).worst == 100 + 3 * 4000


def test_dearest_kind_is_assumed() -> None:
    """Reasoning and cache writes can always come; audio only where it is asked for."""
    kinds = price(input=1, cache_write=2, audio_input=9, output=4, reasoning=6, audio_output=20)

    assert quote(price=kinds).worst == 200 + 6000
    assert quote(price=kinds, has_audio_input=True).worst == 900 + 6000
    assert quote(price=kinds, has_audio_output=True).worst == 200 + 20_000


@pytest.mark.parametrize(
    ("amount", "expected"), [(100, 0), (103, 0), (104, 1), (500, 100), (10**9, 1000), (0, 0)]
)
def test_output_limit_that_an_amount_pays_for(amount: int, expected: int) -> None:
    """Whole tokens, after the prompt, at most the limit."""
    assert expected == quote().output_tokens_for(Micropoints(amount))


def test_free_output_is_not_limited() -> None:
    """Nothing is divided by a price of nothing."""
    free = price(input=0, cached_input=0, cache_write=0, audio_input=0, output=0, reasoning=0)

    assert quote(price=free).output_tokens_for(Micropoints(0)) == 1000


def test_running_charge_counts_chunks_as_tokens() -> None:
    """The plain prices, whatever the chunk carried."""
    assert [quote().meter()(chunks) for chunks in (0, 1, 2)] == [100, 104, 108]


def test_search_is_held_at_its_most_and_then_counted_as_it_is() -> None:
    """Of 100 prompt tokens 40 were for results; 25 came, for a price of 3 in place of 10."""
    held = quote(search_tokens=Tokens(40), search=Micropoints(10))
    found = held.after_search(tokens=Tokens(25), price=Micropoints(3))

    assert (held.worst, held.meter()(0)) == (4110, 110)
    assert (found.prompt_tokens, found.worst, found.meter()(2)) == (85, 4088, 96)


def test_output_limit_is_paid_after_the_search() -> None:
    """What the search costs buys no output, on any tier."""
    found = quote(search=Micropoints(100), tier_percent=200)

    assert found.output_tokens_for(Micropoints(100 + 200 + 8 * 25)) == 25
