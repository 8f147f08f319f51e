"""Whatever is searched, found and answered, the hold pays for it and the context holds it."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.search_results import RawResult
from tollgate.core.tokens import count_prompt
from tollgate.core.units import Micropoints
from tollgate.errors import ContextLengthExceededError, InsufficientQuotaError
from tollgate.ledger.model import Account, Key
from tollgate.metering.chat import Metering
from tollgate.metering.orders import read_order
from tollgate.upstream.client import Call, ChatCall, Completion, Upstream

from tests.fakes.ledger import FakeLedger
from tests.fakes.searcher import FakeSearcher
from tests.fakes.upstream import FakeUpstream

NOW = datetime(2026, 11, 24, tzinfo=UTC)
CONTEXT = 2000
CATALOG = parse_catalog("""
    [channels.fake]
    base_url = "http://fake"
    [models.m]
    context_tokens_max = 2000
    output_tokens_max = 1000
    price = { input = 1, cache_write = 2, output = 4, reasoning = 5, request = 0.00001 }
    service_tiers = { flex = 50 }
    channels = ["fake"]
    [search.dear]
    kind = "searxng"
    base_url = "http://fake"
    price = 0.0005
    text_tokens_max = 300
    [search.cheap]
    kind = "searxng"
    base_url = "http://fake"
    price = 0.0003
    text_tokens_max = 500
""")
KEY = Key(account_id="a", key_id="k", label="", status="active", created_at=NOW)
PAGES = st.lists(
    st.builds(
        RawResult,
        title=st.sampled_from(["Gates", "t" * 200, "硬币" * 50]),
        url=st.integers(0, 99).map("https://example.org/{}".format),
        text=st.integers(0, 600).map(lambda words: "word " * words),
        date=st.just(""),
    ),
    max_size=6,
)


class GreedyUpstream(FakeUpstream):
    """Reports the whole prompt that it was sent, and all the output that it was allowed."""

    async def complete(self, call: Call) -> Completion:
        assert isinstance(call, ChatCall)
        self.calls.append(call)
        prompt = count_prompt(call.body, call.model).tokens
        completion = allowed(call) * cast("int", call.body["n"])
        usage = {"prompt_tokens": prompt, "completion_tokens": completion}
        usage["prompt_tokens_details"] = cast("Any", {"cache_write_tokens": prompt})
        usage["completion_tokens_details"] = cast("Any", {"reasoning_tokens": completion})
        choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "length"}
        return Completion(channel="fake", body={"choices": [choice], "usage": usage})


def allowed(call: ChatCall) -> int:
    """Return the output tokens of a choice that the call allows."""
    if call.output_limit is not None:
        return call.output_limit
    return cast("int", call.body.get("max_tokens", call.model.output_tokens_max))


def open_account(balance: int) -> FakeLedger:
    ledger = FakeLedger()
    amount = Micropoints(balance)
    ledger.accounts["a"] = Account(
        account_id="a",
        status="active",
        created_at=NOW,
        balance=amount,
        held=Micropoints(0),
        spent=Micropoints(0),
        granted=amount,
    )
    return ledger


async def serve(body: dict[str, Any], pages: list[RawResult], ledger: FakeLedger) -> Any:
    """Return the call and what was held for it, or None where it was refused."""
    held: list[int] = []
    searcher = FakeSearcher(results=pages, watch=lambda: held.append(ledger.accounts["a"].held))
    upstream = GreedyUpstream()
    metering = Metering(
        ledger=ledger, upstream=cast("Upstream", upstream), searcher=searcher, now=lambda: NOW
    )
    order = read_order(body, key=KEY, request_id="r", catalog=CATALOG)
    job = metering.start(order, lambda: 60.0)
    try:
        await job.completion()
    except (ContextLengthExceededError, InsufficientQuotaError):
        return None
    finally:
        await job.close()
    return upstream.calls[0], held[0]


@settings(max_examples=150, deadline=None)
@given(
    words=st.integers(1, 1800),
    has_system=st.booleans(),
    asked=st.none() | st.integers(1, 3000),
    choices=st.integers(1, 3),
    tier=st.sampled_from(["default", "flex"]),
    balance=st.sampled_from([3000, 6000, 20_000, 10**6]),
    pages=PAGES,
)
def test_hold_pays_for_all_that_the_upstream_may_report(
    *,
    words: int,
    has_system: bool,
    asked: int | None,
    choices: int,
    tier: str,
    balance: int,
    pages: list[RawResult],
) -> None:
    """Prompt with results, and output up to the limit that was sent, fit hold and context."""
    front = [{"role": "system", "content": "Be brief."}] if has_system else []
    body: dict[str, Any] = {
        "model": "web-m",
        "messages": [*front, {"role": "user", "content": "word " * words}],
        "n": choices,
        "service_tier": tier,
    } | ({} if asked is None else {"max_tokens": asked})
    ledger = open_account(balance)
    served = asyncio.run(serve(body, pages, ledger))
    if served is None:
        assert ledger.accounts["a"].balance == balance
        return
    call, held = served
    quota = ledger.records["r"].quota

    assert quota <= held
    assert ledger.accounts["a"].balance == balance - quota
    total = count_prompt(call.body, call.model).tokens + allowed(call)
    assert total <= CONTEXT or allowed(call) == 1
