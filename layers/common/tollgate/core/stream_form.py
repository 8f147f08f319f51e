"""One upstream's stream of chunks, brought into OpenAI's form whatever the vendor sends.

Owns the shape of a chunk; knows nothing of bytes, prices or when a chunk is sent. The quirks are
those of docs/wire-format.md, each seen in a recorded answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from tollgate.core.annotations import number_annotations, repair_annotations
from tollgate.core.message_parts import (
    audio_tokens,
    guess_finish_reason,
    is_cut_short,
    join_content_parts,
    output_texts,
)
from tollgate.core.prices import Usage
from tollgate.core.tool_calls import StreamedCalls
from tollgate.core.usage import read_usage

# Replaced by ours, or the operator's own business (what the vendor charged, how fast it was).
DROPPED_FIELDS = frozenset(
    {
        "choices",
        "copilot_usage",
        "cost",
        "created",
        "detail",
        "error",
        "id",
        "model",
        "object",
        "quota",
        "timings",
        "usage",
        "usage_breakdown",
        "x_groq",
    }
)
_SECONDS = range(1_000_000_000, 100_000_000_000)


@dataclass(slots=True, kw_only=True)
class Chunk:
    """One chunk to send. `payload` is OpenAI's form without `usage`.

    `finishes` and `outputs` name the choices that finish, or carry output, in this chunk.
    """

    payload: dict[str, object]
    finishes: frozenset[int]
    outputs: frozenset[int]

    def drop_finish(self, choice_index: int) -> None:
        """Take the finish reason of one choice away: a later chunk repeats it."""
        for choice in self.choices():
            if choice["index"] == choice_index:
                choice["finish_reason"] = None

    def choices(self) -> list[dict[str, object]]:
        """Return the choices of the payload."""
        choices = self.payload["choices"]
        return choices if isinstance(choices, list) else []


class StreamForm:
    """The state that reshaping one stream needs: which roles and tool calls were already seen.

    After the stream, `text` and `audio_tokens` are all its output, for counting where the
    upstream reported no usage.
    """

    def __init__(self, *, completion_id: str, model: str, now: int) -> None:
        """`now`: unix seconds, used as `created` where the upstream sends none."""
        self._completion_id = completion_id
        self._model = model
        self._now = now
        self._created: int | None = None
        self._calls: dict[int, StreamedCalls] = {}
        self._annotations: dict[int, int] = {}
        self._open_choices: set[int] = set()
        self.finished: set[int] = set()
        self._text = StringIO()  # a list of a hundred thousand words would be ten times as large
        self.audio_tokens = 0

    @property
    def text(self) -> str:
        """All output text so far."""
        return self._text.getvalue()

    def note_text(self, text: str) -> None:
        """Add output that did not come by `reshape`."""
        self._text.write(text)

    def reshape(self, raw: Mapping[str, object]) -> Chunk | None:
        """Return the chunk to send, or None where it has no choice (filters, usage, padding)."""
        choices = raw.get("choices")
        shaped = [
            self._choice(choice, position)
            for position, choice in enumerate(choices if isinstance(choices, list) else [])
            if isinstance(choice, Mapping)
        ]
        if not shaped:
            return None
        payload = self.envelope(raw) | {"choices": [choice for choice, _ in shaped]}
        finishes = frozenset(
            _index(choice) for choice, _ in shaped if choice["finish_reason"] is not None
        )
        self.finished |= finishes
        outputs = frozenset(_index(choice) for choice, has_output in shaped if has_output)
        return Chunk(payload=payload, finishes=finishes, outputs=outputs)

    def envelope(self, raw: Mapping[str, object]) -> dict[str, object]:
        """Return the fields around `choices`: ours, then the vendor's that are not null."""
        if self._created is None:
            created = raw.get("created")
            is_sane = isinstance(created, int) and created in _SECONDS
            self._created = created if is_sane and isinstance(created, int) else self._now
        extras = {
            name: value
            for name, value in raw.items()
            if value is not None and name not in DROPPED_FIELDS
        }
        return {
            "id": self._completion_id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            **extras,
        }

    def empty(self) -> Chunk:
        """Return a chunk without output or finish, to carry the exact figures of a stream that
        ended without a finish chunk.
        """  # noqa: D205 - one sentence
        return self._bare(0, None)

    def close_choices(self, *, is_at_limit: bool) -> list[Chunk]:
        """Return a finish chunk for each choice of a complete stream that the vendor sent none for.

        `is_at_limit`: whether the answer is as long as it was allowed to be.
        """
        unfinished = sorted(self._open_choices - self.finished)
        return [
            self._bare(
                index, guess_finish_reason(has_calls=index in self._calls, is_at_limit=is_at_limit)
            )
            for index in unfinished
        ]

    def close_calls(self, chunks: Sequence[Chunk]) -> None:
        """Give the calls of the choices that finish in `chunks` an empty object if they need one.

        It is time when the chunks are sent: some vendors name a reason before the arguments. What
        was cut short keeps what it has.
        """
        reasons: dict[int, object] = {}
        places: dict[int, dict[str, object]] = {}
        for choice in (choice for chunk in chunks for choice in chunk.choices()):
            index, delta, reason = _index(choice), choice["delta"], choice["finish_reason"]
            reasons |= {index: reason} if reason else {}
            if isinstance(delta, dict) and (reason or delta.get("tool_calls")):
                places[index] = delta
        for index in reasons.keys() & self._calls.keys():
            if not is_cut_short(reasons[index]):
                self._end_calls(places[index], index)

    def _end_calls(self, delta: dict[str, object], choice_index: int) -> None:
        calls = delta.get("tool_calls")
        begun = calls if isinstance(calls, list) else []
        if ended := self._calls[choice_index].end(begun):
            delta["tool_calls"] = ended

    def _bare(self, index: int, finish_reason: str | None) -> Chunk:
        choice = {"index": index, "delta": {}, "finish_reason": finish_reason}
        finishes = frozenset({index} if finish_reason else ())
        payload = self.envelope({}) | {"choices": [choice]}
        return Chunk(payload=payload, finishes=finishes, outputs=frozenset())

    def _choice(self, raw: Mapping[str, object], position: int) -> tuple[dict[str, object], bool]:
        index = raw.get("index")
        index = index if isinstance(index, int) else position
        delta = raw.get("delta")
        shaped = self._delta(delta if isinstance(delta, Mapping) else {}, index)
        texts = output_texts(shaped)
        audio = audio_tokens(shaped)
        self._text.write("".join(texts))
        self.audio_tokens += audio
        has_output = bool(texts or audio or shaped.get("tool_calls"))
        reason = raw.get("finish_reason") or None
        extras = {
            name: value
            for name, value in raw.items()
            if value is not None and name not in ("error", "message", "text")
        }
        return extras | {"index": index, "delta": shaped, "finish_reason": reason}, has_output

    def _delta(self, raw: Mapping[str, object], choice_index: int) -> dict[str, object]:
        delta = {
            name: value for name, value in raw.items() if value is not None or name == "content"
        }
        delta.pop("role", None)
        join_content_parts(delta)
        calls = delta.pop("tool_calls", None)
        if isinstance(calls, list) and calls:
            delta["tool_calls"] = self._tool_calls(calls, choice_index)
        if "annotations" in delta:
            self._place_annotations(delta, choice_index)
        if choice_index not in self._open_choices:
            self._open_choices.add(choice_index)
            return {"role": "assistant", **delta}
        return delta

    def _tool_calls(self, calls: list[object], choice_index: int) -> list[dict[str, object]]:
        if choice_index not in self._calls:
            self._calls[choice_index] = StreamedCalls(self._completion_id, choice_index)
        begun = self._calls[choice_index]
        return [begun.reshape(call) for call in calls if isinstance(call, Mapping)]

    def _place_annotations(self, delta: dict[str, object], choice_index: int) -> None:
        raw = delta.pop("annotations")
        found = repair_annotations(raw) if isinstance(raw, list) else []
        if found:
            begun = self._annotations.get(choice_index, 0)
            self._annotations[choice_index] = begun + len(found)
            delta["annotations"] = number_annotations(found, begun)


def _index(choice: Mapping[str, object]) -> int:
    index = choice["index"]
    return index if isinstance(index, int) else 0


def chunk_usage(raw: Mapping[str, object]) -> Usage | None:
    """Return the usage that a chunk reports, at its top or inside Groq's `x_groq`."""
    inner = raw.get("x_groq")
    return read_usage(raw.get("usage")) or (
        read_usage(inner.get("usage")) if isinstance(inner, Mapping) else None
    )
