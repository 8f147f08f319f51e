"""One run: clients at random through the gateway, then what each has seen against what it may."""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from openai import APIError, APIStatusError, AsyncOpenAI
from tollgate.core.tokens import count_text
from tollgate.upstream.cooldowns import CooldownRules

from tests.chaos.gateway import ACCOUNT, ChatGateway, serving_chat
from tests.chaos.vendors import CHANNELS, EARLY, Turn, draw_turn, make_choice, make_drops, usage_of
from tests.dynamodb import scan
from tests.fakes.choosing_server import serving_choices

WAITS_S = 120.0  # a client's time-out: beyond it a call has not ended
# Much shorter than those in force, so that a run sees many of them end.
RULES = CooldownRules(fault_s=0.3, fault_longest_s=1.2, rate_limit_s=0.2, fair_s=0.5)
TIMEOUTS = "{ connect_s = 10, first_byte_s = 4, between_bytes_s = 4, total_s = 90 }"
PRICES = {"story": (100, 400), "frail": (50, 200)}  # points a million, micropoints a token


@dataclass(slots=True, kw_only=True)
class Seen:
    """What one client has seen. `ending`: "answer", "broken", or the status of a refusal."""

    index: int
    model: str
    is_stream: bool
    ending: str = ""
    request_id: str = ""
    channel: str = ""
    fell_back_to: str | None = None
    text: str = ""
    named: str = ""
    quota: int | None = None
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Report:
    """The figures of a run. `is_patient`: no channel has time-outs of its own."""

    seed: int
    requests: int
    early: Sequence[str] = EARLY
    is_patient: bool = False
    endings: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    rescued: int = 0
    fell_back: int = 0
    hopeless: int = 0
    dropped: int = 0
    spent: int = 0
    records: int = 0
    slowest_s: float = 0.0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield what is to be read by people."""
        yield f"seed {self.seed}: {self.requests} requests, 3 channels, in {self.seconds:.0f} s"
        yield f"faults drawn for the first channel: {self.faults.total()}"
        yield from (f"  {name:24} {count}" for name, count in sorted(self.faults.items()))
        yield f"endings: {self.endings.total()}, the slowest after {self.slowest_s:.1f} s"
        yield from (f"  {name:24} {count}" for name, count in sorted(self.endings.items()))
        yield f"answered, and the first channel could not have: {self.rescued}"
        yield f"answered by a fallback model: {self.fell_back}"
        yield f"sent again, since the kept connection was closed: {self.dropped}"
        yield f"refused, every channel being faulty: {self.hopeless}"
        yield f"records: {self.records}, spent: {self.spent} micropoints"
        yield f"disagreements: {len(self.wrong)}"
        yield from (f"  {line}" for line in self.wrong[:20])


def run_chaos(
    dynamodb_url: str,
    *,
    seed: int,
    requests: int,
    clients: int = 32,
    timeouts: str = TIMEOUTS,
    lives_s: float = 900.0,
    early: Sequence[str] = EARLY,
) -> Report:
    """Run `requests` requests with the faults that `seed` draws; return the figures.

    `timeouts`: the channels', as the catalog has them; "{}": none. `lives_s`: a Lambda's time.
    `early`: the faults before the first word.
    """
    report = Report(seed=seed, requests=requests, early=early, is_patient=timeouts == "{}")
    began = time.monotonic()
    dropped: set[tuple[str, int]] = set()
    with (
        tempfile.TemporaryDirectory() as home,
        serving_choices(make_choice(seed, early), make_drops(seed, dropped)) as vendors,
        serving_chat(
            dynamodb_url,
            _write_catalog(Path(home), vendors, timeouts),
            rules=RULES,
            sandboxes=3,
            lives_s=lives_s,
        ) as gateway,
    ):
        seen = asyncio.run(_ask_all(gateway, report, clients))
        _audit(report, seen, read_settled(gateway))
    report.seconds, report.dropped = time.monotonic() - began, len(dropped)
    return report


def _write_catalog(home: Path, vendors: str, timeouts: str) -> Path:
    """Write two models: one with all channels, one with the first and a fallback on the other."""
    channel = """
[channels.{name}]
base_url = "{url}/{name}"
timeouts = {timeouts}
"""
    model = """
