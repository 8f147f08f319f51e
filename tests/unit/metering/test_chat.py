"""The use case from order to settled charge, between a fake upstream and a fake ledger."""

import json
import logging
from typing import Any, cast

import pytest
from tollgate.core.catalog import Catalog
from tollgate.core.metrics import RequestMetrics
from tollgate.errors import UpstreamBrokenError, UpstreamTimeoutError, UpstreamUnavailableError
from tollgate.ledger.model import Key
from tollgate.metering.chat import ChatJob, Metering
from tollgate.metering.orders import read_order
from tollgate.upstream.client import Upstream

from tests.fakes.ledger import FakeLedger
from tests.fakes.upstream import FakeUpstream
from tests.unit.metering.conftest import NOW

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
WHOLE = {
    "choices": [{"index": 0, "message": {"content": "ab"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
CONTENT = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in "ab"]
FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
LAST = {"choices": [], "usage": USAGE}


@pytest.fixture
def start(catalog: Catalog, key: Key, ledger: FakeLedger) -> Any:
    """Return a function that starts a job on a fake upstream."""

    def start(
        upstream: FakeUpstream, *, metrics: RequestMetrics | None = None, **fields: Any
    ) -> ChatJob:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
        metering = Metering(ledger=ledger, upstream=cast("Upstream", upstream), now=lambda: NOW)
        order = read_order(body, key=key, request_id="r", catalog=catalog)
        return metering.start(order, lambda: 60.0, metrics=metrics)

    return start


async def run(job: ChatJob) -> list[str]:
    """Return the data of each frame; the job is closed whatever happens."""
    seen = []
    try:
        async for frames in job.frames():
            seen += [one.removeprefix("data: ") for one in frames.decode().strip().split("\n\n")]
    finally:
        await job.close()
    return seen


def spent(ledger: FakeLedger) -> int:
    account = ledger.accounts["a"]
    assert account.held == 0
    assert account.granted == account.balance + account.spent
    return account.spent


async def test_whole_answer_is_charged_what_it_says(start: Any, ledger: FakeLedger) -> None:
    """Quota, record and loss are one number; 9 x 1 + 2 x 4."""
    job = start(FakeUpstream(body=WHOLE))

    answer = json.loads(await job.completion())
    assert ledger.accounts["a"].spent == 0
    await job.close()

    assert answer["quota"] == 0.000017
    assert answer["usage"] == USAGE
    assert spent(ledger) == ledger.records["r"].quota == 17
    assert ledger.records["r"].tokens == {"prompt": 9, "completion": 2}


async def test_log_says_charged_once_for_a_request_that_ran_twice(
    start: Any, ledger: FakeLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """The second run's answer is another one; the log, like the record, has the first."""
    caplog.set_level(logging.INFO)
    dearer = WHOLE | {"usage": USAGE | {"completion_tokens": 3, "total_tokens": 12}}
    for body in (WHOLE, dearer):
        job = start(FakeUpstream(body=body))
        await job.completion()
        await job.close()

    charged = [entry for entry in caplog.records if entry.getMessage() == "charged"]
    assert [entry.__dict__["quota_micropoints"] for entry in charged] == [17]
    assert spent(ledger) == ledger.records["r"].quota == 17


async def test_metrics_have_what_was_charged(start: Any) -> None:
    """The catalog's name of the model, and the record's tokens and quota."""
    metrics = RequestMetrics()
    job = start(FakeUpstream(body=WHOLE), metrics=metrics)
    await job.completion()
    await job.close()

    assert metrics == RequestMetrics(
        model="m", prompt_tokens=9, completion_tokens=2, quota_micropoints=17
    )


async def test_stream_is_charged_what_its_last_chunk_says(start: Any, ledger: FakeLedger) -> None:
    """The record is there before [DONE]; the settling comes with the close."""
    job = start(FakeUpstream(steps=[*CONTENT, FINISH, LAST, "[DONE]"]), stream=True)
    frames, journaled = [], []
    async for frame in job.frames():
        frames.append(frame)
        journaled.append("r" in ledger.records)
    await job.close()

    assert frames[-1] == b"data: [DONE]\n\n"
    assert journaled == [False, False, False, True]
    assert json.loads(frames[-2][6:])["quota"] == 0.000017
    assert spent(ledger) == ledger.records["r"].quota == 17
    assert ledger.records["r"].outcome == "complete"


async def test_answer_without_usage_is_counted(start: Any, ledger: FakeLedger) -> None:
    """Text is tokenised once and the prompt counts as estimated: 8 x 1 + 1 x 4."""
    job = start(FakeUpstream(body={"choices": WHOLE["choices"]}))
    await job.completion()
    await job.close()

    assert spent(ledger) == 8 + 4
    assert not ledger.records["r"].is_exact


@pytest.mark.parametrize("is_stream", [False, True])
async def test_failure_before_output_costs_nothing(
    start: Any, ledger: FakeLedger, *, is_stream: bool
) -> None:
    """The upstream's error reaches the caller, and the hold is given back."""
    job = start(FakeUpstream(error=UpstreamTimeoutError()), stream=is_stream)

    with pytest.raises(UpstreamTimeoutError):
        await (run(job) if is_stream else job.completion())
    await job.close()

    assert spent(ledger) == 0
    assert ledger.records == {}


async def test_answer_without_choices_costs_nothing(start: Any, ledger: FakeLedger) -> None:
    """There is nothing to show for the money."""
    job = start(FakeUpstream(body={"choices": [], "usage": USAGE}))

    with pytest.raises(UpstreamUnavailableError):
        await job.completion()
    await job.close()

    assert spent(ledger) == 0


@pytest.mark.parametrize(
    "steps",
    [
        [*CONTENT, UpstreamBrokenError()],
        [*CONTENT, UpstreamTimeoutError()],
        [*CONTENT, {"error": {"message": "x"}}],
        [*CONTENT, {"choices": [{"delta": {"content": " c d e"}, "finish_reason": "error"}]}],
        [*CONTENT, "not json"],
        CONTENT,
    ],
)
async def test_broken_stream_is_charged_what_was_sent(
    start: Any, ledger: FakeLedger, steps: list[Any]
) -> None:
    """Connection, silence, error, garbage or a bare end: two chunks were sold, and no more."""
    metrics, upstream = RequestMetrics(), FakeUpstream(steps=steps)
    job = start(upstream, metrics=metrics, stream=True)
    seen: list[bytes] = []

    async def read() -> None:
        async for frame in job.frames():
            seen.append(frame)  # noqa: PERF401

    with pytest.raises((UpstreamBrokenError, UpstreamTimeoutError)):
        await read()
    await job.close()

    assert len(seen) == 2
    assert b"[DONE]" not in b"".join(seen)
    assert spent(ledger) == ledger.records["r"].quota == 8 + 4
    assert ledger.records["r"].outcome == "broken"
    assert metrics.failed_channels == ["fake"]
    assert upstream.streams[0].ending.startswith("broken: Upstream")
    assert metrics.quota_micropoints == 8 + 4


async def test_error_with_usage_is_charged_by_it(start: Any, ledger: FakeLedger) -> None:
    """An upstream that fails and says what it cost is believed."""
    job = start(FakeUpstream(steps=[*CONTENT, {"error": {"message": "x"}, **LAST}]), stream=True)

    with pytest.raises(UpstreamBrokenError):
        await run(job)

    assert spent(ledger) == 17


async def test_role_alone_is_no_output(start: Any, ledger: FakeLedger) -> None:
    """A stream that breaks after its first, empty delta costs nothing."""
    role = {"choices": [{"index": 0, "delta": {"role": "assistant"}}]}
    job = start(FakeUpstream(steps=[role, UpstreamBrokenError()]), stream=True)

    with pytest.raises(UpstreamBrokenError):
        await run(job)

    assert spent(ledger) == 0


@pytest.mark.parametrize(
    "steps",
    [
        [*CONTENT, FINISH, LAST, UpstreamBrokenError()],
        [*CONTENT, FINISH, LAST],
        [*CONTENT, FINISH, LAST, "garbage", "[DONE]"],
        [*CONTENT, LAST, "[DONE]"],
        [*CONTENT, FINISH, LAST, {"error": {"message": "overloaded", "code": 503}}],
        [*CONTENT, FINISH, {"error": {"message": "overloaded"}, "usage": USAGE}],
        [*CONTENT, FINISH, {"error": {"message": "overloaded"}}, LAST, "[DONE]"],
        [*CONTENT, FINISH, {"choices": [{"index": 0, "finish_reason": "error"}]}, LAST],
    ],
)
async def test_complete_enough_is_complete(
    start: Any, ledger: FakeLedger, steps: list[Any]
) -> None:
    """After the finish nothing that fails spoils the answer; `[DONE]` is an end without one."""
    upstream = FakeUpstream(steps=steps)
    seen = await run(start(upstream, stream=True))

    assert seen[-1] == "[DONE]"
    assert upstream.streams[0].ending == "complete"
    assert spent(ledger) == 17
    assert ledger.records["r"].outcome == "complete"


async def test_caller_that_goes_pays_for_what_was_sent(start: Any, ledger: FakeLedger) -> None:
    """Nobody reads on: the close charges the chunks that were made."""
    job = start(FakeUpstream(steps=[*CONTENT, FINISH, LAST, "[DONE]"]), stream=True)
    frames = job.frames()
    await anext(frames)
    await frames.aclose()
    await job.close()

    assert spent(ledger) == ledger.records["r"].quota == 8 + 4
    assert ledger.records["r"].outcome == "broken"


async def test_limit_is_lowered_to_what_the_balance_pays_for(
    start: Any, ledger: FakeLedger
) -> None:
    """The upstream's limit and the header are what the hold buys; else nothing is said."""
    rich, poor = FakeUpstream(body=WHOLE), FakeUpstream(body=WHOLE)
    plenty = start(rich, max_tokens=100)
    await plenty.completion()
    await plenty.close()
    account = ledger.accounts["a"]
    gone = account.balance - 200
    ledger.accounts["a"] = type(account)(
        **{name: getattr(account, name) for name in account.__slots__}
        | {"balance": 200, "granted": account.granted - gone}
    )

    scarce = start(poor, max_tokens=100)
    await scarce.completion()
    await scarce.close()

    assert (plenty.headers, rich.calls[0].output_limit) == ({"x-tollgate-channel": "fake"}, None)
    assert poor.calls[0].output_limit == (200 - 8) // 4
    assert scarce.headers == {"x-tollgate-channel": "fake", "x-tollgate-output-limit": "48"}


async def test_overrun_is_one_number_everywhere(start: Any, ledger: FakeLedger) -> None:
    """An upstream that reports more than the account has is charged all there is, and says so."""
    usage = {"prompt_tokens": 9, "completion_tokens": 10_000_000}
    job = start(FakeUpstream(body={**WHOLE, "usage": usage}), max_tokens=100)

    answer = json.loads(await job.completion())
    await job.close()

    assert answer["quota"] == 1
    assert spent(ledger) == ledger.records["r"].quota == 1_000_000
    assert ledger.accounts["a"].balance == 0


RUNNING = [{**chunk, "usage": USAGE} for chunk in CONTENT]
SECOND = [{"choices": [{"index": 1, "delta": {"content": text}}]} for text in "ab"]


@pytest.mark.parametrize(
    ("steps", "choices"),
    [
        (RUNNING, 1),
        ([*CONTENT, LAST], 1),
        ([*CONTENT, FINISH], 2),
        ([*CONTENT, FINISH, *SECOND], 2),
        ([*CONTENT, FINISH, UpstreamBrokenError()], 2),
        ([*CONTENT, FINISH, {"error": {"message": "overloaded"}}], 2),
    ],
)
async def test_half_an_answer_never_looks_whole(
    start: Any, ledger: FakeLedger, steps: list[Any], choices: int
) -> None:
    """Usage is no end, wherever it comes, and one finished choice of two is half."""
    job = start(FakeUpstream(steps=steps), stream=True, n=choices)

    with pytest.raises(UpstreamBrokenError):
        await run(job)

    assert ledger.records["r"].outcome == "broken"
    assert spent(ledger) == ledger.records["r"].quota > 0


async def test_second_choice_may_come_after_the_first_has_finished(
    start: Any, ledger: FakeLedger
) -> None:
    """One after the other, both arrive, and both are paid for."""
    last = {"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}
    steps = [*CONTENT, FINISH, *SECOND, last, LAST, "[DONE]"]

    seen = [
        json.loads(one)
        for one in (await run(start(FakeUpstream(steps=steps), stream=True, n=2)))[:-1]
    ]

    reasons = [(one["choices"][0]["index"], one["choices"][0]["finish_reason"]) for one in seen]
    assert [reason for reason in reasons if reason[1]] == [(0, "stop"), (1, "stop")]
    assert spent(ledger) == 17
