"""The events of a stream up to its end: what breaks an answer, and what comes too late to."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from tollgate.core.json_text import parse_object
from tollgate.errors import UpstreamBrokenError, UpstreamError
from tollgate.metering.relay import Relay
from tollgate.upstream.client import EventStream
from tollgate.upstream.sse import ServerEvent

TAIL_S = 5.0  # how long a finished answer waits for its usage and [DONE]


def parse_chunk(data: str, relay: Relay) -> Mapping[str, object]:
    """Return a chunk; garbage breaks an answer, but not one that is complete already."""
    try:
        return parse_object(data)
    except ValueError as error:
        if relay.is_complete:
            return {}
        raise UpstreamBrokenError from error


async def bounded_tail(events: EventStream, relay: Relay) -> AsyncIterator[ServerEvent]:
    """Yield the events; once the answer is complete, take what still comes and no harm from it.

    After its finish an upstream that keeps the line open does not keep the caller waiting longer
    than `TAIL_S`, and one that breaks it spoils nothing: only figures were to come.
    """
    iterator = aiter(events)
    ends_at: float | None = None
    while True:
        if ends_at is None and relay.is_complete:
            ends_at = asyncio.get_running_loop().time() + TAIL_S
        try:
            async with asyncio.timeout_at(ends_at):
                event = await anext(iterator)
        except (StopAsyncIteration, TimeoutError):
            return
        except UpstreamError:
            if not relay.is_complete:
                raise
            return
        yield event