[models.{name}]
context_tokens_max = 4000
output_tokens_max = 1000
price = {{ input = {price}, output = {output} }}
{more}
"""
    routes = ", ".join(
        f'{{ channel = "{c}", priority = {n // 2} }}' for n, c in enumerate(CHANNELS)
    )
    text = "".join(channel.format(name=name, url=vendors, timeouts=timeouts) for name in CHANNELS)
    for name, (price, output) in PRICES.items():
        frail = 'channels = ["c0"]\nfallback = ["story"]'
        more = frail if name == "frail" else f"channels = [{routes}]"
        text += model.format(name=name, price=price, output=output, more=more)
    file = home / "chaos.toml"
    file.write_text(text)
    return file


def _draw(seed: int, index: int) -> Seen:
    dice = random.Random(f"{seed}/{index}/client")
    model = "frail" if dice.random() < 0.2 else "story"
    return Seen(index=index, model=model, is_stream=dice.random() < 0.6)


async def _ask_all(gateway: ChatGateway, report: Report, clients: int) -> list[Seen]:
    left = iter(range(report.requests))
    seen: list[Seen] = []

    async def ask_on() -> None:
        async with AsyncOpenAI(
            base_url=gateway.base_url, api_key=gateway.api_key, max_retries=0, timeout=WAITS_S
        ) as client:
            for index in left:
                began = time.monotonic()
                one = _draw(report.seed, index)
                await _ask(client, one)
                report.slowest_s = max(report.slowest_s, time.monotonic() - began)
                seen.append(one)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(ask_on())
    return seen


async def _ask(client: AsyncOpenAI, seen: Seen) -> None:
    """Make one call and note how it ended; whatever is no OpenAI error is a disagreement."""
    try:
        async with asyncio.timeout(WAITS_S):
            await (_stream(client, seen) if seen.is_stream else _complete(client, seen))
        seen.ending = "answer"
    except APIStatusError as error:
        seen.ending, seen.request_id = (
            str(error.status_code),
            error.response.headers["x-request-id"],
        )
        if error.status_code in (429, 503) and not error.response.headers.get("retry-after"):
            seen.problem = f"{error.status_code} without retry-after"
    except APIError as error:
        seen.ending = "broken"
        if type(error) is not APIError or not seen.text:
            seen.problem = f"{type(error).__name__} after {seen.text!r}"
    except TimeoutError:
        seen.problem = "no end in time"


async def _complete(client: AsyncOpenAI, seen: Seen) -> None:
    messages: Any = [{"role": "user", "content": str(seen.index)}]
    raw = await client.chat.completions.with_raw_response.create(
        model=seen.model, messages=messages
    )
    _note_headers(seen, raw.headers)
    answer = raw.parse()
    seen.text, seen.named = _said(answer.choices[0].message), answer.model
    seen.quota = _micropoints(answer.to_dict()["quota"])


async def _stream(client: AsyncOpenAI, seen: Seen) -> None:
    messages: Any = [{"role": "user", "content": str(seen.index)}]
    chunks = await client.chat.completions.create(model=seen.model, messages=messages, stream=True)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(chunks.close)
        _note_headers(seen, chunks.response.headers)
        finish = None
        async for chunk in chunks:
            seen.text += _said(chunk.choices[0].delta)
            finish = chunk.choices[0].finish_reason or finish
            seen.named, quota = chunk.model, chunk.to_dict()["quota"]
            seen.quota = _micropoints(quota) if finish else None
        if finish is None:
            seen.problem = "a stream without error and finish"


def _said(message: Any) -> str:
    """Return what a message or delta says, in words or in calls of tools."""
    functions = [call.function for call in message.tool_calls or []]
    calls = [text for one in functions for text in (one.name, one.arguments)]
    return "".join(filter(None, [message.content, *calls]))


def _note_headers(seen: Seen, headers: Any) -> None:
    seen.request_id = headers["x-request-id"]
    seen.channel = headers["x-tollgate-channel"]
    seen.fell_back_to = headers.get("x-tollgate-model")


def _micropoints(points: object) -> int:
    return round(float(str(points)) * 1_000_000)


type Row = dict[str, Any]


def read_settled(gateway: ChatGateway) -> list[Row]:
    """Return every item once nothing is held: settling follows the last byte."""
    deadline = time.monotonic() + 30
    while True:
        rows = read_table(gateway)
        account = next(row for row in rows if row["sk"] == "ACCOUNT")
        if not account["holds"] or time.monotonic() > deadline:
            return rows
        time.sleep(0.1)


def read_table(gateway: ChatGateway) -> list[Row]:
    read = TypeDeserializer().deserialize
    rows = scan(gateway.client, gateway.table)
    return [{name: read(value) for name, value in item.items()} for item in rows]


def _audit(report: Report, seen: list[Seen], rows: list[Row]) -> None:
    account = next(row for row in rows if row["sk"] == "ACCOUNT")
    records = {row["request_id"]: row for row in rows if row["pk"].startswith(f"USAGE#{ACCOUNT}")}
    report.records, report.spent = len(records), int(account["spent"])
    money = {
        "held": (account["held"], 0),
        "granted": (account["granted"], account["balance"] + account["spent"]),
        "spent": (account["spent"], sum(row["quota"] for row in records.values())),
        "endings": (len(seen), report.requests),
        "records": (set(records), {one.request_id for one in seen if not one.ending.isdigit()}),
    }
    report.wrong += [f"{name}: {a} != {b}" for name, (a, b) in money.items() if a != b]
    for one in seen:
        report.endings[one.ending] += 1
        problem = one.problem or _judge(report, one, records.get(one.request_id))
        if problem:
            report.wrong.append(f"request {one.index}: {problem}: {one}")


def _judge(report: Report, seen: Seen, record: Row | None) -> str:
    """Return what is wrong with an ending, by what the channels did and what is recorded."""
    turns = {
        channel: draw_turn(
            report.seed, seen.index, channel, is_stream=seen.is_stream, early=report.early
        )
        for channel in CHANNELS
    }
    if turns["c0"].fault:
        report.faults[f"{turns['c0'].kind}: {turns['c0'].fault}"] += 1
    if seen.ending.isdigit():
        report.hopeless += 1
        # Without time-outs a hang cannot be told from a whole answer at work: it costs a request.
        has_hung = any(turn.fault == "hang" for turn in turns.values()) and seen.ending == "504"
        is_hopeless = all(turn.kind == "early" for turn in turns.values()) or (
            has_hung and report.is_patient and not seen.is_stream
        )
        return _first_of(
            {
                "refused, and a channel could have served": not is_hopeless,
                "a status that no channel's fault explains": seen.ending
                not in ("429", "502", "503", "504"),
                "refused, and recorded": record is not None,
            }
        )
    turn = turns[seen.channel]
    report.rescued += turn.kind == "sound" and turns["c0"].kind == "early"
    report.fell_back += seen.fell_back_to is not None
    return _judge_answer(seen, turn, record)


def _judge_answer(seen: Seen, turn: Turn, record: Row | None) -> str:
    if record is None:
        return "answered, and not recorded"
    is_whole = seen.ending == "answer"
    served = seen.fell_back_to or seen.model
    usage = _expected_usage(turn, record)
    return _first_of(
        {
            "not as its channel answered": turn.kind != ("sound" if is_whole else "late"),
            "not all that its channel said": seen.text != turn.said,
            "the model is called something else": seen.named != served,
            "outcome": record["outcome"] != ("complete" if is_whole else "broken"),
            "recorded for another model": record["model"] != served,
            "recorded for another channel": record["channel"] != seen.channel,
            "quota of answer and record": is_whole and seen.quota != record["quota"],
            "tokens": record["tokens"] != usage,
            "price": record["quota"] != _price(served, usage),
        }
    )


def _first_of(problems: dict[str, bool]) -> str:
    return next((name for name, is_there in problems.items() if is_there), "")


def _expected_usage(turn: Turn, record: Row) -> dict[str, int]:
    """Return the tokens of what was sent: as reported, else counted; the prompt as estimated."""
    if turn.has_usage:
        usage = usage_of(turn)
        return {"prompt": usage["prompt_tokens"], "completion": usage["completion_tokens"]}
    completion = count_text(turn.said, "o200k_base")
    return {"prompt": record["tokens"]["prompt"], "completion": completion}


def _price(model: str, usage: dict[str, int]) -> int:
    """Return micropoints: points a million tokens are micropoints a token."""
    price, output = PRICES[model]
    return usage["prompt"] * price + usage["completion"] * output
