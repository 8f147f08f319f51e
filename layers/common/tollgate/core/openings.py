"""With which event a streamed answer opens: the ones before it only announce that it will come.

A vendor that dies behind its announcements has said nothing: another one can be asked, and the
caller never knows.
"""

from collections.abc import Mapping

from tollgate.core.image_form import has_image
from tollgate.core.message_parts import audio_tokens, join_content_parts, output_texts
from tollgate.core.stream_form import chunk_usage


def opens_completion(raw: Mapping[str, object]) -> bool:
    """Whether a chunk has output, a finish reason, or usage that says that there was output.

    A role alone, empty content, Azure's filter results and padding announce.
    """
    choices = _objects(raw.get("choices"))
    if any(choice.get("finish_reason") or _has_output(choice) for choice in choices):
        return True
    usage = chunk_usage(raw)
    return usage is not None and usage.completion > 0


def _has_output(choice: Mapping[str, object]) -> bool:
    raw = choice.get("delta")
    delta = dict(raw) if isinstance(raw, Mapping) else {}
    join_content_parts(delta)
    return bool(output_texts(delta) or audio_tokens(delta) or delta.get("tool_calls"))


def opens_images(raw: Mapping[str, object]) -> bool:
    """Whether an event has an image, whole or a preview."""
    return any(has_image(entry) for entry in (raw, *_objects(raw.get("data"))))


def _objects(value: object) -> list[Mapping[str, object]]:
    entries = value if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, Mapping)]
