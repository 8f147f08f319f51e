"""What images may cost, and what those that came do."""

from typing import Any

import pytest
from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.image_form import ImageForm
from tollgate.core.image_quotes import ImageQuote, Looks
from tollgate.core.image_tally import ImageTally
from tollgate.errors import InvalidRequestError

TABLE = 'image_output.sizes = { "1x1" = { low = 10, high = 100 }, "2x2" = { low = 20 } }\n'
TOKENS = TABLE + "price = { input = 1, image_input = 2, output = 3, request = 0.00005 }"
FLAT = 'price = { images."1x1" = { low = 0.0001, high = 0.0005 }, request = 0.00005 }'
BOTH = TABLE + 'price = { input = 1, output = 3, images."*" = 0.002 }'


def quote(fields: str, **changes: Any) -> ImageQuote:
    text = '[channels.c]\nbase_url = "http://c"\n[models.m]\nkind = "image"\nchannels = ["c"]\n'
    model = parse_catalog(text + fields).models["m"]
    assert model.price is not None
    made: dict[str, Any] = {
        "looks": ("1x1", "low"),
        "count": 1,
        "frames": 1,
        "partials": 0,
        "text_tokens": 5,
        "image_tokens": 7,
    }
    return ImageQuote(price=model.price, output=model.image_output, **(made | changes))


def form(*made: Looks, usage: object = None) -> ImageForm:
    return ImageForm(head={}, items=[], made=list(made), raw_usage=usage)


@pytest.mark.parametrize(
    ("fields", "changes", "expected"),
    [
        (TOKENS, {}, 5 + 14 + 30 + 50),
        (TOKENS, {"count": 2}, 2 * (5 + 14 + 30) + 50),
        (TOKENS, {"looks": (None, None)}, 5 + 14 + 300 + 50),
        (TOKENS, {"looks": (None, "low")}, 5 + 14 + 60 + 50),
        (TOKENS, {"partials": 3, "count": 2}, 2 * (5 + 14 + 30 + 900) + 50),
        (TOKENS, {"frames": 9}, 5 + 14 + 270 + 50),
        (FLAT, {"count": 3}, 3 * 100 + 50),
        (FLAT, {"looks": (None, None)}, 500 + 50),
        (BOTH, {}, 2000),
        (BOTH, {"looks": ("1x1", "high"), "count": 10, "partials": 3}, 20_000),
    ],
)
def test_hold_is_the_dearer_of_tokens_and_images(
    fields: str, changes: dict[str, Any], expected: int
) -> None:
    """Prompt, input images, made images, previews and frames, for each image asked for."""
    assert expected == quote(fields, **changes).worst


@pytest.mark.parametrize("fields", [TOKENS, FLAT])
def test_size_without_a_price_is_refused(fields: str) -> None:
    """Before anything is held."""
    with pytest.raises(InvalidRequestError):
        quote(fields, looks=("9x9", "low")).check()


def test_reported_tokens_decide() -> None:
    """Also where there is a price by image."""
    usage = {"input_tokens": 10, "output_tokens": 100}
    tally = ImageTally(quote(BOTH))

    tally.add(form(("1x1", "low"), usage=usage))

    assert (tally.cost, tally.is_shown, tally.is_complete) == (310, True, True)


def test_images_decide_where_nothing_is_reported() -> None:
    """By what the answer says of each, else by what was asked for."""
    tally = ImageTally(quote(FLAT, looks=(None, None), count=3))

    tally.add(form(("1x1", "low"), (None, None)))

    assert tally.cost == 100 + 500 + 50
    assert (tally.is_shown, tally.is_complete) == (False, False)
    assert tally.usage.images == 2


def test_tokens_are_reckoned_by_the_table() -> None:
    """Input once for each image, output by the answer's size and quality."""
    tally = ImageTally(quote(TOKENS, looks=(None, None), count=2))

    tally.add(form(("2x2", "low"), ("1x1", "high")))

    assert tally.usage.completion == 120
    assert tally.cost == 2 * (5 + 14) + 3 * 120 + 50
    assert not tally.usage.is_exact


@pytest.mark.parametrize(("fields", "expected"), [(TOKENS, 3 * 49 + 50), (FLAT, 3 * 100 + 50)])
def test_more_images_than_asked_are_charged(fields: str, expected: int) -> None:
    """Each that was delivered, reckoned where no usage came."""
    tally = ImageTally(quote(fields))

    tally.add(form((None, None), (None, None), (None, None)))

    assert (tally.cost, tally.usage.images) == (expected, 3)


def test_dearer_image_than_asked_is_charged_as_it_is() -> None:
    """The answer's own size and quality decide, also above the hold."""
    tally = ImageTally(quote(FLAT))

    tally.add(form(("1x1", "high")))

    assert tally.cost == 500 + 50 > quote(FLAT).worst


def test_unknown_size_in_the_answer_is_what_was_held() -> None:
    """An answer cannot make an image free."""
    tally = ImageTally(quote(FLAT))

    tally.add(form(("7x7", "ultra")))

    assert tally.cost == quote(FLAT).worst


def test_previews_count_where_nothing_is_reported() -> None:
    """100 tokens each, as OpenAI bills; a price by image has no tokens."""
    usage = {"input_tokens": 10, "output_tokens": 100}
    for fields, changes, expected in (
        (TOKENS, {}, 49 + 2 * 300 + 50),
        (TOKENS, {"usage": usage}, 10 + 300 + 50),
        (FLAT, {}, 100 + 50),
    ):
        tally = ImageTally(quote(fields, partials=3))
        tally.add_partial()
        tally.add_partial()
        tally.add(form(("1x1", "low"), **changes))
        assert tally.cost == expected


USAGE = {"input_tokens": 10, "output_tokens": 100}


@pytest.mark.parametrize("fields", [TOKENS, BOTH])
@pytest.mark.parametrize("reports", [[USAGE, None], [None, USAGE], [None, USAGE, None, None]])
def test_stream_that_reports_only_some(fields: str, reports: list[object]) -> None:
    """The dearer of what it reported and what the images come to; quotas never fall."""
    made = quote(fields, count=len(reports))
    tally = ImageTally(made)

    costs = []
    for usage in reports:
        tally.add(form(("1x1", "high"), usage=usage))
        costs.append(tally.cost)

    reckoned = made.reckon([("1x1", "high")] * len(reports))
    assert costs == sorted(costs)
    assert costs[-1] >= made.cost(reckoned, tally.made) > 360
    assert not tally.usage.is_exact or made.price.images is not None


def test_large_report_of_some_decides() -> None:
    """What was reported for one may be more than all are reckoned to be."""
    tally = ImageTally(quote(TOKENS, count=2))

    tally.add(form(("1x1", "low"), usage={"input_tokens": 10, "output_tokens": 10_000}))
    tally.add(form(("1x1", "low")))

    assert tally.cost == 10 + 30_000 + 50
    assert (tally.usage.images, tally.usage.is_exact) == (2, False)


def test_stream_adds_up() -> None:
    """Each event's usage counts; quotas grow."""
    tally = ImageTally(quote(TOKENS, count=2))

    costs = []
    for _ in range(2):
        tally.add(form(("1x1", "low"), usage=USAGE))
        costs.append(tally.cost)

    assert costs == [10 + 300 + 50, 20 + 600 + 50]
