"""The parts of OpenAI's messages as Converse's content blocks. Pure.

    text, refusal                    {"text": …}
    image_url with a data URL        {"image": {"format", "source": {"bytes"}}}
    cache_control on one of these    {"cachePoint": {"type": "default"}} after it

Nothing is ever fetched: an address in a request would let a caller reach what only the gateway can.
Source: the shape ContentBlock in botocore's model of bedrock-runtime.
"""

import base64
from collections.abc import Mapping

from tollgate.upstream.failures import RequestUnsupportedError

type Block = dict[str, object]

CACHE_POINT: Mapping[str, object] = {"cachePoint": {"type": "default"}}
_IMAGE_FORMATS = {
    "data:image/gif;base64": "gif",
    "data:image/jpeg;base64": "jpeg",
    "data:image/jpg;base64": "jpeg",
    "data:image/png;base64": "png",
    "data:image/webp;base64": "webp",
}
_TEXT_FIELDS = {"text": "text", "refusal": "refusal"}


def read_content(content: object, place: str, *, has_images: bool) -> list[Block]:
    """Return a message's `content` as blocks; blank text is left out, since Bedrock refuses it.

    `place`: the content's path in the request. `has_images`: whether images may be in it.
    Raises: RequestUnsupportedError: a part that Converse does not have.
    """
    if content is None or isinstance(content, str):
        return _text(content or "")
    if not isinstance(content, list):
        raise RequestUnsupportedError(f"'{place}' must be text or a list of parts.", param=place)
    return [
        block
        for position, part in enumerate(content)
        for block in _read_part(part, f"{place}[{position}]", has_images=has_images)
    ]


def cache_point(fields: Mapping[str, object], place: str) -> list[Block]:
    """Return the cache point that `cache_control` of a part or tool asks for, if it does.

    Raises: RequestUnsupportedError: for longer than five minutes, which has a price of its own.
    """
    control = fields.get("cache_control")
    if not isinstance(control, Mapping):
        return []
    if control.get("ttl") not in (None, "5m"):
        raise RequestUnsupportedError(
            "Prompts are cached for five minutes only: 'ttl' must be absent or '5m'.",
            param=f"{place}.cache_control.ttl",
        )
    return [dict(CACHE_POINT)]


def _text(text: str) -> list[Block]:
    return [{"text": text}] if text.strip() else []


def _read_part(part: object, place: str, *, has_images: bool) -> list[Block]:
    fields = part if isinstance(part, Mapping) else {}
    kind = fields.get("type")
    blocks: list[Block] = []
    if isinstance(kind, str) and isinstance(text := fields.get(_TEXT_FIELDS.get(kind, "")), str):
        blocks = _text(text)
    elif kind == "image_url" and has_images:
        blocks = [_read_image(fields.get("image_url"), f"{place}.image_url")]
    else:
        raise RequestUnsupportedError(
            "This model takes text and images here, no other parts.", param=place
        )
    return [*blocks, *cache_point(fields, place)] if blocks else []


def _read_image(image: object, place: str) -> Block:
    url = image.get("url") if isinstance(image, Mapping) else image
    head, _, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    image_format = _IMAGE_FORMATS.get(head.lower())
    if image_format is None:
        raise RequestUnsupportedError(
            "Images must be data URLs for this model (data:image/png;base64,…; also jpeg, gif and"
            " webp): addresses are not fetched.",
            param=place,
        )
    try:
        base64.b64decode(data, validate=True)
    except ValueError as error:
        raise RequestUnsupportedError("The image is not base64.", param=place) from error
    # Bytes are base64 in Converse's JSON as well.
    return {"image": {"format": image_format, "source": {"bytes": data}}}
