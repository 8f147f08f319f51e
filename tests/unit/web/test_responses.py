"""The metered response over ASGI messages."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from starlette.requests import Request
from tollgate.core.metrics import RequestMetrics
from tollgate.errors import InsufficientQuotaError, InvalidRequestError, UpstreamBrokenError
from tollgate.web.requests import KEEPALIVE_HEADER, SETTLE_S, SILENCE_S_MAX
from tollgate.web.responses import (
    KEEPALIVE_FRAME,
    KEEPALIVE_SPACE,
    MeteredResponse,
    make_metered_response,
)
from tollgate.web.wire import PIECE_BYTES


class FakeJob:
    """Yields `steps`: frames, exceptions, or events that the test sets."""

    headers = {"x-tollgate-output-limit": "5"}  # noqa: RUF012 - as the job's property

    def __init__(self, *steps: bytes | Exception | asyncio.Event) -> None:
        self._steps = steps
        self.closed = 0

    async def completion(self) -> bytes:
        async for frame in self.frames():
            return frame
        raise AssertionError("a step is needed")

    async def frames(self) -> AsyncGenerator[bytes]:
        for step in self._steps:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, asyncio.Event):
                await step.wait()
            else:
                yield step

    async def close(self) -> None:
        await asyncio.sleep(0)  # as settling does: it must not be cut short here
        self.closed += 1


class Wire:
    """Takes the messages; `on_send` may do something at each."""

    def __init__(self, on_send: Callable[["Wire"], None] = lambda _: None) -> None:
        self.messages: list[Any] = []
        self._on_send = on_send

    async def __call__(self, message: Any) -> None:
        self.messages.append(message)
        self._on_send(self)

    @property
    def status(self) -> int:
        starts = [one for one in self.messages if one["type"] == "http.response.start"]
        assert len(starts) == 1
        return int(starts[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def bodies(self) -> list[bytes]:
        return [one["body"] for one in self.messages if one["type"] == "http.response.body"]

    @property
    def is_ended(self) -> bool:
        return self.messages[-1].get("more_body") is False


async def receive() -> Any:
    raise AssertionError("nothing is received")


async def send(
    job: FakeJob, wire: Wire, *, stream: bool = True, keepalive_s: float = 0, padded: bool = False
) -> Wire:
    response = MeteredResponse(job, is_stream=stream, keepalive_s=keepalive_s, is_padded=padded)
    await response({}, receive, wire)
    return wire


async def test_stream_is_sent_frame_by_frame() -> None:
    """Status and headers with the first frame, an end after the last, then the close."""
    job = FakeJob(b"one", b"two")

    wire = await send(job, Wire())

    assert wire.status == 200
    assert wire.headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
        "x-tollgate-output-limit": "5",
    }
    assert wire.bodies == [b"one", b"two", b""]
    assert [one.get("more_body") for one in wire.messages[1:]] == [True, True, False]
    assert job.closed == 1


async def test_whole_answer() -> None:
    """One body, as JSON."""
    job = FakeJob(b"{}")

    wire = await send(job, Wire(), stream=False)

    assert (wire.status, wire.bodies, wire.is_ended) == (200, [b"{}"], True)
    assert wire.headers["content-type"] == "application/json"
    assert job.closed == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_error_before_the_first_byte_has_its_status(*, stream: bool) -> None:
    """A row of the table, with its headers, as JSON."""
    job = FakeJob(InsufficientQuotaError())

    wire = await send(job, Wire(), stream=stream)

    assert (wire.status, wire.is_ended, job.closed) == (429, True, 1)
    assert wire.headers["x-should-retry"] == "false"
    assert json.loads(wire.bodies[0])["error"]["code"] == "insufficient_quota"


async def test_error_in_mid_stream_is_the_last_frame() -> None:
    """An SSE error and the end, without [DONE]."""
    job = FakeJob(b"one", UpstreamBrokenError())

    wire = await send(job, Wire())

    assert wire.status == 200
    assert json.loads(wire.bodies[-1].removeprefix(b"data: "))["error"]["code"] == "upstream_error"
    assert wire.is_ended
    assert job.closed == 1


@pytest.mark.parametrize("steps", [[ValueError("secret")], [b"one", ValueError("secret")]])
async def test_unforeseen_error_is_told_without_its_words(
    steps: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The last row of the table, and a log line that names the place only."""
    job = FakeJob(*steps)

    wire = await send(job, Wire())

    assert b"internal_error" in wire.bodies[-1]
    assert "secret" not in caplog.text + str(wire.bodies)
    assert job.closed == 1


