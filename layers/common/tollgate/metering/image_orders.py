"""A caller's image request, checked against catalog and key: what is ordered, at what price."""

from collections.abc import Mapping
from dataclasses import dataclass

from tollgate.core.affixes import ModelName
from tollgate.core.catalog import Catalog, Model
from tollgate.core.image_quotes import ImageQuote, Looks
from tollgate.core.prices import Price
from tollgate.core.tokens import count_text
from tollgate.errors import InvalidRequestError
from tollgate.ledger.model import Key
from tollgate.metering.image_bodies import ImageBody
from tollgate.metering.order_fields import check_refused, read_count, read_model, read_typed
from tollgate.upstream.image_calls import ImageTask

IMAGES_MAX = 10
_PARTIALS_MAX = 3
_FRAMES_MAX = 16
_FRAMES_DEFAULT = 9
_FORMATS = frozenset({None, "png", "jpeg", "webp", "gif"})
_AROUND_PROMPT_TOKENS = 16  # a recorded prompt of 8 tokens was reported as 14


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOrder:
    """One valid image request. `looks`: size and quality, None where the vendor chooses.

    `frames`: 1, or those of an animated image. `partials`: previews for each image of a stream.
    """

    key: Key
    request_id: str
    task: ImageTask
    name: ModelName
    model: Model
    price: Price
    body: ImageBody
    is_stream: bool
    count: int
    looks: Looks
    frames: int
    partials: int


def read_image_order(
    body: ImageBody, *, task: ImageTask, key: Key, request_id: str, catalog: Catalog
) -> ImageOrder:
    """Return the order in `body`.

    Raises: InvalidRequestError: a field that metering reads is missing or of the wrong type, the
        catalog refuses one, a `web-` name, or something that has no price; ModelNotFoundError;
        WrongModelKindError; ModelNotAllowedError.
    """
    fields = body.fields
    name, model, price = read_model(fields, kind="image", key=key, catalog=catalog)
    check_refused(body.names, model)
    if name.is_web:
        raise InvalidRequestError("Web search is not available for images.", param="model")
    _check_prompt(fields, task)
    is_stream = read_typed(fields, "stream", bool) or False
    order = ImageOrder(
        key=key,
        request_id=request_id,
        task=task,
        name=name,
        model=model,
        price=price,
        body=body,
        is_stream=is_stream,
        count=read_count(fields, "n", IMAGES_MAX) or 1,
        looks=(_read_look(fields, "size", model), _read_look(fields, "quality", model)),
        frames=_read_frames(fields),
        partials=read_count(fields, "partial_images", _PARTIALS_MAX, at_least=0) or 0,
    )
    make_quote(order, text_tokens=0, image_tokens=0).check()
    return order


def _check_prompt(fields: Mapping[str, object], task: ImageTask) -> None:
    prompt = read_typed(fields, "prompt", str)
    if task != "variations" and not prompt:
        raise InvalidRequestError("Missing required parameter: 'prompt'.", param="prompt")


def _read_look(fields: Mapping[str, object], field: str, model: Model) -> str | None:
    value = read_typed(fields, field, str)
    if value is None:
        return model.image_defaults.get(field)
    return None if value == "auto" else value


def _read_frames(fields: Mapping[str, object]) -> int:
    """Return the frames of an animated image; SVG is authored by a second model, and not sold.

    A format is named exactly: a "GIF" would be one image here and animated upstream.
    """
    kind = read_typed(fields, "output_format", str)
    if kind == "svg" or fields.get("svg") is not None:
        raise InvalidRequestError("SVG output is not available here.", param="output_format")
    if kind not in _FORMATS:
        raise InvalidRequestError(
            "'output_format' must be 'png', 'jpeg', 'webp' or 'gif'.", param="output_format"
        )
    asked = read_count(fields, "frame_count", _FRAMES_MAX)
    return asked or _FRAMES_DEFAULT if kind == "gif" else 1


def make_quote(order: ImageOrder, *, text_tokens: int, image_tokens: int) -> ImageQuote:
    """Return the figures of an order whose prompt and input images count so much."""
    return ImageQuote(
        price=order.price,
        output=order.model.image_output,
        looks=order.looks,
        count=order.count,
        frames=order.frames,
        partials=order.partials if order.is_stream else 0,
        text_tokens=text_tokens,
        image_tokens=image_tokens,
    )


def quote_image_order(order: ImageOrder) -> ImageQuote:
    """Count prompt and images and return the figures. Slow (tokenizer): call it in a thread."""
    if not order.price.has_tokens:
        return make_quote(order, text_tokens=0, image_tokens=0)
    prompt = order.body.fields.get("prompt")
    text = prompt if isinstance(prompt, str) else ""
    return make_quote(
        order,
        text_tokens=count_text(text, order.model.encoding) + _AROUND_PROMPT_TOKENS,
        image_tokens=order.body.count_images(order.model.image_tokens),
    )
