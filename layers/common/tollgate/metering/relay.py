"""A running stream: each chunk becomes a frame with its figures, the finish waits for them.

    chunk ──▶ frame with running usage and quota, at once
    finish chunk ──▶ held ──▶ upstream's end ──▶ frames with exact usage and quota ──▶ data: [DONE]

Pure and synchronous; one call an event. What each caller sees is the table of docs/wire-format.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tollgate.core.json_text import dump
from tollgate.core.prices import Usage
from tollgate.core.quotes import Quote
from tollgate.core.splicer import Splicer
from tollgate.core.stream_form import Chunk, StreamForm, chunk_usage
from tollgate.core.units import Micropoints, format_points
from tollgate.core.usage import usage_json

DONE_FRAME = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the caller sees of the metering.

    `has_quota`: quota on every chunk. `has_running_usage`: usage on every chunk.
    `has_usage_chunk`: OpenAI's form instead, null and then one chunk without choices.
    """

    has_quota: bool
    has_running_usage: bool
    has_usage_chunk: bool


def choose_view(*, is_official: bool, has_usage_chunk: bool) -> View:
    """Return the view of a name with or without `-official`, with or without include_usage."""
    return View(
        has_quota=not is_official,
        has_running_usage=not is_official and not has_usage_chunk,
        has_usage_chunk=has_usage_chunk,
    )


class Relay:
    """The state of one stream between upstream and caller."""

    def __init__(
        self,
        *,
        form: StreamForm,
        view: View,
        quote: Quote,
        quota_max: Micropoints,
        last_fields: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """`quota_max`: the hold; a running quota never shows more.

        `last_fields`: what the last chunk has beside its figures.
        """
        self._form = form
        self._view = view
        self._quote = quote
        self._meter = quote.meter()
        self._quota_max = quota_max
        self._last_fields = last_fields
        self._held: list[Chunk] = []
        self._usage: Usage | None = None
        self._output_chunks = 0
        self._splicer = Splicer()

    @property
    def has_output(self) -> bool:
        """Whether anything sold has come from the upstream."""
        return self._output_chunks > 0

    @property
    def is_complete(self) -> bool:
        """Whether every choice that was ordered has finished: what follows is only figures.

        An upstream that closes without `[DONE]` is believed then only; usage is no sign of an end,
        since some send it with every chunk.
        """
        return len(self._form.finished) >= self._quote.choices

    @property
    def reported_usage(self) -> Usage | None:
        """Upstream's usage, unless output followed it or it denies the output that came."""
        if self._usage is None or (self.has_output and self._usage.completion == 0):
            return None
        return self._usage

    def counted_output(self) -> tuple[str, int]:
        """Return all output text and the audio tokens, to be counted where no usage came."""
        return self._form.text, self._form.audio_tokens

    def splice(self, data: str) -> bytes | None:
        """Return the frame of a chunk like one before it, or None: then it is to be parsed.

        The same frame, and the same figures after it, as `take` would return; in a tenth of the
        time. `data`: that of an event without a name.
        """
        spliced = None if self._held else self._splicer.splice(data)
        if spliced is None:
            return None
        if spliced.is_output:
            self._output_chunks += 1
            self._usage = None
            self._form.note_text(spliced.text)
        return f"data: {spliced.body}{self._running_figures()}".encode()

    def take(self, raw: Mapping[str, object], data: str = "") -> list[bytes]:
        """Return the frames that one upstream chunk releases: none while the finish is held.

        `data`: what was parsed, to be learned from.
        """
        finished_before = set(self._form.finished)
        chunk = self._form.reshape(raw)
        usage = chunk_usage(raw)
        self._note_usage(usage, chunk)
        if data and usage is None:
            self._splicer.note_parsed(data, raw, chunk)
        if chunk is None:
            return []
        if not self._held and not chunk.finishes:
            return [self._running_frame(chunk)]
        frames = [] if chunk.outputs <= finished_before else self.release_held()
        if not self._held and not chunk.finishes:
            return [*frames, self._running_frame(chunk)]
        self._held.append(chunk)
        return frames

    def _note_usage(self, usage: Usage | None, chunk: Chunk | None) -> None:
        has_output = chunk is not None and bool(chunk.outputs)
        self._output_chunks += has_output
        if has_output or usage is not None:
            self._usage = usage

    def release_held(self) -> list[bytes]:
        """Return the held chunks with running figures: another choice goes on, or it broke off."""
        held, self._held = self._held, []
        self._close(held)
        return [self._running_frame(chunk) for chunk in held]

    def end(self, usage: Usage, quota: Micropoints, *, is_at_limit: bool = False) -> list[bytes]:
        """Return the last frames, with exact figures; `data: [DONE]` is the caller's to send.

        `is_at_limit`: whether the answer is as long as it was allowed to be, which is the reason to
        give for a choice whose vendor gives none.
        """
        self._held += self._form.close_choices(is_at_limit=is_at_limit)
        if not self._held and self._view.has_running_usage:
            self._held.append(self._form.empty())
        self._close(self._held)
        payloads = [self._exact_payload(chunk.payload, usage) for chunk in self._held]
        if self._view.has_usage_chunk:
            payloads.append(self._form.envelope({}) | {"choices": [], "usage": usage_json(usage)})
        for payload in payloads[-1:]:
            payload.update(self._last_fields)
        return [self._exact_frame(payload, quota) for payload in payloads]

    def _close(self, held: list[Chunk]) -> None:
        """Complete what is sent now: each finish once, each call with arguments."""
        _keep_last_finish(held)
        self._form.close_calls(held)

    def _running_frame(self, chunk: Chunk) -> bytes:
        return b"data: %b%b" % (dump(chunk.payload)[:-1], self._running_figures().encode())

    def _running_figures(self) -> str:
        """Return the end of a running frame: the last members, brace and blank line."""
        view, chunks = self._view, self._output_chunks
        usage = ',"usage":null' if view.has_usage_chunk else ""
        if view.has_running_usage:
            prompt = self._quote.prompt_tokens
            usage = (
                f',"usage":{{"prompt_tokens":{prompt},"completion_tokens":{chunks}'
                f',"total_tokens":{prompt + chunks}}}'
            )
        if not view.has_quota:
            return f"{usage}}}\n\n"
        quota = min(self._meter(chunks), self._quota_max)
        return f'{usage},"quota":{format_points(quota)}}}\n\n'

    def _exact_payload(self, payload: dict[str, object], usage: Usage) -> dict[str, object]:
        if self._view.has_running_usage:
            payload["usage"] = usage_json(usage)
        elif self._view.has_usage_chunk:
            payload["usage"] = None
        return payload

    def _exact_frame(self, payload: Mapping[str, object], quota: Micropoints) -> bytes:
        body = dump(payload)
        if not self._view.has_quota:
            return b"data: %b\n\n" % body
        return b'data: %b,"quota":%b}\n\n' % (body[:-1], format_points(quota).encode())


def _keep_last_finish(held: list[Chunk]) -> None:
    """Keep each choice's last finish reason: some vendors repeat it on the usage chunk."""
    seen: set[int] = set()
    for chunk in reversed(held):
        for choice_index in chunk.finishes & seen:
            chunk.drop_finish(choice_index)
        seen |= chunk.finishes
