"""Image requests against catalog and key."""

from dataclasses import replace
from typing import Any

import pytest
from tollgate.core.catalog import Catalog
from tollgate.errors import (
    InvalidRequestError,
    ModelNotAllowedError,
    ModelNotFoundError,
    WrongModelKindError,
)
from tollgate.ledger.model import Key
from tollgate.metering.image_bodies import read_json_body
from tollgate.metering.image_orders import ImageOrder, quote_image_order, read_image_order
from tollgate.metering.orders import read_order


@pytest.fixture
def order(catalog: Catalog, key: Key) -> Any:
    """Return a function that reads an order of `image`, with fields changed."""

    def read(*, task: Any = "generations", by: Key = key, **fields: Any) -> ImageOrder:
        body = read_json_body({"model": "image", "prompt": "hi", **fields})
        return read_image_order(body, task=task, key=by, request_id="r", catalog=catalog)

    return read


def test_defaults(order: Any) -> None:
    """One image, left to the vendor; a model without a name is the catalog's."""
    found = order(model=None)

    assert (found.model.name, found.count, found.looks) == ("image", 1, (None, None))
    assert (found.frames, found.partials, found.is_stream) == (1, 0, False)


def test_models_own_defaults(order: Any) -> None:
    """What a vendor takes where nothing is said; "auto" is left to it all the same."""
    assert order(model="flat").looks == ("1x1", "plain")
    assert order(model="flat", quality="auto").looks == ("1x1", None)


def test_affixes(order: Any) -> None:
    """The suffix or the field; `web-` is refused without a code."""
    assert order(model="image-official").name.is_official
    assert order(official=True).name.is_official
    with pytest.raises(InvalidRequestError) as caught:
        order(model="web-image")
    assert (caught.value.param, caught.value.code) == ("model", None)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["x"]}, "prompt"),
        ({"model": 5}, "model"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": "2"}, "n"),
        ({"n": True}, "n"),
        ({"stream": "true"}, "stream"),
        ({"official": 1}, "official"),
        ({"partial_images": 4}, "partial_images"),
        ({"partial_images": -1}, "partial_images"),
        ({"size": 5}, "size"),
        ({"size": "2x2"}, "size"),
        ({"quality": "medium"}, "quality"),
        ({"quality": 5}, "quality"),
        ({"output_format": "svg"}, "output_format"),
        ({"svg": {"model": "m"}}, "output_format"),
        ({"output_format": "GIF"}, "output_format"),
        ({"output_format": "gif "}, "output_format"),
        ({"output_format": "jpg"}, "output_format"),
        ({"output_format": ""}, "output_format"),
        ({"output_format": 5}, "output_format"),
        ({"size": "1x\uff11"}, "size"),
        ({"frame_count": 17}, "frame_count"),
        ({"model": "flat", "quality": "low"}, "quality"),
    ],
)
def test_what_cannot_be_sold(order: Any, fields: dict[str, Any], param: str) -> None:
    """Fields that metering reads must be what they should be, and have a price."""
    with pytest.raises(InvalidRequestError) as caught:
        order(**fields)

    assert caught.value.param == param


def test_variation_needs_no_prompt(order: Any) -> None:
    """An image is all there is."""
    assert order(task="variations", prompt=None).task == "variations"


def test_kinds_are_not_mixed(order: Any, catalog: Catalog, key: Key) -> None:
    """A chat model makes no image, an image model does not chat; OpenAI's words."""
    chat = {"model": "image", "messages": [{"role": "user"}]}

    with pytest.raises(WrongModelKindError, match="not an image model"):
        order(model="m")
    with pytest.raises(WrongModelKindError, match="not a chat model"):
        read_order(chat, key=key, request_id="r", catalog=catalog)


def test_key_and_catalog_decide(order: Any, catalog: Catalog, key: Key) -> None:
    """Unknown, unpriced, not for this key."""
    with pytest.raises(ModelNotFoundError):
        order(model="unknown")
    with pytest.raises(ModelNotFoundError):
        order(model="unpriced")
    with pytest.raises(ModelNotAllowedError):
        order(by=replace(key, models=frozenset({"m"})))


def test_no_model_and_no_default(catalog: Catalog, key: Key) -> None:
    """400 as for chat."""
    body = read_json_body({"prompt": "hi"})

    with pytest.raises(InvalidRequestError) as caught:
        read_image_order(
            body,
            task="edits",
            key=key,
            request_id="r",
            catalog=replace(catalog, image_model=None),
        )

    assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"quality": "low"}, 17 + 30),
        ({}, 17 + 300),
        ({"quality": "low", "n": 3}, 3 * (17 + 30)),
        ({"quality": "low", "images": [{"file_id": "f"}] * 2}, 17 + 28 + 30),
        ({"quality": "low", "partial_images": 3}, 17 + 30),
        ({"quality": "low", "partial_images": 3, "stream": True}, 17 + 30 + 900),
        ({"quality": "low", "output_format": "gif"}, 17 + 9 * 30),
        ({"quality": "low", "output_format": "gif", "frame_count": 2}, 17 + 2 * 30),
        ({"quality": "low", "output_format": "png", "frame_count": 2}, 17 + 30),
        ({"model": "flat", "n": 2, "quality": "hd"}, 400),
    ],
)
def test_quote(order: Any, fields: dict[str, Any], expected: int) -> None:
    """A prompt of one token and 16 around it; input images, made ones, previews, frames."""
    assert expected == quote_image_order(order(**fields)).worst


@pytest.mark.parametrize("field", ["resolution", "Resolution"])
def test_field_that_the_catalog_refuses(order: Any, field: str) -> None:
    """What the vendor bills apart would be sold for nothing; null asks for nothing."""
    with pytest.raises(InvalidRequestError) as caught:
        order(model="flat", **{field: "2k"})

    assert caught.value.param == field
    assert order(model="flat", **{field: None}).count == 1
    assert order(model="image", **{field: "2k"}).count == 1


@pytest.mark.parametrize("kind", [None, "png", "jpeg", "webp", "gif"])
def test_formats(order: Any, kind: str | None) -> None:
    """Those that are one image each, and the one that has frames."""
    assert order(output_format=kind).frames == (9 if kind == "gif" else 1)
