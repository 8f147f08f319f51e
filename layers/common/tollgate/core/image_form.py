"""An image answer, whole or an event of a stream, brought into OpenAI's form.

What vendors send is listed in docs/wire-format.md#images: ids, costs and timings of their own, no
`created`, entries without an image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tollgate.core.stream_form import DROPPED_FIELDS

_DROPPED = DROPPED_FIELDS | {"data", "svg_usage"}
_DROPPED_OF_ITEM = DROPPED_FIELDS | {"index"}
_IMAGE_FIELDS = ("b64_json", "url")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageForm:
    """An answer in OpenAI's form without `usage`, beside its images' sizes and qualities.

    `made` has an entry an image: what the vendor says of its size and quality, None where it does
    not. `raw_usage` is the vendor's own object.
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
    created = raw.get("created")
    return ImageForm(
        head={
            "created": created if _is_time(created) else now,
            **_keep(raw, _DROPPED),
        },
        items=[_keep(entry, _DROPPED_OF_ITEM) for entry in entries],
        made=[(_said(entry, raw, "size"), _said(entry, raw, "quality")) for entry in entries],
        raw_usage=raw.get("usage"),
    )


def reshape_event(raw: Mapping[str, object], *, now: int) -> ImageForm:
    """Return a stream's completed event in OpenAI's form; without an image `made` is empty."""
    created = raw.get("created_at")
    return ImageForm(
        head=_keep(raw, _DROPPED) | {"created_at": created if _is_time(created) else now},
        items=[],
        made=[(_said(raw, raw, "size"), _said(raw, raw, "quality"))] if has_image(raw) else [],
        raw_usage=raw.get("usage"),
    )


def split_into_events(form: ImageForm, kind: str) -> list[dict[str, object]]:
    """Return a whole answer as the completed events that a stream would have had."""
    head = {name: value for name, value in form.head.items() if name != "created"}
    created_at = form.head["created"]
    return [{"type": kind, "created_at": created_at, **head, **item} for item in form.items]


def has_image(entry: Mapping[str, object]) -> bool:
    """Whether an entry or event carries an image: its bytes in base64, or where it lies."""
    return any(isinstance(entry.get(name), str) and entry[name] for name in _IMAGE_FIELDS)


def _keep(raw: Mapping[str, object], dropped: frozenset[str]) -> dict[str, object]:
    return {name: value for name, value in raw.items() if value is not None and name not in dropped}


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _said(entry: Mapping[str, object], answer: Mapping[str, object], name: str) -> str | None:
    """Return what the entry, or else its answer, says of an image; "auto" says nothing."""
    value = entry.get(name) or answer.get(name)
    return value if isinstance(value, str) and value != "auto" else None
