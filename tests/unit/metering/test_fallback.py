"""Another model answers where every channel of the one asked for has failed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from tollgate.core.catalog import Catalog
from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.units import Micropoints
from tollgate.errors import (
    InsufficientQuotaError,
    UpstreamBrokenError,
    UpstreamError,
    UpstreamModelMissingError,
    UpstreamRateLimitedError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from tollgate.ledger.model import Key
from tollgate.metering.chat import ChatJob, Metering
from tollgate.metering.orders import read_order
from tollgate.upstream.client import Completion, Upstream

from tests.fakes.ledger import FakeLedger
from tests.fakes.searcher import FakeSearcher
from tests.fakes.upstream import FakeEventStream
from tests.unit.metering.conftest import NOW

USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
WHOLE = {"choices": [{"index": 0, "message": {"content": "ab"}, "finish_reason": "stop"}]}
STEPS: list[Any] = [
    {"choices": [{"index": 0, "delta": {"content": "ab"}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": USAGE},
    "[DONE]",
]
DOWN = UpstreamUnavailableError()
REFUSED = UpstreamRefusedError("bad", status=400)


@pytest.fixture
def catalog() -> Catalog:
    """A model at 1 and 4 micropoints a token, one at 10 and 40 that stands in for it, and more."""
    model = """
        [models.{name}]
        context_tokens_max = {context}
        output_tokens_max = 1000
        price = {{ input = {price}, output = {output} }}
        channels = ["fake"]
        {more}
    """
    rows = [
        ("m", 2000, 1, 'fallback = ["dear", "next"]'),
        ("dear", 2000, 10, 'service_tiers = { flex = 50 }\nfallback = ["m"]'),
        ("next", 2000, 2, 'refused_fields = ["logprobs"]'),
        ("tiered", 2000, 1, 'service_tiers = { flex = 50 }\nfallback = ["next", "dear"]'),
        ("long", 2000, 1, 'fallback = ["short"]'),
        ("short", 60, 1, ""),
    ]
    text = "".join(
        model.format(name=name, context=context, price=price, output=4 * price, more=more)
        for name, context, price, more in rows
    )
    search = """
        [search.cheap]
        kind = "searxng"
        base_url = "http://fake"
        price = 0.0003
        text_tokens_max = 200
    """
    return parse_catalog(f'[channels.fake]\nbase_url = "http://fake"\n{text}{search}')


@dataclass(slots=True)
class ModelsUpstream:
    """Answers for each model with its error, or well."""

    errors: Mapping[str, UpstreamError]
    calls: list[Any] = field(default_factory=list)

    def look(self) -> None:
        """Nothing rests."""

    async def complete(self, call: Any) -> Completion:
        self._take(call)
        return Completion(channel=f"of-{call.model.name}", body=WHOLE | {"usage": USAGE})

    async def open_stream(self, call: Any) -> Any:
        self._take(call)
        stream = FakeEventStream(STEPS)
        stream.channel = f"of-{call.model.name}"
        return stream

    def _take(self, call: Any) -> None:
        self.calls.append(call)
        if call.model.name in self.errors:
            raise self.errors[call.model.name]

    @property
    def asked(self) -> list[str]:
        return [call.model.name for call in self.calls]


@pytest.fixture
def start(catalog: Catalog, key: Key, ledger: FakeLedger) -> Any:
    def start(
        errors: Mapping[str, UpstreamError], *, models: set[str] | None = None, **fields: Any
    ) -> tuple[ChatJob, ModelsUpstream]:
        upstream = ModelsUpstream(errors)
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
        caller = replace(key, models=frozenset(models) if models is not None else None)
        order = read_order(body, key=caller, request_id="r", catalog=catalog)
        metering = Metering(
            ledger=ledger,
            upstream=cast("Upstream", upstream),
            searcher=FakeSearcher(),
            now=lambda: NOW,
        )
        return metering.start(order, lambda: 60.0), upstream

    return start


async def complete(job: ChatJob) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(await job.completion())
    finally:
        await job.close()
    return answer


def set_balance(ledger: FakeLedger, amount: int) -> None:
    account = ledger.accounts["a"]
    money = Micropoints(amount)
    ledger.accounts["a"] = replace(account, balance=money, granted=money)


def spent(ledger: FakeLedger) -> int:
    account = ledger.accounts["a"]
    assert account.held == 0
    assert account.granted == account.balance + account.spent
    return account.spent


async def test_healthy_model_answers_itself(start: Any, ledger: FakeLedger) -> None:
    """No fallback is asked, and no header speaks of one."""
    job, upstream = start({})

    assert (await complete(job))["model"] == "m"
    assert upstream.asked == ["m"]
    assert job.headers == {"x-tollgate-channel": "of-m"}
    assert spent(ledger) == 9 + 4 * 2


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        UpstreamTimeoutError(),
        UpstreamRateLimitedError(retry_after_s=5),
        UpstreamModelMissingError("m"),
    ],
)
async def test_fallback_is_visible_and_has_its_own_price(
    start: Any, ledger: FakeLedger, error: UpstreamError, caplog: pytest.LogCaptureFixture
) -> None:
    """Answer, header, record, charge and log name the model that served."""
    job, upstream = start({"m": error})
    answer = await complete(job)

    assert upstream.asked == ["m", "dear"]
    assert answer["model"] == "dear"
    assert job.headers == {"x-tollgate-channel": "of-dear", "x-tollgate-model": "dear"}
    assert spent(ledger) == ledger.records["r"].quota == 10 * (9 + 4 * 2)
    assert answer["quota"] == 0.00017
    assert (ledger.records["r"].model, ledger.records["r"].channel) == ("dear", "of-dear")
    [line] = [entry for entry in caplog.records if entry.getMessage() == "fallback"]
    assert (line.__dict__["model"], line.__dict__["fallback"]) == ("m", "dear")


async def test_fallback_of_a_stream(start: Any, ledger: FakeLedger) -> None:
    """Each chunk names the model that serves, and the running quota is at its price."""
    job, _ = start({"m": DOWN}, stream=True)
    frames = [frame async for frame in job.frames()]
    await job.close()
    chunks = [json.loads(frame[6:]) for frame in frames[:-1]]

    assert {chunk["model"] for chunk in chunks} == {"dear"}
    assert chunks[0]["quota"] == pytest.approx(10 * (8 + 4) / 1e6)
    assert frames[-1] == b"data: [DONE]\n\n"
    assert spent(ledger) == ledger.records["r"].quota == 170


async def test_next_fallback_follows(start: Any, ledger: FakeLedger) -> None:
    """In the catalog's order; a fallback's own fallbacks are not asked."""
    job, upstream = start({"m": DOWN, "dear": UpstreamTimeoutError()})

    assert (await complete(job))["model"] == "next"
    assert upstream.asked == ["m", "dear", "next"]
    assert spent(ledger) == 2 * 17


@pytest.mark.parametrize("is_stream", [False, True])
async def test_callers_mistake_is_not_asked_elsewhere(
    start: Any, ledger: FakeLedger, *, is_stream: bool
) -> None:
    """What the upstream refuses is told as it is."""
    job, upstream = start({"m": REFUSED}, stream=is_stream)
    with pytest.raises(UpstreamRefusedError):
        await (anext(job.frames()) if is_stream else job.completion())
    await job.close()

    assert (upstream.asked, spent(ledger), ledger.records) == (["m"], 0, {})


@pytest.mark.parametrize("last", [DOWN, REFUSED, UpstreamTimeoutError()])
async def test_error_is_the_first_models(
    start: Any, ledger: FakeLedger, last: UpstreamError
) -> None:
    """Where all fail, or refuse what was not written for them, the first failure is told."""
    first = UpstreamRateLimitedError(retry_after_s=5)
    job, upstream = start({"m": first, "dear": REFUSED, "next": last})
    with pytest.raises(UpstreamRateLimitedError):
        await complete(job)

    assert (upstream.asked, spent(ledger)) == (["m", "dear", "next"], 0)


async def test_broken_stream_has_no_fallback(
    start: Any, ledger: FakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first word there is no other model, and no other channel."""
    monkeypatch.setitem(globals(), "STEPS", [STEPS[0], UpstreamBrokenError()])
    job, upstream = start({}, stream=True)
    with pytest.raises(UpstreamBrokenError):
        async for _ in job.frames():
            pass
    await job.close()

    assert upstream.asked == ["m"]
    assert ledger.records["r"].outcome == "broken"


