"""One mutated answer through the whole gateway but its sockets: client, parser, relay, ledger."""

import json
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.json_text import parse_object
from tollgate.core.units import Micropoints
from tollgate.errors import TollgateError
from tollgate.ledger.model import Account, Key
from tollgate.metering.chat import Metering
from tollgate.metering.image_bodies import read_json_body
from tollgate.metering.image_orders import read_image_order
from tollgate.metering.images import ImageJob
from tollgate.metering.jobs import Job
from tollgate.metering.orders import read_order
from tollgate.upstream.client import Upstream
from tollgate.upstream.keys import EnvKeys
from tollgate.web.errors import answer_error

from tests.fakes.ledger import FakeLedger
from tests.torture.mutations import KEY, cut, load_seeds, mutate

NOW = datetime(2026, 11, 23, tzinfo=UTC)
GRANTED = Micropoints(10**9)
CATALOG = parse_catalog("""
    [channels.vendor]
    base_url = "http://vendor.example/v1"
    key = "VENDOR_KEY"
    [models.chat]
    context_tokens_max = 2000
    output_tokens_max = 1000
    price = { input = 1, output = 4 }
    channels = [{ channel = "vendor", model = "deployment-7" }]
    [models.image]
    kind = "image"
    image_output.sizes."*" = 10
    price = { input = 1, output = 3 }
    channels = [{ channel = "vendor", model = "deployment-7" }]
""")
CALLER = Key(account_id="a", key_id="k", label="", status="active", created_at=NOW)
_DONE = b"data: [DONE]\n\n"


class Pieces(httpx.AsyncByteStream):
    """A response's body in the pieces that it is given."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the caller got, and what it paid."""

    sent: tuple[bytes, ...]
    error: str | None
    spent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One answer of the vendor's to one request, and what befell it."""

    is_image: bool
    is_stream: bool
    status: int
    body: bytes
    one: tuple[bytes, ...]
    other: tuple[bytes, ...]
    fields: dict[str, object]


def draw(seed: int, index: int) -> Case:
    """Return case `index` of a run: from the seed and the number alone."""
    dice = random.Random(f"{seed}/{index}")
    is_image, is_stream = dice.random() < 0.3, dice.random() < 0.7
    body = mutate(dice, load_seeds(is_image=is_image, is_stream=is_stream))
    fields: dict[str, object] = {"stream": is_stream, "n": dice.choice((1, 1, 2))}
    if not is_image and is_stream and dice.random() < 0.3:
        fields["stream_options"] = {"include_usage": True}
    return Case(
        is_image=is_image,
        is_stream=is_stream,
        status=dice.choice((200,) * 8 + (400, 500)),
        body=body,
        one=tuple(cut(dice, body)),
        other=tuple(cut(dice, body)),
        fields=fields | {"official": dice.random() < 0.3},
    )


async def check(case: Case) -> None:
    """Run the case with its two cuts. Raises: AssertionError; or what should have been caught."""
    first, second = await serve(case, case.one), await serve(case, case.other)
    assert first == second, "the answer depends on how it was cut"
    assert KEY not in (first.error or ""), "the operator's key was told"
    assert "deployment-7" not in (first.error or ""), "the operator's name of the model was told"
    for frame in first.sent:
        _check_frame(frame, case)


def _check_frame(frame: bytes, case: Case) -> None:
    """Fail unless it is JSON, and where a stream was asked one whole event and no more."""
    if not case.is_stream:
        parse_object(frame)
        return
    frame.decode()
    assert frame.endswith(b"\n\n")
    assert b"\r" not in frame
    *names, data = frame[:-2].split(b"\n")
    assert all(name.startswith(b"event: ") for name in names)
    assert len(names) <= 1
    assert data.startswith(b"data: ")
    if frame == _DONE:
        return
    payload = parse_object(data.removeprefix(b"data: "))
    if not case.is_image:
        assert isinstance(payload["choices"], list)
        assert payload["object"] == "chat.completion.chunk"


async def serve(case: Case, pieces: Sequence[bytes]) -> Outcome:
    """Return what the caller got of the vendor's answer in these pieces; the ledger adds up."""

    def answer(_: httpx.Request) -> httpx.Response:
        kind = "text/event-stream" if case.is_stream else "application/json"
        return httpx.Response(case.status, headers={"content-type": kind}, stream=Pieces(pieces))

    ledger = FakeLedger()
    ledger.open_account("a", NOW)
    ledger.grant("a", "g", GRANTED)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        upstream = Upstream(http, _catalog, EnvKeys({"VENDOR_KEY": KEY}))
        job = _start(Metering(ledger=ledger, upstream=upstream, now=lambda: NOW), case)
        sent, error = await _run(job, case)
    account: Account = ledger.accounts["a"]
    assert account.held == 0, "a hold was left"
    assert account.granted == account.balance + account.spent
    assert account.spent == sum(record.quota for record in ledger.records.values())
    return Outcome(sent=tuple(sent), error=error, spent=account.spent)


async def _run(job: Job, case: Case) -> tuple[list[bytes], str | None]:
    sent: list[bytes] = []
    try:
        if case.is_stream:
            async for frames in job.frames():
                sent += [frame + b"\n\n" for frame in frames.removesuffix(b"\n\n").split(b"\n\n")]
        else:
            sent.append(await job.completion())
    except TollgateError as error:
        json.loads(answer_error(error).body)
        return sent, answer_error(error).body.decode()
    finally:
        await job.close()
    return sent, None


def _start(metering: Metering, case: Case) -> Job:
    if case.is_image:
        body = read_json_body({"model": "image", "prompt": "hi", **case.fields})
        order = read_image_order(
            body, task="generations", key=CALLER, request_id="r", catalog=CATALOG
        )
        return ImageJob(metering, order, lambda: 60.0)
    message = {"role": "user", "content": "hi"}
    chat = {"model": "chat", "messages": [message], **case.fields}
    return metering.start(
        read_order(chat, key=CALLER, request_id="r", catalog=CATALOG), lambda: 60.0
    )


async def _catalog() -> object:
    return CATALOG
