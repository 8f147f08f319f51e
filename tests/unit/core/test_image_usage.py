"""Image usage: what vendors report, what is reckoned, what is shown."""

from typing import Any

import pytest
from tollgate.core.image_usage import (
    add_usages,
    image_usage_json,
    read_image_usage,
    reckon_image_usage,
)
from tollgate.core.prices import Price, charge
from tollgate.core.units import Picopoints
from tollgate.core.usage import usage_counts

REPORTED: dict[str, Any] = {
    "input_tokens": 110,
    "input_tokens_details": {"image_tokens": 100, "text_tokens": 10},
    "output_tokens": 272,
    "output_tokens_details": {"image_tokens": 260, "text_tokens": 12},
    "total_tokens": 382,
}
CACHED = {"cached_tokens": 50, "cached_tokens_details": {"text_tokens": 4, "image_tokens": 46}}


def test_text_and_image_tokens_apart() -> None:
    """Each kind is counted, and the object is shown as it was."""
    usage = read_image_usage(REPORTED, images=1)

    assert usage is not None
    assert usage_counts(usage) == {
        "prompt": 110,
        "completion": 272,
        "image_prompt": 100,
        "image_completion": 260,
        "images": 1,
    }
    assert image_usage_json(usage) == REPORTED


def test_cached_tokens() -> None:
    """Split where the vendor splits them; else they are text as far as there is any."""
    split = REPORTED | {"input_tokens_details": REPORTED["input_tokens_details"] | CACHED}
    whole = REPORTED | {
        "input_tokens_details": REPORTED["input_tokens_details"] | {"cached_tokens": 50}
    }

    found = [read_image_usage(raw, images=1) for raw in (split, whole)]

    assert [(one.cached, one.cached_image) for one in found if one] == [(4, 46), (10, 40)]


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {"cost_in_usd_ticks": 200_000_000},
        {"input_tokens": 5},
        {"input_tokens": 5, "output_tokens": 0},
        {"input_tokens": None, "output_tokens": 5},
        {"input_tokens": True, "output_tokens": 5},
        {"input_tokens": 1e300, "output_tokens": 5},
    ],
)
def test_what_is_no_report(raw: object) -> None:
    """A cost, half a report, or an image for no tokens."""
    assert read_image_usage(raw, images=1) is None


def test_output_without_details_is_image() -> None:
    """Streams report no output details."""
    usage = read_image_usage({"input_tokens": 5, "output_tokens": 7}, images=1)

    assert usage is not None
    assert (usage.image_completion, usage.image_prompt) == (7, 0)


def test_parts_are_cut_to_their_wholes() -> None:
    """No vendor's arithmetic makes a kind negative."""
    raw = {
        "input_tokens": 5,
        "output_tokens": 5,
        "input_tokens_details": {"image_tokens": 9, "text_tokens": 9, "cached_tokens": 99},
        "output_tokens_details": {"text_tokens": 9},
    }

    usage = read_image_usage(raw, images=1)

    assert usage is not None
    assert (usage.image_prompt, usage.cached, usage.cached_image) == (5, 0, 5)
    assert usage.image_completion == 0


def test_no_cost_is_shown() -> None:
    """What the operator pays is not the caller's affair."""
    usage = read_image_usage(REPORTED | {"cost_in_usd_ticks": 5, "cost": 0.1}, images=1)

    assert usage is not None
    assert image_usage_json(usage) == REPORTED


def test_each_kind_has_its_price() -> None:
    """Text and images, in and out, fresh and cached."""
    nothing = Picopoints(0)
    names = ("input", "cached_input", "image_input", "cached_image_input", "output", "image_output")
    kinds = {name: Picopoints(10**n * 1_000_000) for n, name in enumerate(names)}
    price = Price(
        **kinds, cache_write=nothing, audio_input=nothing, reasoning=nothing, audio_output=nothing
    )  # type: ignore[arg-type]
    raw = {
        "input_tokens": 10,
        "output_tokens": 5,
        "input_tokens_details": {
            "image_tokens": 6,
            "cached_tokens_details": {"text_tokens": 1, "image_tokens": 2},
        },
        "output_tokens_details": {"text_tokens": 2},
    }

    usage = read_image_usage(raw, images=1)

    assert usage is not None
    assert charge(usage, price) == 3 + 1 * 10 + 4 * 100 + 2 * 1000 + 2 * 10_000 + 3 * 100_000


def test_usages_of_a_stream_add_up() -> None:
    """Counts, details and images; exact as long as all are."""
    first = read_image_usage(REPORTED, images=1)
    assert first is not None
    both = add_usages(first, first)
    mixed = add_usages(
        first, reckon_image_usage(text_tokens=1, image_tokens=2, output_tokens=3, images=1)
    )

    assert both.images == 2
    assert image_usage_json(both) == {
        "input_tokens": 220,
        "output_tokens": 544,
        "total_tokens": 764,
        "input_tokens_details": {"image_tokens": 200, "text_tokens": 20},
        "output_tokens_details": {"image_tokens": 520, "text_tokens": 24},
    }
    assert (mixed.total, mixed.is_exact) == (382 + 6, False)


def test_chat_names_count_too() -> None:
    """Some vendors report an image as they report a completion; shown is OpenAI's image form."""
    usage = read_image_usage(
        {
            "input_tokens": None,
            "prompt_tokens": 5,
            "completion_tokens": 20,
            "prompt_tokens_details": {"image_tokens": 3, "cost_in_ticks": 9},
            "completion_tokens_details": {"text_tokens": 2},
        },
        images=1,
    )

    assert usage is not None
    assert (usage.prompt, usage.image_prompt, usage.image_completion) == (5, 3, 18)
    assert image_usage_json(usage) == {
        "input_tokens": 5,
        "output_tokens": 20,
        "total_tokens": 25,
        "input_tokens_details": {"image_tokens": 3},
        "output_tokens_details": {"text_tokens": 2},
    }