@pytest.mark.parametrize(
    ("fields", "models", "expected"),
    [
        ({}, {"m", "next"}, ["m", "next"]),
        ({}, {"m"}, ["m"]),
        ({"logprobs": True}, None, ["m", "dear"]),
        ({"model": "tiered", "service_tier": "flex"}, None, ["tiered", "dear"]),
        ({"model": "long"}, None, ["long", "short"]),
        (
            {"model": "long", "messages": [{"role": "user", "content": "word " * 90}]},
            None,
            ["long"],
        ),
    ],
)
async def test_who_may_stand_in(
    start: Any, fields: dict[str, Any], models: set[str] | None, expected: list[str]
) -> None:
    """What the key may not use, does not sell what is asked, or is too small, is not asked."""
    job, upstream = start(
        dict.fromkeys(["m", "dear", "next", "tiered", "long", "short"], DOWN),
        models=models,
        **fields,
    )
    with pytest.raises(UpstreamUnavailableError):
        await complete(job)

    assert upstream.asked == expected


async def test_hold_covers_the_dearest(start: Any, ledger: FakeLedger) -> None:
    """Held is what the dearest of them may cost: 10 x (8 + 4 x 100)."""
    job, _ = start({"m": DOWN}, max_tokens=100)
    await job.completion()
    [hold] = ledger.accounts["a"].holds.values()
    await job.close()

    assert hold.amount == 10 * (8 + 4 * 100)


