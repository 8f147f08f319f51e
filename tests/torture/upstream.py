"""The torture's upstream: answers a chat or an image request as its plan says, or dies in it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from tollgate.core.catalog_toml import parse_catalog
from tollgate.errors import UpstreamBrokenError, UpstreamError, UpstreamUnavailableError
from tollgate.upstream.client import Call, ChatCall, Completion
from tollgate.upstream.image_calls import ImageCall
from tollgate.upstream.sse import ServerEvent

from tests.torture.faults import Faults
from tests.torture.plan import Plan

CATALOG = parse_catalog("""
    [channels.fake]
    base_url = "http://fake"
    [models.m]
    context_tokens_max = 2000
    output_tokens_max = 400
    price = { input = 1, output = 4 }
    channels = ["fake"]
    [models.image]
    kind = "image"
    image_output.sizes."1x1" = { low = 100 }
    price = { input = 1, image_input = 2, output = 3 }
    channels = ["fake"]
    image_tokens = { scheme = "flat", base = 7 }
""")
_OVERRUN_TOKENS = 500
_IMAGE = {"b64_json": "aGk="}


class _Events:
    """An open stream."""

    channel = "fake"

    def __init__(self, events: AsyncIterator[ServerEvent]) -> None:
        self._events = events

    def __aiter__(self) -> AsyncIterator[ServerEvent]:
        return self._events

    async def take(self) -> list[ServerEvent]:
        """Return the next event, as if each came alone."""
        async for event in self._events:
            return [event]
        return []

    def find_error(self, event: ServerEvent, raw: Mapping[str, object]) -> None:
        """Return nothing: where this one fails, it raises."""

    def note_complete(self) -> None:
        """No channel rests here."""

    def note_broken(self, error: UpstreamError) -> None:
        """As above."""

    async def aclose(self) -> None:
        """Nothing to close."""


class ScriptedUpstream:
    """Answers as the plan says; implements what the jobs use of `Upstream`."""

    def __init__(self, plan: Plan, faults: Faults) -> None:
        self._plan = plan
        self._faults = faults
        self.is_called = False

    def look(self) -> None:
        """Nothing rests here."""

    async def complete(self, call: Call) -> Completion:
        """Return a whole answer."""
        self._call()
        if isinstance(call, ChatCall):
            message = {"role": "assistant", "content": "word " * self._words(call)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return Completion(channel="fake", body={"choices": [choice], **self._chat_usage(call)})
        images = count_images(self._plan)
        body: dict[str, object] = {"size": "1x1", "quality": "low", "data": [_IMAGE] * images}
        return Completion(channel="fake", body=body | self._image_usage(images))

    async def open_stream(self, call: ChatCall) -> Any:
        """Return a chat's stream."""
        self._call()
        return _Events(self._chunks(call))

    async def open_either(self, call: ImageCall) -> Any:
        """Return an image request's stream."""
        del call
        self._call()
        return _Events(self._image_events())

    def _call(self) -> None:
        self.is_called = True
        self._faults.die("called")
        if self._plan.outcome == "refused":
            raise UpstreamUnavailableError

    def _words(self, call: ChatCall) -> int:
        return min(self._plan.size, call.output_limit or self._plan.size)

    def _chat_usage(self, call: ChatCall) -> dict[str, object]:
        completion = self._words(call) + self._overrun
        usage = {"prompt_tokens": 8, "completion_tokens": completion}
        return {} if self._plan.outcome == "no usage" else {"usage": usage}

    def _image_usage(self, images: int) -> dict[str, object]:
        usage = {"input_tokens": 5, "output_tokens": 90 * images + self._overrun}
        return {} if self._plan.outcome == "no usage" else {"usage": usage}

    @property
    def _overrun(self) -> int:
        return _OVERRUN_TOKENS if self._plan.outcome == "overrun" else 0

    async def _chunks(self, call: ChatCall) -> AsyncIterator[ServerEvent]:
        for number in range(self._words(call)):
            yield _event({"choices": [{"index": 0, "delta": {"content": "word "}}]})
            await self._after(number)
        if self._plan.outcome == "broken":
            return
        yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        yield _event({"choices": [], **self._chat_usage(call)})
        yield ServerEvent(data="[DONE]")

    async def _image_events(self) -> AsyncIterator[ServerEvent]:
        """A broken one breaks after its first image, if more are to come."""
        yield _event({"type": "image_generation.partial_image", **_IMAGE})
        for number in range(count_images(self._plan)):
            if number and self._plan.outcome == "broken":
                raise UpstreamBrokenError
            yield _event({"type": "image_generation.completed", **_IMAGE, **self._image_usage(1)})
            await self._after(number)

    async def _after(self, number: int) -> None:
        """Let others run after each piece of a stream, and die after the first, if so planned."""
        await asyncio.sleep(0)
        if number == 0:
            self._faults.die("streaming")


def _event(body: dict[str, object]) -> ServerEvent:
    kind = body.get("type")
    return ServerEvent(event=kind if isinstance(kind, str) else "message", data=json.dumps(body))


def count_images(plan: Plan) -> int:
    """Return how many images an image request asks for, and gets."""
    return (plan.size + 1) // 2
