"""An answer's bytes and events as they come, each wait with its limit."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Literal, Self

import httpx

from tollgate.core.json_text import parse_object
from tollgate.errors import (
    UpstreamBrokenError,
    UpstreamError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
)
from tollgate.upstream.content_encodings import read_pieces
from tollgate.upstream.failures import ChannelFailedError
from tollgate.upstream.read_timer import ReadTimer
from tollgate.upstream.refusals import error_in_event
from tollgate.upstream.sse import ServerEvent
from tollgate.upstream.vendors import EventDecoder

ANNOUNCEMENTS_MAX = 64  # events before the answer, whose caller has waited long enough then
BLANK_BYTES_MAX = 64 * 1024  # before an answer: a space a second for all of its time is far less
_BOM = b"\xef\xbb\xbf"
type Judge = Callable[[str, Mapping[str, object]], ChannelFailedError | UpstreamRefusedError | None]
type Opens = Callable[[Mapping[str, object]], bool]
type Ending = Literal["complete", "left"] | ChannelFailedError


def _ignore(*_: object) -> None:
    """Nobody wants to know."""


class AnswerBytes:
    """The body of one response, read piece by piece."""

    def __init__(self, response: httpx.Response, *, deadline_s: float) -> None:
        """`deadline_s`: the event loop's time at which the answer must be over."""
        self._response = response
        self._pieces = read_pieces(response)
        self._deadline_s = deadline_s
        self._loop = asyncio.get_running_loop()
        self._timer = ReadTimer()
        self._ahead = b""

    @property
    def is_over_time(self) -> bool:
        """Whether the deadline has come."""
        return self._loop.time() >= self._deadline_s

    @property
    def is_named_json(self) -> bool:
        """Whether its content type says that it is JSON."""
        content_type: str = self._response.headers.get("content-type", "")
        return content_type.partition(";")[0].strip().lower() == "application/json"

    async def is_json(self, silence_s: float) -> bool:
        """Whether the answer is JSON, a whole one and not events, by its first byte.

        Some send JSON as text/plain or as an event stream, or events as JSON; no line of an event
        stream begins with a brace. Blanks and a byte order mark before it are dropped.
        Raises as `read`, and UpstreamBrokenError beyond `BLANK_BYTES_MAX`.
        """
        blank_bytes = 0
        while _BOM.startswith(self._ahead) and (piece := await self._read(silence_s)):
            blank_bytes += len(piece)
            self._ahead = (self._ahead + piece).lstrip().removeprefix(_BOM).lstrip()
            if not self._ahead and blank_bytes > BLANK_BYTES_MAX:
                raise UpstreamBrokenError
        return self._ahead.startswith(b"{")

    async def read(self, silence_s: float = math.inf) -> bytes:
        """Return the next bytes as they come, or none at the end.

        Raises: UpstreamTimeoutError: nothing for `silence_s` seconds, or the deadline has come.
            UpstreamBrokenError: the connection broke, or the bytes are no HTTP.
        """
        ahead, self._ahead = self._ahead, b""
        return ahead or await self._read(silence_s)

    async def _read(self, silence_s: float) -> bytes:
        self._timer.start(min(self._loop.time() + silence_s, self._deadline_s))
        try:
            return await anext(self._pieces, b"")
        except httpx.HTTPError as error:
            raise UpstreamBrokenError from error
        except asyncio.CancelledError as error:
            if self._timer.stop():
                raise UpstreamTimeoutError from error
            raise
        finally:
            self._timer.stop()

    async def read_all(self, *, bytes_max: int, silence_s: float = math.inf) -> bytes:
        """Return the whole body. Raises as `read`, and UpstreamBrokenError beyond `bytes_max`."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read(silence_s):
            pieces.append(piece)
            size += len(piece)
            if size > bytes_max:
                raise UpstreamBrokenError
        return b"".join(pieces)

    async def aclose(self) -> None:
        """Let the connection go: back to the pool if the body is complete, else closed."""
        self._timer.close()
        await self._response.aclose()


class EventStream:
    """A streamed answer that has begun: iterate it, then close it.

    Ends where the upstream ends; whether that is complete without `[DONE]` is the caller's to say.
    Iterating raises UpstreamTimeoutError or UpstreamBrokenError, and then ends.
    """

    def __init__(
        self,
        channel: str,
        answer: AnswerBytes,
        *,
        decoder: EventDecoder,
        silence_s: float,
        secrets: Sequence[str] = (),
        renamed: tuple[str, str] = ("", ""),
    ) -> None:
        """`silence_s`: longest wait between two bytes, a comment's included.

        `secrets` and `renamed`: see `Attempt`.
        """
        self.channel = channel
        self._secrets = secrets
        self._renamed = renamed
        self._answer = answer
        self._silence_s = silence_s
        self._decoder = decoder
        self._ready: deque[ServerEvent] = deque()
        self._is_over = False
        self._failure: UpstreamError | None = None  # to be raised behind the events that came
        self._tell: Callable[[Ending], None] = _ignore

    def report_to(self, tell: Callable[[Ending], None]) -> None:
        """Let `tell` be called once with how the stream has ended: for what becomes of the channel.

        "left" where that says nothing of it: the caller has gone, or the time is up. A failure
        where it broke off: the one that it named, else that the channel is down.
        """
        self._tell = tell

    def note_complete(self) -> None:
        """The answer was whole."""
        self._end("complete")

    def note_broken(self, error: UpstreamError) -> None:
        """The answer broke off with `error`. One that the request caused is an answer."""
        verdict = error.verdict if isinstance(error, UpstreamBrokenError) else None
        if isinstance(verdict, UpstreamRefusedError):
            self._end("complete")
        elif isinstance(error, UpstreamTimeoutError) and self._answer.is_over_time:
            self._end("left")
        else:
            down = ChannelFailedError("unavailable")
            self._end(verdict if isinstance(verdict, ChannelFailedError) else down)

    def _end(self, ending: Ending) -> None:
        tell, self._tell = self._tell, _ignore
        tell(ending)

    async def begin(
        self,
        judge: Judge,
        opens: Opens = lambda _: True,
        on_event: Callable[[], None] = _ignore,
        *,
        silence_s: float = math.inf,
    ) -> None:
        """Wait for the event with which the answer opens; all events stay for the iteration.

        Comments are no answer: a vendor's queue sends them too. No more are events that only
        announce one, such as a role without a word: a vendor that fails after them has said
        nothing that a caller would miss, and another one can be asked. After
        `ANNOUNCEMENTS_MAX` of them the answer counts as begun.

        The wait for the first event has no limit of its own; `on_event` is called when it is here,
        and each further wait has that of any silence, or `silence_s` if that is less. `judge` tells
        whether an event is an error, and whose; `opens` whether an answer begins with it.

        Raises: ChannelFailedError: no answer at all (HTML, JSON, nothing), no JSON in an event, or
            an error in it. UpstreamRefusedError: an error in it that is the caller's.
            UpstreamTimeoutError and UpstreamBrokenError as the iteration.
        """
        judged = 0
        while judged <= ANNOUNCEMENTS_MAX:
            while len(self._ready) <= judged:
                if self._is_over:
                    raise self._failure or ChannelFailedError("unavailable", is_resting=False)
                await self._read(min(self._silence_s, silence_s) if judged else math.inf)
            on_event()
            if opens(_parse_sound(self._ready[judged], judge)):
                return
            judged += 1

    def replay(self, events: Iterable[ServerEvent]) -> None:
        """Be these events and no more: the answer came whole, and was read."""
        self._ready.extend(events)
        self._is_over = True

    def find_error(self, event: ServerEvent, raw: Mapping[str, object]) -> UpstreamError | None:
        """Return the error that an event carries; `raw`: its data, parsed."""
        return error_in_event(event.event, raw, secrets=self._secrets, renamed=self._renamed)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerEvent:
        if not await self._wait():
            raise StopAsyncIteration
        return self._ready.popleft()

    async def take(self) -> list[ServerEvent]:
        """Return all events that have come, after waiting for one; none at the end.

        Raises as the iteration.
        """
        await self._wait()
        events = list(self._ready)
        self._ready.clear()
        return events

    async def _wait(self) -> bool:
        """Wait for an event; return whether there is one."""
        while not self._ready:
            if self._is_over:
                failure, self._failure = self._failure, None
                if failure is not None:
                    raise failure
                return False
            await self._read(self._silence_s)
        return True

    async def _read(self, silence_s: float) -> None:
        try:
            piece = await self._answer.read(silence_s)
            self._ready.extend(self._decoder.feed(piece) if piece else self._decoder.end())
            self._is_over = not piece
        except UpstreamError as error:
            self._is_over, self._failure = True, error

    async def aclose(self) -> None:
        """Stop the upstream if it still sends, and let the connection go."""
        self._is_over = True
        self._ready.clear()
        self._end("left")
        await self._answer.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


def _parse_sound(event: ServerEvent, judge: Judge) -> Mapping[str, object]:
    """Return an event's data. Raises: see `EventStream.begin`."""
    try:
        raw = parse_object(event.data)
    except ValueError as error:
        raise ChannelFailedError("unavailable", is_resting=False) from error
    failure = judge(event.event, raw)
    if failure is not None:
        raise failure
    return raw
