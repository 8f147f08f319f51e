"""An upstream that answers from a script, for tests of what is done with the answer."""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tollgate.errors import TollgateError, UpstreamError
from tollgate.upstream.client import Call, Completion
from tollgate.upstream.refusals import error_in_event
from tollgate.upstream.sse import ServerEvent

type Step = dict[str, Any] | str | Exception | ServerEvent


class FakeEventStream:
    """Yields the script's events: chunks, raw data, events, or an exception raised at its place."""

    channel = "fake"
    ending = ""  # as it was told

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = iter(steps)
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[ServerEvent]:
        while batch := await self.take():
            for event in batch:
                yield event

    async def take(self) -> list[ServerEvent]:
        """Return the next event, as if each came alone."""
        step = next(self._steps, None)
        if step is None:
            return []
        if isinstance(step, Exception):
            raise step
        if isinstance(step, ServerEvent):
            return [step]
        return [ServerEvent(data=step if isinstance(step, str) else json.dumps(step))]

    def find_error(self, event: ServerEvent, raw: Any) -> Any:
        return error_in_event(event.event, raw)

    def note_complete(self) -> None:
        self.ending = "complete"

    def note_broken(self, error: UpstreamError) -> None:
        self.ending = f"broken: {type(error).__name__}"

    async def aclose(self) -> None:
        self.is_closed = True


@dataclass(slots=True)
class FakeUpstream:
    """Answers every call with `steps` (a stream) or `body` (a whole answer), or `error`."""

    steps: Sequence[Step] = ()
    body: dict[str, Any] = field(default_factory=dict)
    error: TollgateError | None = None
    calls: list[Any] = field(default_factory=list)
    streams: list[FakeEventStream] = field(default_factory=list)

    def look(self) -> None:
        """Nothing rests."""

    async def complete(self, call: Call) -> Completion:
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        return Completion(channel="fake", body=self.body)

    async def open_stream(self, call: Call) -> Any:
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        self.streams.append(FakeEventStream(self.steps))
        return self.streams[-1]

    async def open_either(self, call: Call) -> Any:
        """As a vendor that ignores `stream` where there are no steps."""
        return await (self.open_stream(call) if self.steps else self.complete(call))