async def test_small_balance_is_served_by_what_it_pays_for(start: Any, ledger: FakeLedger) -> None:
    """Enough for the model asked for and not for the dear one: that one is not asked."""
    set_balance(ledger, 500)
    job, upstream = start({"m": DOWN}, max_tokens=100)
    answer = await complete(job)

    assert upstream.asked == ["m", "next"]
    assert upstream.calls[0].output_limit is None
    held = 8 + 4 * 100
    assert upstream.calls[1].output_limit == (held - 2 * 8) // (2 * 4)
    assert answer["model"] == "next"


async def test_dear_fallback_does_not_cut_the_answer_short(start: Any, ledger: FakeLedger) -> None:
    """A balance that pays for the whole answer of the model asked for pays for all of it."""
    set_balance(ledger, 2000)
    job, upstream = start({}, max_tokens=400)
    await complete(job)

    assert upstream.calls[0].output_limit is None
    assert "x-tollgate-output-limit" not in job.headers


async def test_too_small_balance_is_refused(start: Any, ledger: FakeLedger) -> None:
    """Below what the model asked for needs at least nobody is called."""
    set_balance(ledger, 50)
    job, upstream = start({}, max_tokens=100)
    with pytest.raises(InsufficientQuotaError):
        await complete(job)

    assert upstream.calls == []


async def test_fallback_with_a_smaller_context_gets_a_limit(start: Any) -> None:
    """The answer is cut to what the prompt's text leaves, and the header says so."""
    job, upstream = start({"long": DOWN}, model="long")
    await complete(job)

    assert upstream.calls[0].output_limit is None
    assert upstream.calls[1].output_limit == 60 - 2
    assert job.headers["x-tollgate-output-limit"] == "58"


async def test_search_is_done_once(start: Any, ledger: FakeLedger) -> None:
    """The fallback is given the same results, and the search is paid for once."""
    job, upstream = start({"m": DOWN}, model="web-m")
    answer = await complete(job)

    assert upstream.calls[0].body == upstream.calls[1].body
    assert upstream.calls[1].body["messages"][0]["role"] == "system"
    assert answer["search_results"]
    assert spent(ledger) == 170 + 300


async def test_no_time_no_fallback(start: Any, ledger: FakeLedger) -> None:
    """Where the Lambda's time has run out nobody else is called."""
    job, upstream = start({"m": UpstreamTimeoutError()})
    job._budget_s = lambda: 0.0
    with pytest.raises(UpstreamTimeoutError):
        await complete(job)

    assert upstream.asked == ["m"]
