"""An image that has left is charged, whatever else a stream does."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.units import Micropoints
from tollgate.errors import UpstreamBrokenError, UpstreamError
from tollgate.ledger.model import Account, Key
from tollgate.metering.chat import Metering
from tollgate.metering.image_bodies import read_json_body
from tollgate.metering.image_orders import read_image_order
from tollgate.metering.images import ImageJob
from tollgate.upstream.client import Upstream
from tollgate.upstream.sse import ServerEvent

from tests.fakes.ledger import FakeLedger
from tests.fakes.upstream import FakeUpstream

NOW = datetime(2026, 11, 23, tzinfo=UTC)
GRANTED = Micropoints(10**9)
CATALOG = parse_catalog("""
    [channels.fake]
    base_url = "http://fake"
    [models.tokens]
    kind = "image"
    channels = ["fake"]
    image_output.sizes."*" = 10
    price = { input = 1, output = 3 }
    [models.flat]
    kind = "image"
    channels = ["fake"]
    price.images."*" = 0.0001
""")
IMAGE = st.sampled_from([{"b64_json": "aGk="}, {"url": "u"}, {"b64_json": ""}, {}])
USAGE = st.sampled_from([None, {"input_tokens": 5, "output_tokens": 1}, {"output_tokens": 5}])
NAME = st.sampled_from(
    ["message", "image_generation.completed", "image_generation.partial_image", "x.done", "error"]
)
EVENT = st.builds(
    lambda name, kind, image, data, usage: ServerEvent(
        event=name,
        data=json.dumps({"type": kind, "usage": usage, **image} | ({"data": data} if data else {})),
    ),
    NAME,
    NAME,
    IMAGE,
    st.lists(IMAGE, max_size=3),
    USAGE,
)
STEP = EVENT | st.sampled_from(["[DONE]", "garbage"]) | st.builds(UpstreamBrokenError)


@given(
    model=st.sampled_from(sorted(CATALOG.models)),
    count=st.integers(1, 3),
    steps=st.lists(STEP, max_size=6),
    reads=st.integers(0, 8),
)
def test_images_that_left_are_charged(model: str, count: int, steps: list[Any], reads: int) -> None:
    """As many as the caller was sent, also if it goes; the last quota is never above the charge."""
    ledger = FakeLedger()
    ledger.accounts["a"] = Account(
        account_id="a",
        status="active",
        created_at=NOW,
        balance=GRANTED,
        held=Micropoints(0),
        spent=Micropoints(0),
        granted=GRANTED,
    )

    frames = asyncio.run(run(ledger, model, count, steps, reads))

    events = [json.loads(frame.partition(b"data: ")[2]) for frame in frames]
    left = [event for event in events if event["type"].endswith(".completed")]
    account = ledger.accounts["a"]
    assert account.held == 0
    if left:
        record = ledger.records["r"]
        assert record.tokens["images"] >= len(left)
        assert account.spent == record.quota > 0
        quotas = [event["quota"] for event in left]
        assert quotas == sorted(quotas)
        assert quotas[-1] * 1e6 <= record.quota + 1e-3


async def run(
    ledger: FakeLedger, model: str, count: int, steps: list[Any], reads: int
) -> list[bytes]:
    """Return what a caller that reads so many frames was sent."""
    key = Key(account_id="a", key_id="k", label="", status="active", created_at=NOW)
    body = read_json_body({"model": model, "prompt": "p", "n": count, "stream": True})
    upstream = cast("Upstream", FakeUpstream(steps=[*steps, "[DONE]"]))
    metering = Metering(ledger=ledger, upstream=upstream, now=lambda: NOW)
    order = read_image_order(body, task="generations", key=key, request_id="r", catalog=CATALOG)
    job = ImageJob(metering, order, lambda: 60.0)
    frames = job.frames()
    seen: list[bytes] = []
    with suppress(UpstreamError):
        async for frame in frames:
            seen.append(frame)
            if len(seen) > reads:
                break
    await frames.aclose()
    await job.close()
    return seen
