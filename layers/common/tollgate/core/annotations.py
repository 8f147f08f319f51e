"""Citations of web pages in a message or delta, in OpenAI's form.

    {"type": "url_citation", "url_citation": {"start_index", "end_index", "title", "url"}}

Source: OpenAI's chat completion object. One vendor writes the inner fields beside `type`; clients
that check their types refuse the whole chunk then.
"""

from collections.abc import Mapping, Sequence

_KIND = "url_citation"
_INNER: Mapping[str, object] = {"start_index": 0, "end_index": 0, "title": "", "url": ""}


def repair_annotations(raw: Sequence[object]) -> list[dict[str, object]]:
    """Return the annotations, citations with all that OpenAI's have; the others as they are."""
    return [_repair(entry) for entry in raw if isinstance(entry, Mapping)]


def number_annotations(
    annotations: Sequence[Mapping[str, object]], begun: int
) -> list[dict[str, object]]:
    """Return a delta's annotations with `index`: where each stands among the choice's.

    `begun`: how many came before. openai-python's stream helper joins lists by it, and fails on a
    second list without.
    """
    return [{"index": begun + place, **entry} for place, entry in enumerate(annotations)]


def _repair(entry: Mapping[str, object]) -> dict[str, object]:
    if entry.get("type") != _KIND:
        return dict(entry)
    inner = entry.get(_KIND)
    fields = inner if isinstance(inner, Mapping) else _rest(entry)
    said = {name: value for name, value in fields.items() if value is not None}
    return {"type": _KIND, _KIND: {**_INNER, **said}}


def _rest(entry: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in entry.items() if name not in ("type", "index", _KIND)}
