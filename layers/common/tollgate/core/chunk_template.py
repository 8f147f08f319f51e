"""A chunk of which only some values change, written anew without being parsed.

    {"id":"x",…"delta":{"content":"a"}…,"obfuscation":"q"}      parsed whole, and learned from
    └────── literal ───────────┘   └─ literal ──────┘   └┘      the rest: tokens that may differ
    {"id":"x",…"delta":{"content":"b"}…,"obfuscation":"rs"}     spliced

A template is proved when it is learned: the chunk with other tokens in it must parse to what the
parsed chunk is with those values. As one string takes the place of another, JSON then says the same
of every other string. What differs from the template by a byte is the caller's to parse.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tollgate.core.json_text import dump, parse_object
from tollgate.core.stream_form import DROPPED_FIELDS

# What `dump` writes as it stands: no escapes but the short ones, no half of an emoji.
_PLAIN = r'[^"\\\x00-\x1f\ud800-\udfff]*+'
_STRING = re.compile(rf'"{_PLAIN}(?:\\["\\bfnrt]{_PLAIN})*+"')
_NUMBER = re.compile(r"[1-9][0-9]{0,15}+")
_EMPTY = '""'
_NUMBER_PROBE = 4_000_000_000


class Spliced(NamedTuple):
    """A chunk to send; a tuple because one is made for each.

    `body`: JSON without its last brace. `text`: the one that it has; `is_output`: whether it is
    sold.
    """

    body: str
    text: str
    is_output: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkTemplate:
    """Chunks of one stream that are alike; `learn` makes it.

    `tokens`: each with the literal before it and its pattern. `text_at`: which of them is the text.
    `output`: a format that takes the tokens in `order`; what is not sent is not in it.
    """

    tokens: tuple[tuple[str, re.Pattern[str]], ...]
    tail: str
    text_at: int
    output: str
    order: tuple[int, ...]
    is_output: bool

    def splice(self, data: str) -> Spliced | None:
        """Return the chunk to send for an event's data; None: it is to be parsed."""
        at = 0
        found: list[str] = []
        for literal, pattern in self.tokens:
            if not data.startswith(literal, at):
                return None
            token = pattern.match(data, at + len(literal))
            if token is None:
                return None
            found.append(token[0])
            at = token.end()
        text = found[self.text_at]
        if text == _EMPTY or data[at:] != self.tail:
            return None
        body = self.output % tuple([found[place] for place in self.order])
        return Spliced(body, json.loads(text) if "\\" in text else text[1:-1], self.is_output)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    """A token of the chunk that is learned from, and what takes its place in the proof."""

    name: str
    pattern: re.Pattern[str]
    start: int
    end: int
    probe: str | int

    @property
    def token(self) -> str:
        """The probe as JSON."""
        return dump({"": self.probe}).decode()[4:-1]


def learn(
    data: str,
    raw: Mapping[str, object],
    sent: Mapping[str, object],
    *,
    text_field: str,
    is_output: bool,
    varying: frozenset[str],
) -> ChunkTemplate | None:
    """Return the template of a chunk, or None where it cannot be proved.

    Args:
        data: the event's data.
        raw: what it parses to, with one choice.
        sent: what is sent of it, without figures.
        text_field: the field of its delta that has the text; `is_output`: whether that is sold.
        varying: the fields beside `choices` that differ from chunk to chunk.
    """
    names = [text_field, *sorted(varying & raw.keys())]
    found = [slot for place, name in enumerate(names) if (slot := _find_slot(data, name, place))]
    slots = sorted(found, key=lambda slot: slot.start)
    if len(slots) < len(names) or not _is_proved(data, raw, slots, text_field):
        return None
    kept = [slot for slot in slots if slot.name == text_field or slot.name not in DROPPED_FIELDS]
    body = dump(_replace(sent, kept, text_field)).decode()[:-1]
    if any(body.count(slot.token) != 1 for slot in kept):
        return None
    in_order = sorted(kept, key=lambda slot: body.index(slot.token))
    output = body.replace("%", "%%")
    for slot in kept:
        output = output.replace(slot.token, "%s")
    starts = [0, *(slot.end for slot in slots)]
    return ChunkTemplate(
        tokens=tuple(
            (data[start : slot.start], slot.pattern)
            for start, slot in zip(starts, slots, strict=False)
        ),
        tail=data[starts[-1] :],
        text_at=next(place for place, slot in enumerate(slots) if slot.name == text_field),
        output=output,
        order=tuple(slots.index(slot) for slot in in_order),
        is_output=is_output,
    )


def _find_slot(data: str, name: str, place: int) -> _Slot | None:
    """Return the value of the only member called `name`, wherever it is: the proof is to come."""
    key = dump({name: 0}).decode()[1:-2]
    if data.count(key) != 1:
        return None
    start = data.index(key) + len(key)
    start += data.startswith(" ", start)
    for pattern, probe in ((_STRING, f"\ue000{place}"), (_NUMBER, _NUMBER_PROBE + place)):
        if token := pattern.match(data, start):
            return _Slot(name=name, pattern=pattern, start=start, end=token.end(), probe=probe)
    return None


def _is_proved(data: str, raw: Mapping[str, object], slots: list[_Slot], text_field: str) -> bool:
    """Whether the tokens are all that the slots' names stand for."""
    probed = data
    for slot in reversed(slots):
        probed = f"{probed[: slot.start]}{slot.token}{probed[slot.end :]}"
    return parse_object(probed) == _replace(raw, slots, text_field)


def _replace(chunk: Mapping[str, object], slots: list[_Slot], text_field: str) -> dict[str, object]:
    """Return a chunk of one choice with the probes in it."""
    values = {slot.name: slot.probe for slot in slots if slot.name != text_field}
    text = {slot.name: slot.probe for slot in slots if slot.name == text_field}
    choice = _only_choice(chunk) or {}
    delta = only_delta(chunk) or {}
    return {**chunk, **values, "choices": [{**choice, "delta": {**delta, **text}}]}


def only_delta(chunk: Mapping[str, object]) -> Mapping[str, object] | None:
    """Return the delta of a chunk that has one choice."""
    choice = _only_choice(chunk)
    delta = choice.get("delta") if choice is not None else None
    return delta if isinstance(delta, Mapping) else None


def _only_choice(chunk: Mapping[str, object]) -> Mapping[str, object] | None:
    choices = chunk.get("choices")
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    return choice if isinstance(choice, Mapping) else None
