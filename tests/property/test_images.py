"""What an image request may cost is enough for what was ordered, and all that came is charged."""

from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.image_form import ImageForm
from tollgate.core.image_quotes import ImageQuote
from tollgate.core.image_rates import ImageGrid
from tollgate.core.image_tally import ImageTally
from tollgate.errors import InvalidRequestError

CATALOG = parse_catalog("""
    [channels.c]
    base_url = "http://c"
    [models.table]
    kind = "image"
    channels = ["c"]
    image_output.sizes = { "1x1" = { low = 10, high = 100 }, "*" = { "*" = 33 } }
    price = { input = 1.5, cached_input = 0.5, image_input = 2.25, output = 3.125, request = 0.1 }
    [models.grid]
    kind = "image"
    channels = ["c"]
    image_output = { scheme = "grid", factors = { low = 16, high = 96 } }
    price = { input = 5, output = 30, text_output = 10 }
    [models.flat]
    kind = "image"
    channels = ["c"]
    price = { images = { "1x1" = { low = 1, high = 9 }, "*" = 4 }, request = 0.5 }
    [models.both]
    kind = "image"
    channels = ["c"]
    image_output.sizes."*" = 500
    price = { input = 1, output = 1, images."*" = { low = 1, high = 2 } }
""")
SIZE = st.sampled_from([None, "1x1", "1024x1024", "3840x2160", "16x3840"])
QUALITY = st.sampled_from([None, "low", "high"])
ANYTHING = st.sampled_from([None, "1x1", "9999x9999", "", "low", "odd"])


@given(
    name=st.sampled_from(sorted(CATALOG.models)),
    looks=st.tuples(SIZE, QUALITY),
    count=st.integers(1, 10),
    text=st.integers(0, 10**6),
    image=st.integers(0, 10**6),
    made=st.lists(st.tuples(ANYTHING, ANYTHING), min_size=1, max_size=12),
    shares=st.lists(st.integers(0, 100), min_size=4, max_size=4),
    is_reported=st.booleans(),
)
def test_charge_is_at_most_the_hold_for_what_was_ordered(
    name: str,
    looks: tuple[str | None, str | None],
    count: int,
    text: int,
    image: int,
    made: list[tuple[str | None, str | None]],
    shares: list[int],
    *,
    is_reported: bool,
) -> None:
    """As long as no more came, nothing dearer, and no more tokens than were counted.

    And whatever came, the charge is never below it.
    """
    model = CATALOG.models[name]
    assert model.price is not None
    quote = ImageQuote(
        price=model.price,
        output=model.image_output,
        looks=looks,
        count=count,
        frames=1,
        partials=0,
        text_tokens=text,
        image_tokens=image,
    )
    usage = report(quote, shares) if is_reported and quote.output is not None else None
    tally = ImageTally(quote)

    tally.add(ImageForm(head={}, items=[], made=made, raw_usage=usage))

    delivered = sum(amount_of(quote, look) for look in made)
    if len(made) <= count and all(amount_of(quote, look) <= asked(quote) for look in made):
        assert tally.cost <= quote.worst
    if usage is None and quote.price.images is not None:
        assert tally.cost >= delivered
    elif usage is None:
        assert tally.usage.completion >= delivered


def asked(quote: ImageQuote) -> int:
    return amount_of(quote, (None, None))


def amount_of(quote: ImageQuote, look: tuple[str | None, str | None]) -> int:
    """Return what one image comes to by what was said of it, else by what was asked for."""
    rate = quote.price.images or quote.output
    assert rate is not None
    size, quality = quote.looks
    with suppress(InvalidRequestError):
        return rate.amount(look[0] or size, look[1] or quality)
    return rate.amount(size, quality)


def report(quote: ImageQuote, shares: list[int]) -> dict[str, Any]:
    """Return usage of at most what was counted: so many percent of each kind."""
    assert quote.output is not None
    image = quote.image_tokens * quote.count * shares[0] // 100
    text = quote.text_tokens * quote.count * shares[1] // 100
    made = quote.output.amount(*quote.looks) * quote.count * shares[2] // 100
    return {
        "input_tokens": text + image,
        "output_tokens": made,
        "input_tokens_details": {
            "image_tokens": image,
            "cached_tokens": (text + image) * shares[3] // 100,
        },
        "output_tokens_details": {"text_tokens": made * shares[3] // 100},
    }


@given(
    width=st.integers(16, 3840),
    height=st.integers(16, 2160),
    factor=st.integers(1, 200),
)
def test_no_size_has_more_tokens_than_the_open_one(width: int, height: int, factor: int) -> None:
    """What is held for "auto" is enough for each size that may be asked for."""
    grid = ImageGrid(factors={"q": factor})

    assert 0 < grid.amount(f"{width}x{height}", "q") <= grid.amount(None, "q")
