"""Images from order to settled charge, between a fake upstream and a fake ledger."""

import json
from dataclasses import replace
from typing import Any, cast

import pytest
from tollgate.core.catalog import Catalog
from tollgate.core.json_text import parse_object
from tollgate.core.metrics import RequestMetrics
from tollgate.errors import (
    InsufficientQuotaError,
    UpstreamBrokenError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from tollgate.ledger.model import Key
from tollgate.metering.chat import Metering
from tollgate.metering.image_bodies import read_json_body
from tollgate.metering.image_orders import read_image_order
from tollgate.metering.images import ImageJob
from tollgate.upstream.client import Upstream
from tollgate.upstream.sse import ServerEvent

from tests.fakes.ledger import FakeLedger
from tests.fakes.upstream import FakeUpstream
from tests.recordings import Recording, find_image_recordings, parametrize
from tests.unit.metering.conftest import NOW

USAGE = {
    "input_tokens": 5,
    "output_tokens": 20,
    "input_tokens_details": {"text_tokens": 5, "image_tokens": 0},
}
COST = 5 + 20 * 3
IMAGE = {"b64_json": "aGk="}


def completed(**fields: Any) -> ServerEvent:
    payload = {"type": "image_generation.completed", **IMAGE, "usage": USAGE, **fields}
    return ServerEvent(event="image_generation.completed", data=json.dumps(payload))


PARTIAL = ServerEvent(
    event="image_generation.partial_image",
    data='{"type":"image_generation.partial_image", "b64_json": "aA=="}',
)


@pytest.fixture
def start(catalog: Catalog, key: Key, ledger: FakeLedger) -> Any:
    """Return a function that starts a job on a fake upstream."""

    def start(
        upstream: FakeUpstream,
        *,
        task: Any = "generations",
        metrics: RequestMetrics | None = None,
        **fields: Any,
    ) -> ImageJob:
        body = read_json_body({"model": "image", "prompt": "hi", **fields})
        metering = Metering(ledger=ledger, upstream=cast("Upstream", upstream), now=lambda: NOW)
        order = read_image_order(body, task=task, key=key, request_id="r", catalog=catalog)
        return ImageJob(metering, order, lambda: 60.0, metrics=metrics)

    return start


async def run(job: ImageJob) -> list[bytes]:
    """Return the frames; the job is closed whatever happens."""
    seen: list[bytes] = []
    try:
        async for frame in job.frames():
            seen.append(frame)  # noqa: PERF401
    finally:
        await job.close()
    return seen


def data_of(frame: bytes) -> dict[str, Any]:
    return parse_object(frame.partition(b"data: ")[2])


def spent(ledger: FakeLedger) -> int:
    account = ledger.accounts["a"]
    assert account.held == 0
    assert account.granted == account.balance + account.spent
    return account.spent


async def test_whole_answer_is_charged_what_it_says(start: Any, ledger: FakeLedger) -> None:
    """Quota, record and loss are one number, and nothing is spent before the close."""
    body = {"created": 5, "size": "1x1", "data": [IMAGE], "usage": USAGE | {"cost": 9}}
    job = start(FakeUpstream(body=body), quality="low")

    answer = json.loads(await job.completion())
    assert ledger.accounts["a"].spent == 0
    assert job.headers == {"x-tollgate-channel": "fake"}
    await job.close()

    total = USAGE | {"total_tokens": 25}
    assert answer == {
        "created": 5, "size": "1x1", "data": [IMAGE], "usage": total, "quota": COST / 1e6,
    }  # fmt: skip
    assert spent(ledger) == ledger.records["r"].quota == COST
    assert ledger.records["r"].endpoint == "images.generations"
    assert ledger.records["r"].tokens == {
        "prompt": 5,
        "completion": 20,
        "image_completion": 20,
        "images": 1,
    }


async def test_official_answer_has_no_quota(start: Any, ledger: FakeLedger) -> None:
    """OpenAI's form, whole and streamed, and charged all the same."""
    body = {"created": 5, "data": [IMAGE], "usage": USAGE}
    job = start(FakeUpstream(body=body), model="image-official")
    answer = json.loads(await job.completion())
    await job.close()

    frames = await run(
        start(FakeUpstream(steps=[completed()]), official=True, stream=True, quality="low")
    )

    assert "quota" not in answer
    assert "quota" not in data_of(frames[0])
    assert spent(ledger) > 0


async def test_price_by_image(start: Any, ledger: FakeLedger) -> None:
    """Two of three came: two are charged; no usage is shown, since there is none."""
    job = start(FakeUpstream(body={"data": [IMAGE, {}, {"url": "u"}]}), model="flat", n=3)

    answer = json.loads(await job.completion())
    await job.close()

    assert "usage" not in answer
    assert answer["created"] == int(NOW.timestamp())
    assert len(answer["data"]) == 2
    assert spent(ledger) == ledger.records["r"].quota == 200
    assert ledger.records["r"].tokens == {"images": 2}
    assert ledger.records["r"].is_exact


async def test_tokens_are_reckoned_where_none_are_reported(start: Any, ledger: FakeLedger) -> None:
    """By the catalog's table, marked as such."""
    job = start(FakeUpstream(body={"size": "1x1", "quality": "low", "data": [IMAGE]}))

    answer = json.loads(await job.completion())
    await job.close()

    assert answer["usage"]["output_tokens"] == 10
    assert spent(ledger) == 17 + 30
    assert not ledger.records["r"].is_exact


@pytest.mark.parametrize("body", [{"data": []}, {"data": [{}]}, {"data": [], "usage": USAGE}])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_no_image_costs_nothing(
    start: Any, ledger: FakeLedger, body: dict[str, Any], *, is_stream: bool
) -> None:
    """Whatever the vendor reports for it."""
    job = start(FakeUpstream(body=body), stream=is_stream)

    with pytest.raises(UpstreamUnavailableError):
        await (run(job) if is_stream else job.completion())
    await job.close()

    assert spent(ledger) == 0
    assert ledger.records == {}


@pytest.mark.parametrize("is_stream", [False, True])
async def test_upstreams_failure_costs_nothing(
    start: Any, ledger: FakeLedger, *, is_stream: bool
) -> None:
    """Its error reaches the caller, and the hold is given back."""
    job = start(FakeUpstream(error=UpstreamTimeoutError()), stream=is_stream)

    with pytest.raises(UpstreamTimeoutError):
        await (run(job) if is_stream else job.completion())
    await job.close()

    assert spent(ledger) == 0


async def test_hold_is_all_or_nothing(start: Any, ledger: FakeLedger) -> None:
    """An account that cannot pay for the whole image is refused before the call."""
    ledger.accounts["a"] = replace(ledger.accounts["a"], balance=316, granted=316)  # type: ignore[arg-type]
    upstream = FakeUpstream(body={"data": [IMAGE]})

    with pytest.raises(InsufficientQuotaError):
        await start(upstream, quality="high").completion()
    job = start(upstream, quality="low")
    await job.completion()
    await job.close()

    assert len(upstream.calls) == 1
    assert spent(ledger) == 17 + 30


async def test_overrun_is_one_number_everywhere(start: Any, ledger: FakeLedger) -> None:
    """An upstream that reports more than the account has is charged all there is."""
    usage = {"input_tokens": 5, "output_tokens": 10_000_000}
    job = start(FakeUpstream(body={"data": [IMAGE], "usage": usage}))

    answer = json.loads(await job.completion())
    await job.close()

    assert answer["quota"] == 1
    assert spent(ledger) == ledger.records["r"].quota == 1_000_000


async def test_stream_passes_through_and_adds_up(start: Any, ledger: FakeLedger) -> None:
    """Partial events to the byte; quotas cumulative; the journal before the last image."""
    upstream = FakeUpstream(steps=[PARTIAL, completed(cost=1), PARTIAL, completed(), PARTIAL])
    job = start(upstream, stream=True, n=2, partial_images=1)
    frames, journaled = [], []
    async for frame in job.frames():
        frames.append(frame)
        journaled.append("r" in ledger.records)
    await job.close()

    partial = b"event: %b\ndata: %b\n\n" % (PARTIAL.event.encode(), PARTIAL.data.encode())
    assert [frames[0], frames[2]] == [partial, partial]
    assert len(frames) == 4
    assert all(frame.startswith(b"event: image_generation.completed\n") for frame in frames[1::2])
    assert [data_of(frame)["quota"] for frame in frames[1::2]] == [COST / 1e6, 2 * COST / 1e6]
    assert "cost" not in data_of(frames[1])
    assert data_of(frames[1])["usage"] == USAGE | {"total_tokens": 25}
    assert journaled == [False, False, False, True]
    assert spent(ledger) == ledger.records["r"].quota == 2 * COST
    assert ledger.records["r"].tokens["images"] == 2


@pytest.mark.parametrize(
    "steps",
    [
        [PARTIAL],
        [PARTIAL, UpstreamBrokenError()],
        [PARTIAL, UpstreamTimeoutError()],
        [PARTIAL, {"error": {"message": "x"}}],
        [PARTIAL, ServerEvent(event="error", data='{"message": "x"}')],
        [PARTIAL, "garbage"],
        [PARTIAL, "[DONE]"],
        [{"type": "image_generation.completed", "usage": USAGE}],
    ],
)
async def test_stream_without_a_completed_image_costs_nothing(
    start: Any, ledger: FakeLedger, steps: list[Any]
) -> None:
    """Previews are not sold, however the stream ends."""
    with pytest.raises(UpstreamError):
        await run(start(FakeUpstream(steps=steps), stream=True, partial_images=3))

    assert spent(ledger) == 0
    assert ledger.records == {}


@pytest.mark.parametrize(
    "step", [UpstreamBrokenError(), {"error": {"message": "x"}}, "garbage", UpstreamTimeoutError()]
)
async def test_broken_stream_is_charged_its_completed_images(
    start: Any, ledger: FakeLedger, step: Any
) -> None:
    """One of two came."""
    metrics, upstream = RequestMetrics(), FakeUpstream(steps=[completed(), step])
    job = start(upstream, metrics=metrics, stream=True, n=2)
    seen: list[bytes] = []

    async def read() -> None:
        async for frame in job.frames():
            seen.append(frame)  # noqa: PERF401

    with pytest.raises(UpstreamError):
        await read()
    await job.close()

    assert len(seen) == 1
    assert spent(ledger) == ledger.records["r"].quota == metrics.quota_micropoints == COST
    assert ledger.records["r"].outcome == "broken"
    assert metrics.failed_channels == ["fake"]
    assert upstream.streams[0].ending.startswith("broken: Upstream")


async def test_stream_that_ends_early_is_charged_what_came(start: Any, ledger: FakeLedger) -> None:
    """Fewer images than asked for, and a proper end."""
    frames = await run(start(FakeUpstream(steps=[completed()]), stream=True, n=3))

    assert len(frames) == 1
    assert spent(ledger) == COST
    assert ledger.records["r"].outcome == "complete"


async def test_caller_that_goes_pays_for_the_images_that_came(
    start: Any, ledger: FakeLedger
) -> None:
    """Nobody reads on after the first of two."""
    job = start(FakeUpstream(steps=[completed(), completed()]), stream=True, n=2)
    frames = job.frames()
    await anext(frames)
    await frames.aclose()
    await job.close()

    assert spent(ledger) == ledger.records["r"].quota == COST
    assert ledger.records["r"].outcome == "broken"


async def test_completed_event_without_an_image_is_nothing(start: Any, ledger: FakeLedger) -> None:
    """It is neither sent nor counted, though it reports tokens."""
    empty = {"type": "image_generation.completed", "usage": USAGE}

    frames = await run(start(FakeUpstream(steps=[empty, completed()]), stream=True))

    assert len(frames) == 1
    assert spent(ledger) == ledger.records["r"].quota == COST


async def test_event_without_a_name_stays_without(start: Any, ledger: FakeLedger) -> None:
    """The kind is read from the data; data on several lines is put on one."""
    spread = json.dumps({"type": "image_generation.partial_image", **IMAGE}, indent=1)
    nameless = {"type": "image_generation.completed", **IMAGE}

    frames = await run(start(FakeUpstream(steps=[spread, nameless]), stream=True, quality="low"))

    assert [frame.partition(b"{")[0] for frame in frames] == [b"data: ", b"data: "]
    assert frames[0].count(b"\n") == 2
    assert spent(ledger) == 17 + 30 + 300  # a preview is 100 tokens


async def test_whole_answer_to_a_stream(start: Any, ledger: FakeLedger) -> None:
    """A vendor that ignores `stream`: an event an image, the usage on the last."""
    body = {"created": 5, "data": [IMAGE, IMAGE], "usage": USAGE}

    frames = await run(start(FakeUpstream(body=body), task="edits", stream=True, n=2))

    events = [data_of(frame) for frame in frames]
    assert [event["type"] for event in events] == ["image_edit.completed"] * 2
    assert ["usage" in event for event in events] == [False, True]
    assert {event["quota"] for event in events} == {COST / 1e6}
    assert spent(ledger) == ledger.records["r"].quota == COST


async def test_call_carries_the_body(start: Any) -> None:
    """Without the caller's name of the model, which each channel's own replaces."""
    upstream = FakeUpstream(body={"data": [IMAGE]})
    job = start(upstream, task="edits", images=[{"file_id": "f"}])
    await job.completion()
    await job.close()

    [call] = upstream.calls
    assert call.body == {"prompt": "hi", "images": [{"file_id": "f"}]}
    assert (call.path, call.is_stream) == ("images/edits", False)


MADE = "image_generation.completed"


@pytest.mark.parametrize(
    "step",
    [
        ServerEvent(event="image.done", data=json.dumps({"type": "image.done", **IMAGE})),
        ServerEvent(event="partial_image.final", data=json.dumps(IMAGE)),
        ServerEvent(event=MADE, data=json.dumps({"type": "x.partial_image", **IMAGE})),
        ServerEvent(event="x.partial_image", data=json.dumps({"type": MADE, **IMAGE})),
        {"type": "image_generation.final_image", **IMAGE, "provider": "p"},
        {"created": 5, "data": [IMAGE], "id": "x"},
        IMAGE,
    ],
)
async def test_image_under_any_name_is_sold(start: Any, ledger: FakeLedger, step: Any) -> None:
    """It is sent as the completed event that it is, and charged; nothing else of it is sent."""
    frames = await run(start(FakeUpstream(steps=[step]), stream=True, quality="low"))

    [event] = [data_of(frame) for frame in frames]
    created = event.pop("created_at")
    assert created in (5, int(NOW.timestamp()))
    assert event == {"type": MADE, **IMAGE, "quota": 47 / 1e6}
    assert spent(ledger) == ledger.records["r"].quota == 47


@pytest.mark.parametrize(
    "step",
    [
        {"type": "image_generation.in_progress", "response_id": "r"},
        {"type": "keepalive"},
        {"type": "image_generation.partial_image", "b64_json": ""},
        {"type": "x.partial_image", "data": [IMAGE]},
        ServerEvent(event="queue.position", data='{"provider": "p", "position": 3}'),
        ServerEvent(event="x", data=json.dumps({"item": {"result": "aGk="}})),
    ],
)
async def test_event_without_an_image_is_not_sent(
    start: Any, ledger: FakeLedger, step: Any
) -> None:
    """What the vendor says of its own progress is neither OpenAI's nor sold."""
    frames = await run(start(FakeUpstream(steps=[step, completed()]), stream=True))

    assert len(frames) == 1
    assert spent(ledger) == COST


async def test_preview_loses_what_is_the_vendors(start: Any) -> None:
    """Also under an official name."""
    preview = {"type": "image_generation.partial_image", **IMAGE, "provider": "p", "cost": 1}
    steps = [preview, completed(provider="p", response_id="r")]

    frames = await run(start(FakeUpstream(steps=steps), stream=True, official=True))

    assert data_of(frames[0]) == {"type": "image_generation.partial_image", **IMAGE}
    assert set(data_of(frames[1])) == {"type", "created_at", "b64_json", "usage"}


@pytest.mark.parametrize("is_stream", [False, True])
async def test_more_images_than_asked_are_charged(
    start: Any, ledger: FakeLedger, *, is_stream: bool
) -> None:
    """Three came of one: three are delivered and paid for, beyond the hold."""
    body = {"data": [IMAGE] * 3, "size": "1x1", "quality": "low"}
    job = start(FakeUpstream(body=body), stream=is_stream, quality="low")

    if is_stream:
        quota = data_of((await run(job))[-1])["quota"]
    else:
        quota = json.loads(await job.completion())["quota"]
        await job.close()

    assert quota == 3 * 47 / 1e6
    assert spent(ledger) == ledger.records["r"].quota == 3 * 47
    assert ledger.records["r"].tokens["images"] == 3


async def test_dearer_image_than_asked_is_charged(start: Any, ledger: FakeLedger) -> None:
    """By the size and quality that the answer names; the hold is raised."""
    job = start(FakeUpstream(body={"data": [IMAGE], "quality": "high"}), quality="low")

    await job.completion()
    await job.close()

    assert spent(ledger) == ledger.records["r"].quota == 17 + 300


async def test_quota_never_falls_where_only_some_is_reported(
    start: Any, ledger: FakeLedger
) -> None:
    """The event that says less than it was reckoned to be takes nothing back."""
    small = {"input_tokens": 1, "output_tokens": 1}
    steps = [completed(usage=None), completed(usage=small), completed(usage=None)]

    frames = await run(start(FakeUpstream(steps=steps), stream=True, n=3, quality="low"))

    quotas = [data_of(frame)["quota"] for frame in frames]
    assert quotas == [47 / 1e6, 2 * 47 / 1e6, 3 * 47 / 1e6]
    assert spent(ledger) == 3 * 47
    assert not ledger.records["r"].is_exact


@parametrize([one for one in find_image_recordings() if one.status == 200])
async def test_recorded_answers(start: Any, ledger: FakeLedger, recording: Recording) -> None:
    """Real vendors' answers: their images, no cost, charged by image or by token."""
    raw = parse_object(recording.body)
    model = "image" if "output_tokens" in raw.get("usage", {}) else "flat"  # type: ignore[operator]
    job = start(FakeUpstream(body=raw), model=model)

    answer = json.loads(await job.completion())
    await job.close()

    fields = ("url", "b64_json", "revised_prompt", "mime_type")
    assert [
        {name: entry[name] for name in fields if name in entry}
        for entry in cast("list[dict[str, Any]]", raw["data"])
    ] == answer["data"]
    assert not {"id", "model", "object"} & set(answer)
    assert "cost" not in json.dumps(answer.get("usage", {}))
    assert answer["created"] > 1_600_000_000
    assert spent(ledger) == ledger.records["r"].quota == (14 + 272 * 3 if model == "image" else 100)