async def test_silence_is_filled_with_comments() -> None:
    """Before the first frame, which commits the status, and between frames."""
    first, second = asyncio.Event(), asyncio.Event()

    def release(wire: Wire) -> None:
        comments = wire.bodies.count(KEEPALIVE_FRAME)
        if comments >= 2:
            first.set()
        if comments >= 4:
            second.set()

    job = FakeJob(first, b"one", second, b"two")

    wire = await send(job, Wire(release), keepalive_s=0.01)

    assert wire.status == 200
    assert wire.bodies.index(b"one") >= 2
    assert wire.bodies[wire.bodies.index(b"one") + 1] == KEEPALIVE_FRAME
    assert [body for body in wire.bodies if body != KEEPALIVE_FRAME] == [b"one", b"two", b""]


async def test_error_after_a_comment_is_a_frame() -> None:
    """The status has gone, so the error comes in the stream."""
    waited = asyncio.Event()
    job = FakeJob(waited, InsufficientQuotaError())

    wire = await send(job, Wire(lambda _: waited.set()), keepalive_s=0.01)

    assert wire.status == 200
    assert wire.headers["x-tollgate-output-limit"] == "5"
    assert wire.bodies[-1].startswith(b"data: {")


async def test_zero_turns_comments_off() -> None:
    """Nothing is sent while nothing is there."""
    waited = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, waited.set)

    wire = await send(FakeJob(waited, b"one"), Wire(), keepalive_s=0)

    assert wire.bodies == [b"one", b""]


async def test_caller_that_has_gone_is_settled() -> None:
    """A failing send ends the stream, and the job is closed all the same."""

    def fail(wire: Wire) -> None:
        if wire.bodies:
            raise OSError("gone")

    job = FakeJob(b"one", b"two")

    await send(job, Wire(fail))

    assert job.closed == 1


async def test_cancelled_request_is_settled() -> None:
    """The server drops the task: the close runs to its end first."""
    started, never = asyncio.Event(), asyncio.Event()
    job = FakeJob(b"one", never)
    task = asyncio.create_task(send(job, Wire(lambda _: started.set())))
    await started.wait()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert job.closed == 1


async def test_cancelled_scope_is_settled() -> None:
    """Starlette cancels by anyio's scopes, which go on cancelling: the close is shielded."""
    never = asyncio.Event()
    job = FakeJob(b"one", never)

    with anyio.CancelScope() as scope:
        await send(job, Wire(lambda _: scope.cancel()))

    assert scope.cancelled_caught
    assert job.closed == 1


class Remaining:
    """A Lambda context with so many seconds left for sending."""

    def __init__(self, send_s: float) -> None:
        self._ms = 1000 * (send_s + SETTLE_S)

    def get_remaining_time_in_millis(self) -> float:
        return self._ms


@pytest.mark.parametrize(
    ("stream", "steps"),
    [(True, [b"one", b"two"]), (True, [b"x" * 9 * PIECE_BYTES]), (False, [b"x" * 9 * PIECE_BYTES])],
)
async def test_caller_that_does_not_read_is_settled_in_time(
    caplog: pytest.LogCaptureFixture, *, stream: bool, steps: list[bytes]
) -> None:
    """All sends together end with the Lambda's time; the answer stays without an end."""
    job = FakeJob(*steps)
    sent: list[Any] = []

    async def block(message: Any) -> None:
        sent.append(message)
        if len(sent) > 2:
            await asyncio.Event().wait()

    response = MeteredResponse(job, is_stream=stream, keepalive_s=0)
    await response({"aws.context": Remaining(0.05)}, receive, block)

    assert job.closed == 1
    assert len(sent) == 3
    assert sent[-1]["body"] == (b"two" if len(steps) > 1 else b"x" * PIECE_BYTES)
    assert sent[-1]["more_body"]
    assert "its caller does not read" in caplog.text


