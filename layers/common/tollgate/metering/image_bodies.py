"""What metering reads of an image request's body, JSON or form: typed fields and input images.

A form's values are text; those that metering reads get their JSON type here. It must read what the
upstream will: so such a field may come once only, as text, and spelled as it is.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tollgate.core.catalog import ImageTokens
from tollgate.core.image_tokens import count_image, count_image_file
from tollgate.core.multipart import Form, Part
from tollgate.errors import InvalidRequestError
from tollgate.metering.order_fields import check_spelling

FIELD_BYTES_MAX = 1000
PROMPT_BYTES_MAX = 1024 * 1024
_IMAGE_FIELDS = ("image", "images", "image[]", "mask", "markup")
_NUMBERS = frozenset({"n", "partial_images", "frame_count"})
_BOOLEANS = frozenset({"stream", "official"})
_TEXTS = frozenset({"model", "prompt", "size", "quality", "output_format", "svg"})
_READ = _NUMBERS | _BOOLEANS | _TEXTS
KNOWN_FIELDS = _READ | set(_IMAGE_FIELDS)
_WHOLE = re.compile(r"[0-9]{1,9}")

type InputImage = memoryview | object  # a file's bytes, or what a JSON body or a text part names


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBody:
    """A request's body as it goes upstream, and what metering reads of it.

    `names`: of all fields that have a value, in a form without brackets and what they hold.
    """

    upstream: Mapping[str, object] | Form
    names: frozenset[str]
    fields: Mapping[str, object]
    images: tuple[InputImage, ...]

    def count_images(self, rule: ImageTokens) -> int:
        """Return the tokens of the input images; one whose size is not at hand counts the most."""
        return sum(
            count_image_file(rule, image)
            if isinstance(image, memoryview)
            else count_image(rule, image, None)
            for image in self.images
        )


def read_json_body(body: Mapping[str, object]) -> ImageBody:
    """Return a JSON body's fields and the images that it names, by URL, data URL or file id.

    Raises: InvalidRequestError: a field that metering reads has another case.
    """
    check_spelling(body, KNOWN_FIELDS)
    return ImageBody(
        upstream={name: value for name, value in body.items() if name not in ("model", "official")},
        names=frozenset(name for name, value in body.items() if value is not None),
        fields=body,
        images=tuple(_find_images(body)),
    )


def read_form_body(form: Form) -> ImageBody:
    """Return a form's fields with their JSON types, and its files.

    Raises: InvalidRequestError: a field that metering reads is there twice, is a list, a file or no
        plain text, is too long, or has another case.
    """
    fields: dict[str, object] = {}
    images: list[InputImage] = []
    names: set[str] = set()
    for part in form.parts:
        if part.is_file or part.name in _IMAGE_FIELDS:
            images.append(part.body if part.is_file else None)
        name = part.name.partition("[")[0].strip()
        names.add(name)
        if name in _READ:
            fields[name] = _read_field(name, part, fields)
    check_spelling(names, KNOWN_FIELDS)
    return ImageBody(upstream=form, names=frozenset(names), fields=fields, images=tuple(images))


def _read_field(name: str, part: Part, fields: Mapping[str, object]) -> object:
    if name != "svg" and (name in fields or name != part.name):
        raise InvalidRequestError(f"'{name}' is given more than once, or as a list.", param=name)
    if part.is_file or not part.is_text:
        raise InvalidRequestError(f"'{name}' must be plain text, and no file.", param=name)
    if len(part.body) > (PROMPT_BYTES_MAX if name == "prompt" else FIELD_BYTES_MAX):
        raise InvalidRequestError(f"'{name}' is too long.", param=name)
    try:
        return _typed(name, str(part.body, "utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"'{name}' must be UTF-8.", param=name) from error


def _typed(name: str, text: str) -> object:
    """Return a text with its JSON type; one that has another form stays text, to be refused."""
    if name in _NUMBERS and _WHOLE.fullmatch(text):
        return int(text)
    if name in _BOOLEANS:
        return {"true": True, "false": False}.get(text.lower(), text)
    return text


def _find_images(body: Mapping[str, object]) -> Iterator[object]:
    for name in _IMAGE_FIELDS:
        value = body.get(name)
        for entry in value if isinstance(value, list) else [value]:
            if entry is not None:
                yield _find_url(entry)


def _find_url(entry: object) -> object:
    """Return the URL in `"…"`, `{"image_url": "…"}`, `{"image_url": {"url": "…"}}`, `{"url"}`."""
    if not isinstance(entry, Mapping):
        return entry
    found = entry.get("image_url", entry.get("url"))
    return found.get("url") if isinstance(found, Mapping) else found
