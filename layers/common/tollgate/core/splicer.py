"""What of one stream is spliced: the templates that its chunks have taught, and when to learn.

Chunks that report usage, finish a choice or bring anything but one text are parsed, each of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tollgate.core.chunk_template import ChunkTemplate, Spliced, learn, only_delta
from tollgate.core.message_parts import output_texts
from tollgate.core.stream_form import Chunk

TEMPLATES_MAX = 4
LESSONS_MIN = 6  # templates that a stream may make in any case
HITS_A_LESSON = 16  # what a further one must have been worth
# What is decided by: as it was in the chunk that was parsed, or the chunk is parsed.
_READ_FIELDS = frozenset({"choices", "error", "object", "usage", "x_groq"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    """A chunk that was parsed, for the next one to be compared with."""

    data: str
    raw: Mapping[str, object]
    chunk: Chunk


class Splicer:
    """One stream's templates, the one that fitted last in front."""

    def __init__(self) -> None:
        self._templates: list[ChunkTemplate] = []
        self._lesson: _Lesson | None = None
        self._last_raw: Mapping[str, object] = {}
        self._varying: frozenset[str] = frozenset()
        self._lessons = 0
        self._hits = 0

    def splice(self, data: str) -> Spliced | None:
        """Return the chunk to send for an event's data, or None where it must be parsed."""
        if self._lesson is not None:
            self._learn(self._lesson)
            self._lesson = None
        for template in self._templates:
            spliced = template.splice(data)
            if spliced is not None:
                self._hits += 1
                if template is not self._templates[0]:
                    self._templates.remove(template)
                    self._templates.insert(0, template)
                return spliced
        return None

    def note_parsed(self, data: str, raw: Mapping[str, object], chunk: Chunk | None) -> None:
        """Remember what a parsed chunk has come to; it is learned from if one more comes.

        `raw` reports no usage, and `chunk`, what is sent of it, is not changed any more.
        """
        self._varying |= {
            name
            for name in raw.keys() - _READ_FIELDS
            if _varies(raw[name], self._last_raw.get(name))
        }
        self._last_raw = raw
        self._lesson = None
        if chunk is not None and self._lessons < LESSONS_MIN + self._hits // HITS_A_LESSON:
            self._lesson = _Lesson(data=data, raw=raw, chunk=chunk)

    def _learn(self, lesson: _Lesson) -> None:
        text_field = _find_text_field(lesson)
        if text_field is None:
            return
        self._lessons += 1
        template = learn(
            lesson.data,
            lesson.raw,
            lesson.chunk.payload,
            text_field=text_field,
            is_output=bool(lesson.chunk.outputs),
            varying=self._varying,
        )
        if template is not None:
            self._templates.insert(0, template)
            del self._templates[TEMPLATES_MAX:]


def _varies(value: object, before: object) -> bool:
    """Whether a field beside `choices` is one that may differ from chunk to chunk."""
    return type(value) is type(before) and isinstance(value, (str, int)) and value != before


def _find_text_field(lesson: _Lesson) -> str | None:
    """Return the field of the delta whose text is all that this chunk says, if there is one.

    Not in a choice's first chunk, which is sent with its role.
    """
    raw_delta, sent_delta = only_delta(lesson.raw), only_delta(lesson.chunk.payload)
    if not raw_delta or not sent_delta or "role" in sent_delta:
        return None
    said = {name: value for name, value in raw_delta.items() if value and name != "role"}
    name, text = next(iter(said.items()), ("", None))
    if len(said) != 1 or not isinstance(text, str) or sent_delta.get(name) != text:
        return None
    return name if output_texts(sent_delta) == [text] * bool(lesson.chunk.outputs) else None
