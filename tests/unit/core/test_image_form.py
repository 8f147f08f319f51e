"""Image answers and events in OpenAI's form."""

from typing import Any

from tollgate.core.image_form import (
    keep_partial,
    reshape_event,
    reshape_images,
    split_into_events,
)

NOW = 1_800_000_000


def reshape(raw: dict[str, Any]) -> Any:
    form = reshape_images(raw, now=NOW)
    assert form is not None
    return form


def test_openais_own_answer_stays() -> None:
    """Every field that OpenAI documents is kept; size and quality are read."""
    raw = {
        "created": 1_713_833_628,
        "background": "opaque",
        "data": [{"b64_json": "aa"}],
        "output_format": "png",
        "quality": "low",
        "size": "1024x1024",
        "usage": {"input_tokens": 1},
    }

    form = reshape(raw)

    assert {**form.head, "data": form.items, "usage": form.raw_usage} == raw
    assert form.made == [("1024x1024", "low")]


def test_vendors_own_fields_are_left_out() -> None:
    """Together's ids and timings, a missing `created`, nulls, whatever else they think of."""
    raw = {
        "id": "x",
        "provider": "p",
        "cost_in_usd_ticks": 5,
        "size": {"vendor": "x"},
        "model": "FLUX",
        "object": "list",
        "cost": 1,
        "svg_usage": {"model": "m"},
        "data": [{"index": 0, "url": "https://a", "timings": {}, "seed": 7, "b64_json": None}],
    }

    form = reshape(raw)

    assert (form.head, form.items) == ({"created": NOW}, [{"url": "https://a"}])
    assert form.made == [(None, None)]


def test_created_zero_is_no_time() -> None:
    """A recorded gpt-image-1 answer says 0."""
    assert reshape({"created": 0, "data": [{"url": "u"}]}).head == {"created": NOW}


def test_entries_without_an_image_do_not_count() -> None:
    """An error in an image's place, an empty text, something else."""
    raw = {"data": [{"error": {"message": "no"}}, {"b64_json": ""}, "x", {"url": "u"}]}

    assert reshape(raw).items == [{"url": "u"}]


def test_no_image_is_no_answer() -> None:
    """Whatever stands in its place."""
    for raw in ({}, {"data": None}, {"data": []}, {"data": [{}]}, {"data": {"url": "u"}}):
        assert reshape_images(raw, now=NOW) is None


def test_auto_says_nothing_of_an_image() -> None:
    """Only a size that was made decides its price."""
    raw = {"size": "auto", "quality": "auto", "data": [{"url": "u", "size": "2x2"}]}

    assert reshape(raw).made == [("2x2", None)]


KIND = "image_generation.completed"


def test_completed_event() -> None:
    """The image stays in its event; the time is repaired; what is the vendor's own is dropped."""
    raw = {"type": "image.done", "b64_json": "aa", "size": "1x1", "cost": 5, "response_id": "r"}

    form = reshape_event(raw, kind=KIND, now=NOW)

    assert form is not None
    assert form.items == [{"type": KIND, "created_at": NOW, "b64_json": "aa", "size": "1x1"}]
    assert form.made == [("1x1", None)]
    assert reshape_event({"type": KIND, "usage": {}}, kind=KIND, now=NOW) is None


def test_event_that_is_a_whole_answer() -> None:
    """A completed event an image; nothing of the envelope."""
    raw = {"created": 5, "size": "1x1", "id": "x", "data": [{"url": "u"}, {"url": "v"}]}

    form = reshape_event(raw, kind=KIND, now=NOW)

    assert form is not None
    assert form.items == [
        {"type": KIND, "created_at": 5, "size": "1x1", "url": "u"},
        {"type": KIND, "created_at": 5, "size": "1x1", "url": "v"},
    ]
    assert form.made == [("1x1", None)] * 2


def test_preview() -> None:
    """OpenAI's stays the same object, to be sent as it came; another loses what is not OpenAI's."""
    raw = {
        "type": "image_generation.partial_image",
        "b64_json": "aa",
        "created_at": 5,
        "partial_image_index": 0,
        "background": "opaque",
        "output_format": "png",
        "quality": "low",
        "size": "1x1",
    }

    assert keep_partial(raw) is raw
    assert keep_partial({**raw, "provider": "p", "data": [{"url": "u"}]}) == raw


def test_whole_answer_as_events() -> None:
    """One completed event an image, each with what the answer says of all."""
    form = reshape({"created": 5, "size": "1x1", "data": [{"url": "u"}, {"b64_json": "b"}]})

    assert split_into_events(form, "k.completed") == [
        {"type": "k.completed", "created_at": 5, "size": "1x1", "url": "u"},
        {"type": "k.completed", "created_at": 5, "size": "1x1", "b64_json": "b"},
    ]