async def test_slow_reader_has_one_deadline_for_all_pieces() -> None:
    """Each piece is taken in good time, and yet they are too many: the Lambda ends before."""
    sent: list[Any] = []

    async def slow(message: Any) -> None:
        sent.append(message)
        await asyncio.sleep(0.03)

    job = FakeJob(b"x" * 1000 * PIECE_BYTES)
    response = MeteredResponse(job, is_stream=False, keepalive_s=0)
    await response({"aws.context": Remaining(0.3)}, receive, slow)

    assert job.closed == 1
    assert len(sent) < 15
    assert all(one.get("more_body", True) for one in sent)


async def test_silent_budget_does_not_cut_an_answer_short() -> None:
    """The upstream's time may be over: what it has answered is sent while the Lambda lives."""
    wire = Wire()
    response = MeteredResponse(FakeJob(b"{}"), is_stream=False, keepalive_s=0)

    await response({"aws.context": Remaining(600)}, receive, wire)

    assert (wire.bodies, wire.is_ended) == ([b"{}"], True)


@pytest.mark.parametrize("fails_at", [1, 2, 3])
async def test_nothing_is_appended_to_half_an_answer(
    fails_at: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller has gone in the middle of a body: no error object, no end, and no alarm."""
    sent: list[Any] = []

    async def fail(message: Any) -> None:
        sent.append(message)
        if len(sent) > fails_at:
            raise OSError("gone")

    job = FakeJob(b"x" * 5 * PIECE_BYTES)
    await MeteredResponse(job, is_stream=False, keepalive_s=0)({}, receive, fail)

    assert job.closed == 1
    assert len(sent) == fails_at + 1
    assert "its caller has gone" in caplog.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_large_bodies_go_in_pieces() -> None:
    """What the transport has to copy is bounded; a whole answer ends with its last piece."""
    body = b"x" * (2 * PIECE_BYTES + 1)

    whole = await send(FakeJob(body), Wire(), stream=False)
    frames = await send(FakeJob(body), Wire())

    assert [len(piece) for piece in whole.bodies] == [PIECE_BYTES, PIECE_BYTES, 1]
    assert [one.get("more_body") for one in whole.messages[1:]] == [True, True, False]
    assert [len(piece) for piece in frames.bodies] == [PIECE_BYTES, PIECE_BYTES, 1, 0]
    assert b"".join(whole.bodies) == b"".join(frames.bodies) == body


async def test_no_comment_comes_between_the_pieces_of_a_frame() -> None:
    """A receiver that is slow in the middle of a frame is not sent a comment there."""
    body = b"x" * (3 * PIECE_BYTES)
    sent: list[bytes] = []

    async def slow(message: Any) -> None:
        if message["type"] == "http.response.body":
            sent.append(message["body"])
            await asyncio.sleep(0.05)

    await MeteredResponse(FakeJob(body), is_stream=True, keepalive_s=0.01)({}, receive, slow)

    assert sent[:3] == [b"x" * PIECE_BYTES] * 3


async def test_padded_answer_is_kept_alive_by_spaces() -> None:
    """Status 200 with the first space; then the answer, which is JSON all the same."""
    waited = asyncio.Event()

    def release(wire: Wire) -> None:
        if wire.bodies.count(KEEPALIVE_SPACE) >= 2:
            waited.set()

    wire = await send(
        FakeJob(waited, b'{"a": 1}'), Wire(release), stream=False, keepalive_s=0.01, padded=True
    )

    assert (wire.status, wire.is_ended) == (200, True)
    assert wire.headers["content-type"] == "application/json"
    assert wire.bodies[:2] == [KEEPALIVE_SPACE] * 2
    assert json.loads(b"".join(wire.bodies)) == {"a": 1}


async def test_error_after_a_space_is_a_body() -> None:
    """Not a frame: nobody reads events out of JSON."""
    waited = asyncio.Event()
    job = FakeJob(waited, InsufficientQuotaError())

    wire = await send(
        job, Wire(lambda _: waited.set()), stream=False, keepalive_s=0.01, padded=True
    )

    assert wire.status == 200
    assert json.loads(b"".join(wire.bodies))["error"]["code"] == "insufficient_quota"
    assert job.closed == 1


async def test_error_before_the_first_space_keeps_its_status() -> None:
    """Padding commits nothing until it is sent."""
    wire = await send(
        FakeJob(InsufficientQuotaError()), Wire(), stream=False, keepalive_s=60, padded=True
    )

    assert wire.status == 429


async def test_whole_answer_is_silent_unless_asked() -> None:
    """Its status is to be trusted."""
    waited = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, waited.set)

    wire = await send(FakeJob(waited, b"{}"), Wire(), stream=False, keepalive_s=0.01)

    assert wire.bodies == [b"{}"]


class Started:
    """A `StartJob` that keeps what it was given."""

    def __call__(
        self,
        budget_s: Callable[[], float],
        since: datetime,
        *,
        is_padded: bool,
        metrics: RequestMetrics,
    ) -> FakeJob:
        self.budget_s, self.since, self.is_padded = budget_s(), since, is_padded
        self.metrics = metrics
        return FakeJob()


def start(*, is_stream: bool, keepalive_s: float = 15, value: str | None = None) -> Started:
    """Make the response to a request that API Gateway took at a known time."""
    headers = [] if value is None else [(KEEPALIVE_HEADER.encode(), value.encode())]
    event = {"requestContext": {"requestTimeEpoch": 1_795_521_600_123}}
    scope = {"type": "http", "headers": headers, "aws.event": event}
    started = Started()
    make_metered_response(Request(scope), started, is_stream=is_stream, keepalive_s=keepalive_s)
    return started


def test_every_job_has_the_time_that_api_gateway_took_its_request() -> None:
    """Two runs of one invocation then share one usage record, chat's and images' alike."""
    assert start(is_stream=True).since == datetime(2026, 11, 24, 12, 0, 0, 123_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("is_stream", "keepalive_s", "value", "is_padded", "is_silent"),
    [
        (True, 15, None, False, False),
        (True, 15, "whitespace", False, False),
        (True, 0, None, False, True),
        (False, 15, None, False, True),
        (False, 15, "whitespace", True, False),
        (False, 0, "whitespace", False, True),
    ],
)
def test_a_line_without_signs_of_life_ends_early(
    is_stream: bool, keepalive_s: float, value: str | None, is_padded: bool, is_silent: bool
) -> None:
    """Comments keep a stream alive, whitespace a whole answer; nothing does without keep-alive."""
    started = start(is_stream=is_stream, keepalive_s=keepalive_s, value=value)

    assert started.is_padded is is_padded
    assert (started.budget_s <= SILENCE_S_MAX) is is_silent


def test_unknown_keepalive_is_refused_for_streams_too() -> None:
    """A misspelt wish is told before anything is held."""
    with pytest.raises(InvalidRequestError):
        start(is_stream=True, value="comments")


async def test_keep_alive_is_no_first_byte() -> None:
    """The metric says how long a caller waited for what it asked for; a comment is not that."""
    first = asyncio.Event()
    scope: dict[str, Any] = {"state": {}}
    found = []

    def on_send(wire: Wire) -> None:
        found.append(scope["state"]["metrics"].first_byte_ms)
        if KEEPALIVE_FRAME in wire.bodies:
            first.set()

    job = FakeJob(first, b"one")
    await MeteredResponse(job, is_stream=True, keepalive_s=0.01)(scope, receive, Wire(on_send))

    assert found[0] is None
    assert found[-1] is not None
