"""What a vendor's raw chunks add up to: written for the oracle, and used by no client and no fake.

A whole answer is a single chunk with its messages as deltas. The vendors' deviations are those that
../shared/recordings/README.md lists.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tests.vendors.readings import Choice

type Json = dict[str, Any]


def fold(chunks: Iterable[Json], *, is_complete: bool = True) -> dict[int, Choice]:
    """Return what each choice says. `is_complete`: no error has ended it, so that it has a reason.

    A reason that the vendor leaves out, and arguments that it leaves empty, are as
    docs/wire-format.md has them.
    """
    said: dict[int, list[Json]] = {}
    reasons: dict[int, str] = {}
    for index, delta, reason in _deltas(chunks):
        said.setdefault(index, []).append(delta)
        if reason:
            reasons[index] = reason
    return {
        index: _choice(said[index], reasons.get(index), is_complete=is_complete)
        for index in sorted(said)
    }


def output_of(chunk: Json) -> Iterator[str]:
    """Yield each text of a chunk that is sold: thinking, text, refusal, calls, transcript."""
    for _, delta, _ in _deltas([chunk]):
        yield from _texts(delta, is_thinking=False)
        yield delta.get("refusal") or ""
        yield _thought(delta)
        for call in _calls_in(delta):
            inner = call.get("function") or call.get("custom") or {}
            yield from (inner.get("name") or "", _arguments(inner))
        yield (delta.get("audio") or {}).get("transcript") or ""


def _deltas(chunks: Iterable[Json]) -> Iterator[tuple[int, Json, str | None]]:
    for chunk in chunks:
        for choice in chunk.get("choices") or []:
            yield choice.get("index") or 0, choice.get("delta") or {}, choice.get("finish_reason")


def _choice(deltas: list[Json], reason: str | None, *, is_complete: bool) -> Choice:
    calls = _calls(deltas, is_whole=is_complete and reason not in ("length", "content_filter"))
    if is_complete and reason is None:
        reason = "tool_calls" if calls else "stop"
    audio = [delta.get("audio") or {} for delta in deltas]
    notes = [note for delta in deltas for note in delta.get("annotations") or []]
    return Choice(
        text="".join(text for delta in deltas for text in _texts(delta, is_thinking=False)),
        reasoning="".join(map(_thought, deltas)),
        refusal="".join(delta.get("refusal") or "" for delta in deltas),
        calls=calls,
        finish=reason,
        audio="".join(part.get("transcript") or "" for part in audio),
        audio_data=sum(len(part.get("data") or "") for part in audio),
        sources=[note.get("url_citation", note)["url"] for note in notes],
    )


def _texts(delta: Json, *, is_thinking: bool) -> Iterator[str]:
    """Yield a content's text, or its thinking: only Mistral's lists of parts have that."""
    content = delta.get("content") or []
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for part in content:
        if is_thinking and part["type"] == "thinking":
            yield from (inner["text"] for inner in part["thinking"])
        elif not is_thinking and part["type"] == "text":
            yield part["text"]


def _thought(delta: Json) -> str:
    """Return the reasoning of one delta: some name the same text twice."""
    named: str = delta.get("reasoning_content") or delta.get("reasoning") or ""
    return named or "".join(_texts(delta, is_thinking=True))


def _calls(deltas: list[Json], *, is_whole: bool) -> list[tuple[str, str, str]]:
    """Return id, name and arguments of each call; a fragment without an index is a whole one."""
    found: dict[object, list[Json]] = {}
    for fragment in (call for delta in deltas for call in _calls_in(delta)):
        found.setdefault(fragment.get("index", len(found) + 1000), []).append(fragment)
    bare = "{}" if is_whole else ""
    calls = [_call(fragments, bare) for fragments in found.values()]
    legacy = [delta["function_call"] for delta in deltas if delta.get("function_call")]
    if legacy:
        calls.append(_call([{"function": part} for part in legacy], bare))
    return calls


def _calls_in(delta: Json) -> list[Json]:
    calls: list[Json] = delta.get("tool_calls") or []
    return calls


def _call(fragments: list[Json], bare: str) -> tuple[str, str, str]:
    inner = [part.get("function") or part.get("custom") or {} for part in fragments]
    ids = [part["id"] for part in fragments if part.get("id")]
    return (
        ids[0] if ids else "",
        "".join(part.get("name") or "" for part in inner),
        "".join(map(_arguments, inner)) or bare,
    )


def _arguments(inner: Json) -> str:
    given = inner.get("arguments") or inner.get("input") or ""
    return given if isinstance(given, str) else json.dumps(given)
