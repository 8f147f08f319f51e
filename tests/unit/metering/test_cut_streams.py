"""Every recorded stream, cut off after each of its events, as the use case takes it."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from tollgate.core.catalog import Catalog
from tollgate.core.units import Micropoints
from tollgate.errors import UpstreamBrokenError
from tollgate.ledger.model import Key
from tollgate.metering.chat import ChatJob, Metering
from tollgate.metering.orders import read_order
from tollgate.upstream.client import Upstream
from tollgate.upstream.sse import ServerEvent, SseParser

from tests.fakes.ledger import FakeLedger
from tests.fakes.upstream import FakeUpstream
from tests.recordings import Recording, find_recordings, parametrize
from tests.unit.metering.conftest import NOW

_LOOKED_AT = 40  # cuts at either end of a long stream; what is between is all alike
ENDING_IN_AN_ERROR = {"013", "070", "089", "137", "164"}


def events_of(recording: Recording) -> list[ServerEvent]:
    parser = SseParser()
    events = [*parser.feed(recording.body), *parser.end()]
    return [event for event in events if event.data.strip() != "[DONE]"]


def finishes(event: ServerEvent) -> set[int]:
    """Return the choices that an event names a finish reason for, by the vendor's own bytes."""
    choices: list[dict[str, Any]] = json.loads(event.data).get("choices") or []
    return {choice.get("index", 0) for choice in choices if choice.get("finish_reason")}


def cuts(count: int) -> Iterator[int]:
    """Yield how many events are left of `count`."""
    yield from (cut for cut in range(1, count) if min(cut, count - cut) <= _LOOKED_AT)


def start(events: list[ServerEvent], choices: int, catalog: Catalog, key: Key) -> ChatJob:
    upstream = cast("Upstream", FakeUpstream(steps=events))
    ledger = FakeLedger()
    ledger.open_account("a", NOW)
    ledger.grant("a", "g", Micropoints(1_000_000))
    metering = Metering(ledger=ledger, upstream=upstream, now=lambda: NOW)
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "m", "messages": messages, "stream": True, "n": choices, "max_tokens": 10}
    order = read_order(body, key=key, request_id="r", catalog=catalog)
    return metering.start(order, lambda: 60.0)


async def is_whole(job: ChatJob) -> bool:
    """Whether a client takes the answer for a whole one: by its end, which an error is not."""
    frames: list[bytes] = []
    try:
        async for frame in job.frames():
            frames.append(frame)  # noqa: PERF401 - those before an error count
    except UpstreamBrokenError:
        return False
    finally:
        await job.close()
    return frames[-1] == b"data: [DONE]\n\n"


@parametrize(
    [one for one in find_recordings(is_stream=True) if one.name[:3] not in ENDING_IN_AN_ERROR]
)
async def test_cut_stream_looks_whole_only_where_all_choices_have_finished(
    recording: Recording, catalog: Catalog, key: Key
) -> None:
    """Usage is no end: some vendors send it with their first word."""
    events = events_of(recording)
    chunks = [json.loads(event.data) for event in events]
    wanted = {one.get("index", 0) for chunk in chunks for one in chunk.get("choices") or []}
    told = {
        cut: await is_whole(start(events[:cut], len(wanted), catalog, key))
        for cut in cuts(len(events))
    }

    assert told == {cut: set().union(*map(finishes, events[:cut])) == wanted for cut in told}
    assert told


@pytest.mark.parametrize("usage_at", [1, 2])
async def test_stream_cut_after_its_first_usage_is_broken(
    catalog: Catalog, key: Key, usage_at: int
) -> None:
    """Where the usage comes does not matter, while nothing has finished."""
    word = {"choices": [{"index": 0, "delta": {"content": "a"}}]}
    used = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}
    steps = [word, word]
    steps.insert(usage_at, used)
    events = [ServerEvent(data=json.dumps(step)) for step in steps]

    assert not await is_whole(start(events, 1, catalog, key))
