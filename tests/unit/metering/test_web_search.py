"""A `web-` request from hold to settled charge: what the model gets, the caller sees and pays."""

import asyncio
import json
import re
from typing import Any, cast

import pytest
from tollgate.core.catalog import Catalog
from tollgate.core.search_message import FRAME_TOKENS_MAX, NOTHING_FITS, NOTHING_FOUND
from tollgate.core.search_results import RawResult
from tollgate.core.tokens import count_message
from tollgate.errors import (
    InsufficientQuotaError,
    UpstreamBrokenError,
    UpstreamTimeoutError,
    WebSearchFailedError,
    WebSearchUnavailableError,
)
from tollgate.ledger.model import Key
from tollgate.metering.chat import ChatJob, Metering
from tollgate.metering.orders import read_order
from tollgate.upstream.client import Upstream
from tollgate.web.responses import KEEPALIVE_FRAME, MeteredResponse

from tests.fakes.ledger import FakeLedger
from tests.fakes.searcher import FakeSearcher
from tests.fakes.upstream import FakeUpstream
from tests.unit.metering.conftest import NOW

USAGE = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102}
WHOLE = {
    "choices": [{"index": 0, "message": {"content": "ab"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
CONTENT = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in "ab"]
FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
STREAM = [*CONTENT, FINISH, {"choices": [], "usage": USAGE}, "[DONE]"]
TOLD = [
    {"title": "Toll gates", "url": "https://example.org/gates", "date": "2026-11-20"},
    {"title": "Turnpikes", "url": "http://example.com/pikes", "date": None},
]
OWN: list[dict[str, Any]] = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "hi"},
]
PRICE = 100 + 2 * 4 + 300


@pytest.fixture
def start(web_catalog: Catalog, key: Key, ledger: FakeLedger) -> Any:
    """Return a function that starts a `web-` job on fakes."""

    def start(upstream: FakeUpstream, searcher: FakeSearcher | None, **fields: Any) -> ChatJob:
        body = {"model": "web-m", "messages": OWN, **fields}
        metering = Metering(
            ledger=ledger,
            upstream=cast("Upstream", upstream),
            searcher=searcher,
            now=lambda: NOW,
            draw_mark=lambda: "5ea1c0de",
        )
        order = read_order(body, key=key, request_id="r", catalog=web_catalog)
        return metering.start(order, lambda: 60.0)

    return start


async def run(job: ChatJob) -> list[dict[str, Any]]:
    """Return the chunks; the job is closed whatever happens."""
    seen = []
    try:
        async for frame in job.frames():
            seen += [one.removeprefix("data: ") for one in frame.decode().strip().split("\n\n")]
    finally:
        await job.close()
    assert seen.pop() == "[DONE]"
    return [json.loads(one) for one in seen]


async def complete(job: ChatJob) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(await job.completion())
    finally:
        await job.close()
    return answer


def sent_tokens(upstream: FakeUpstream) -> int:
    """Return what the prompt that went upstream counts."""
    messages = cast("Any", upstream.calls[0].body["messages"])
    texts = ((message["role"], message["content"]) for message in messages)
    return 3 + sum(count_message(role, text, "o200k_base") for role, text in texts)


def spent(ledger: FakeLedger) -> int:
    account = ledger.accounts["a"]
    assert account.held == 0
    assert account.granted == account.balance + account.spent
    return account.spent


async def test_results_stand_in_front_of_the_callers_messages(start: Any) -> None:
    """The query is the user's; a system message of ours is the first."""
    upstream, searcher = FakeUpstream(body=WHOLE), FakeSearcher()
    await complete(start(upstream, searcher, messages=OWN[1:]))

    front, *rest = cast("Any", upstream.calls[0].body["messages"])
    assert searcher.queries == ["hi"]
    assert rest == OWN[1:]
    assert front["role"] == "system"
    assert "Today is 2026-11-23" in front["content"]
    assert "=== SEARCH RESULTS 5ea1c0de ===" in front["content"]
    assert "[1] Toll gates\nurl: https://example.org/gates\ndate: 2026-11-20" in front["content"]


async def test_results_begin_the_callers_system_message(start: Any) -> None:
    """There is one system message, and it is the first: some templates refuse any other."""
    upstream = FakeUpstream(body=WHOLE)
    await complete(start(upstream, FakeSearcher()))

    front, *rest = cast("Any", upstream.calls[0].body["messages"])
    assert rest == OWN[1:]
    assert front["role"] == "system"
    assert front["content"].startswith("Today is 2026-11-23")
    assert front["content"].endswith("The quotations end here.\n\nbe brief")


async def test_search_is_paid_beside_the_tokens(start: Any, ledger: FakeLedger) -> None:
    """Quota, record and loss are one number; the record counts the search."""
    answer = await complete(start(FakeUpstream(body=WHOLE), FakeSearcher()))

    assert answer["search_results"] == TOLD
    assert answer["quota"] == PRICE / 1_000_000
    assert spent(ledger) == ledger.records["r"].quota == PRICE
    assert ledger.records["r"].tokens == {"prompt": 100, "completion": 2, "search": 1}


async def test_the_hold_is_there_before_the_search(start: Any, ledger: FakeLedger) -> None:
    """It covers the dearest provider and all that results may add."""
    held: list[int] = []
    searcher = FakeSearcher(watch=lambda: held.append(ledger.accounts["a"].held))
    await complete(start(FakeUpstream(body=WHOLE), searcher, max_tokens=10))

    prompt = 3 + count_message("system", "be brief", "o200k_base")
    prompt += count_message("user", "hi", "o200k_base")
    assert held == [prompt + FRAME_TOKENS_MAX + 200 + 10 * 4 + 500]


async def test_stream_tells_its_results_on_the_last_chunk(start: Any, ledger: FakeLedger) -> None:
    """With the exact figures; the search is in the running quota from the first chunk."""
    chunks = await run(start(FakeUpstream(steps=STREAM), FakeSearcher(), stream=True))

    assert [chunk.get("search_results") for chunk in chunks] == [None, None, TOLD]
    assert chunks[0]["quota"] > 300 / 1_000_000
    assert chunks[-1]["quota"] == PRICE / 1_000_000
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert spent(ledger) == ledger.records["r"].quota == PRICE


async def test_running_usage_counts_the_results(start: Any) -> None:
    """What the prompt with its results really counts, not what was held for it."""
    upstream = FakeUpstream(steps=STREAM)
    chunks = await run(start(upstream, FakeSearcher(), stream=True))

    assert chunks[0]["usage"]["prompt_tokens"] == sent_tokens(upstream)


async def test_stream_is_kept_alive_while_the_search_is_slow(
    start: Any, ledger: FakeLedger
) -> None:
    """Nothing but comments is sent until then; the answer follows as ever."""
    is_alive = asyncio.Event()
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if sent.count(KEEPALIVE_FRAME) == 2:
            is_alive.set()

    upstream = FakeUpstream(steps=STREAM)
    job = start(upstream, FakeSearcher(wait=is_alive.wait), stream=True)
    response = MeteredResponse(job, is_stream=True, keepalive_s=0.01)
    await asyncio.wait_for(response({}, cast("Any", None), send), 30)

    assert sent[:3] == [b"", KEEPALIVE_FRAME, KEEPALIVE_FRAME]
    assert b"data: [DONE]\n\n" in sent
    assert spent(ledger) == PRICE


async def test_usage_chunk_tells_the_results(start: Any) -> None:
    """Where a last chunk without choices was asked for, it is the one."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = await run(start(FakeUpstream(steps=STREAM), FakeSearcher(), **options))

    assert chunks[-1]["choices"] == []
    assert [chunk.get("search_results") for chunk in chunks] == [None, None, None, TOLD]


@pytest.mark.parametrize("fields", [{"model": "web-m-official"}, {"official": True}])
async def test_official_form_has_no_results(
    start: Any, ledger: FakeLedger, fields: dict[str, Any]
) -> None:
    """It is searched and paid for all the same; the form is OpenAI's."""
    upstream, searcher = FakeUpstream(steps=STREAM), FakeSearcher()
    chunks = await run(start(upstream, searcher, stream=True, **fields))

    assert not any({"search_results", "quota", "usage"} & set(chunk) for chunk in chunks)
    assert "[1] Toll gates" in cast("Any", upstream.calls[0].body["messages"])[0]["content"]
    assert spent(ledger) == PRICE


async def test_whole_official_answer(start: Any) -> None:
    """Neither quota nor results."""
    answer = await complete(start(FakeUpstream(body=WHOLE), FakeSearcher(), official=True))

    assert not {"search_results", "quota"} & set(answer)


async def test_second_choice_does_not_repeat_the_results(start: Any) -> None:
    """Two finish chunks wait for the end; the last one has them."""
    last = {"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}
    steps = [*CONTENT, FINISH, last, {"choices": [], "usage": USAGE}, "[DONE]"]
    chunks = await run(start(FakeUpstream(steps=steps), FakeSearcher(), stream=True, n=2))

    assert [chunk.get("search_results") for chunk in chunks] == [None, None, None, TOLD]


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("is_timeout", [False, True])
async def test_failed_search_costs_nothing(
    start: Any, ledger: FakeLedger, *, is_timeout: bool, is_stream: bool
) -> None:
    """The upstream is not called, and the hold is given back."""
    upstream = FakeUpstream(body=WHOLE, steps=STREAM)
    searcher = FakeSearcher(error=WebSearchFailedError(is_timeout=is_timeout))
    job = start(upstream, searcher, stream=is_stream)

    with pytest.raises(WebSearchFailedError):
        await (run(job) if is_stream else complete(job))

    assert (spent(ledger), ledger.records, upstream.calls) == (0, {}, [])


@pytest.mark.parametrize("is_stream", [False, True])
async def test_search_is_free_where_the_upstream_fails(
    start: Any, ledger: FakeLedger, *, is_stream: bool
) -> None:
    """Nothing is charged with an error before output, not even the search."""
    job = start(FakeUpstream(error=UpstreamTimeoutError()), FakeSearcher(), stream=is_stream)

    with pytest.raises(UpstreamTimeoutError):
        await (run(job) if is_stream else complete(job))

    assert (spent(ledger), ledger.records) == (0, {})


async def test_broken_stream_pays_for_its_search(start: Any, ledger: FakeLedger) -> None:
    """It was made, and some of the answer was sent."""
    upstream = FakeUpstream(steps=[*CONTENT, UpstreamBrokenError()])

    with pytest.raises(UpstreamBrokenError):
        await run(start(upstream, FakeSearcher(), stream=True))

    record = ledger.records["r"]
    assert (record.outcome, record.tokens["search"]) == ("broken", 1)
    assert spent(ledger) == record.quota == record.tokens["prompt"] + 4 + 300


@pytest.mark.parametrize("results", [(), (RawResult(title="x", url="mailto:x", text="", date=""),)])
async def test_nothing_found_is_told_and_paid(
    start: Any, ledger: FakeLedger, results: tuple[RawResult, ...]
) -> None:
    """An empty answer is one: the model hears of it and the caller sees an empty list."""
    upstream = FakeUpstream(body=WHOLE)
    answer = await complete(start(upstream, FakeSearcher(results=results)))

    assert answer["search_results"] == []
    assert NOTHING_FOUND in cast("Any", upstream.calls[0].body["messages"])[0]["content"]
    assert spent(ledger) == PRICE


async def test_results_keep_to_what_was_held(start: Any) -> None:
    """However long the pages, and no more of them than the catalog says."""
    pages = [
        RawResult(title="t" * 500, url=f"https://example.org/{n}", text="word " * 5000, date="")
        for n in range(20)
    ]
    upstream = FakeUpstream(body=WHOLE)
    answer = await complete(start(upstream, FakeSearcher(results=pages)))

    front = cast("Any", upstream.calls[0].body["messages"])[0]["content"]
    assert len(answer["search_results"]) == 3
    assert count_message("system", front, "o200k_base") <= FRAME_TOKENS_MAX + 200


async def test_results_keep_to_what_the_context_has_left(start: Any) -> None:
    """A long prompt leaves them less than the catalog gives."""
    pages = [RawResult(title="t", url="https://example.org/", text="word " * 500, date="")]
    messages = [{"role": "user", "content": "word " * 1650}]
    upstream = FakeUpstream(body=WHOLE)
    await complete(start(upstream, FakeSearcher(results=pages), messages=messages))

    front = cast("Any", upstream.calls[0].body["messages"])[0]["content"]
    room = 2000 - 1652 - FRAME_TOKENS_MAX
    assert count_message("system", front, "o200k_base") <= FRAME_TOKENS_MAX + room // 2


async def test_balance_that_does_not_pay_for_the_search(start: Any, ledger: FakeLedger) -> None:
    """Nobody is asked where the account cannot pay for both."""
    account = ledger.accounts["a"]
    fields = {name: getattr(account, name) for name in account.__slots__}
    ledger.accounts["a"] = type(account)(**fields | {"balance": 800, "granted": 800})
    searcher = FakeSearcher()

    with pytest.raises(InsufficientQuotaError):
        await complete(start(FakeUpstream(body=WHOLE), searcher))

    assert searcher.queries == []


async def test_lowered_limit_knows_what_the_search_came_to(start: Any, ledger: FakeLedger) -> None:
    """What results and provider did not use of the hold buys output."""
    account = ledger.accounts["a"]
    fields = {name: getattr(account, name) for name in account.__slots__}
    ledger.accounts["a"] = type(account)(**fields | {"balance": 1500, "granted": 1500})
    upstream = FakeUpstream(body=WHOLE)
    job = start(upstream, FakeSearcher(), max_tokens=900)
    await job.completion()
    await job.close()

    expected = (1500 - 300 - sent_tokens(upstream)) // 4
    assert upstream.calls[0].output_limit == expected
    assert job.headers["x-tollgate-output-limit"] == str(upstream.calls[0].output_limit)


LONG = [{"role": "user", "content": "word " * 1000}]  # 1008 tokens with all, of 2000


@pytest.mark.parametrize(
    ("messages", "fields", "limit"),
    [
        (OWN, {}, None),
        (OWN, {"max_tokens": 900}, None),
        (OWN, {"max_tokens": 5000}, 1000),
        (LONG, {}, 2000 - 1008 - FRAME_TOKENS_MAX - 200),
        (LONG, {"max_tokens": 500}, None),
        (LONG, {"max_tokens": 700}, None),
        (LONG, {"max_tokens": 900}, 2000 - 1008 - FRAME_TOKENS_MAX),
    ],
)
async def test_upstream_is_told_the_limit_that_results_leave(
    start: Any, messages: Any, fields: dict[str, Any], limit: int | None
) -> None:
    """Where it is below what was asked for; prompt, results and answer are never too long."""
    pages = [RawResult(title="t", url="https://example.org/", text="word " * 500, date="")]
    upstream = FakeUpstream(body=WHOLE)
    job = start(upstream, FakeSearcher(results=pages), messages=messages, **fields)
    await job.completion()
    await job.close()

    assert upstream.calls[0].output_limit == limit
    assert job.headers.get("x-tollgate-output-limit") == (None if limit is None else str(limit))
    asked = limit or fields.get("max_tokens", 1000)
    assert sent_tokens(upstream) + asked <= 2000


async def test_results_without_room_are_not_nothing_found(start: Any) -> None:
    """The caller's answer has all the context that is left; the model hears that pages exist."""
    upstream = FakeUpstream(body=WHOLE)
    answer = await complete(start(upstream, FakeSearcher(), messages=LONG, max_tokens=800))

    assert answer["search_results"] == []
    assert NOTHING_FITS in cast("Any", upstream.calls[0].body["messages"])[0]["content"]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_request_cancelled_during_the_search(
    start: Any, ledger: FakeLedger, *, is_stream: bool
) -> None:
    """The caller has gone: the hold is given back and no model is asked."""
    asked = asyncio.Event()

    async def wait() -> None:
        asked.set()
        await asyncio.Event().wait()

    upstream = FakeUpstream(body=WHOLE, steps=STREAM)
    job = start(upstream, FakeSearcher(wait=wait), stream=is_stream)
    serving = asyncio.create_task(run(job) if is_stream else complete(job))
    await asyncio.wait_for(asked.wait(), 10)
    held = ledger.accounts["a"].held
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert held > 0
    assert (spent(ledger), ledger.records, upstream.calls) == (0, {}, [])


def test_each_search_draws_its_own_mark(ledger: FakeLedger) -> None:
    """Sixteen hexadecimal digits that no page can have known."""
    metering = Metering(ledger=ledger, upstream=cast("Upstream", FakeUpstream()))
    first, second = metering.draw_mark(), metering.draw_mark()

    assert first != second
    assert all(re.fullmatch("[0-9a-f]{16}", mark) for mark in (first, second))


async def test_process_without_a_search(start: Any, ledger: FakeLedger) -> None:
    """Such an answer is refused, not given without its results."""
    with pytest.raises(WebSearchUnavailableError):
        await complete(start(FakeUpstream(body=WHOLE), None))

    assert spent(ledger) == 0
