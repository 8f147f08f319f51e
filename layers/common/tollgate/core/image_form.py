"""An image answer, whole or an event of a stream, brought into OpenAI's form.

What vendors send is listed in docs/wire-format.md#images: ids, costs and timings of their own, no
`created`, entries without an image, events of any name. What is not OpenAI's stays here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

_IMAGE_FIELDS = ("b64_json", "url")
_LOOKS = frozenset({"background", "output_format", "quality", "size"})
# `mime_type` is xAI's, and says no more than the image itself.
_OF_ITEM = frozenset({*_IMAGE_FIELDS, "mime_type", "revised_prompt"})
_OF_PARTIAL = _LOOKS | _OF_ITEM | {"created_at", "partial_image_index", "type"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageForm:
    """An answer in OpenAI's form without `usage`, beside its images' sizes and qualities.

    `head`: a whole answer's fields; an event has none. `items`: an entry, or a completed event, an
    image. `made` says of each what the vendor says of its size and quality, None where it does not.
    `raw_usage` is the vendor's own object.
    """

    head: dict[str, object]
    items: list[dict[str, object]]
    made: list[tuple[str | None, str | None]]
    raw_usage: object


def reshape_images(raw: Mapping[str, object], *, now: int) -> ImageForm | None:
    """Return a whole answer in OpenAI's form, or None where it has no image.

    `now`: unix seconds, used as `created` where the upstream sends none.
    """
    data = raw.get("data")
    entries = [
        entry
        for entry in (data if isinstance(data, list) else [])
        if isinstance(entry, Mapping) and has_image(entry)
    ]
    if not entries:
        return None
    return ImageForm(
        head={"created": _time(raw.get("created"), now), **_keep(raw, _LOOKS)},
        items=[_keep(entry, _OF_ITEM) for entry in entries],
        made=[(_said(entry, raw, "size"), _said(entry, raw, "quality")) for entry in entries],
        raw_usage=raw.get("usage"),
    )


def reshape_event(raw: Mapping[str, object], *, kind: str, now: int) -> ImageForm | None:
    """Return an event's images as completed events of type `kind`, or None where it has none.

    Whatever the vendor calls the event: an image in it is a whole one. An event that is a whole
    answer has as many as that.
    """
    whole = reshape_images(raw, now=now)
    if whole is not None:
        return replace(whole, head={}, items=split_into_events(whole, kind))
    if not has_image(raw):
        return None
    own = {"type": kind, "created_at": _time(raw.get("created_at"), now)}
    return ImageForm(
        head={},
        items=[own | _keep(raw, _LOOKS | _OF_ITEM)],
        made=[(_said(raw, raw, "size"), _said(raw, raw, "quality"))],
        raw_usage=raw.get("usage"),
    )


def keep_partial(raw: Mapping[str, object]) -> Mapping[str, object]:
    """Return a preview's event without what is not OpenAI's: the same one if there is nothing."""
    kept = _keep(raw, _OF_PARTIAL)
    return raw if len(kept) == len(raw) else kept


def split_into_events(form: ImageForm, kind: str) -> list[dict[str, object]]:
    """Return a whole answer as the completed events that a stream would have had."""
    head = {name: value for name, value in form.head.items() if name != "created"}
    created_at = form.head["created"]
    return [{"type": kind, "created_at": created_at, **head, **item} for item in form.items]


def has_image(entry: Mapping[str, object]) -> bool:
    """Whether an entry or event carries an image: its bytes in base64, or where it lies."""
    return any(isinstance(entry.get(name), str) and entry[name] for name in _IMAGE_FIELDS)


def _keep(raw: Mapping[str, object], names: frozenset[str]) -> dict[str, object]:
    """Return the fields of these names; none of them is an object or a list at OpenAI's."""
    return {
        name: value for name, value in raw.items() if name in names and isinstance(value, str | int)
    }


def _time(value: object, now: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return now
    return value


def _said(entry: Mapping[str, object], answer: Mapping[str, object], name: str) -> str | None:
    """Return what the entry, or else its answer, says of an image; "auto" says nothing."""
    value = entry.get(name) or answer.get(name)
    return value if isinstance(value, str) and value != "auto" else None
