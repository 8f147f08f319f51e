"""When an invocation is over: the answer accepted, the app done, and only then /next."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.runtime_api import FakeRuntimeApi
from tests.integration.runtime.process import Control, request


def test_next_waits_until_the_app_is_done(
    api: FakeRuntimeApi, start: Callable[..., object], control: Control
) -> None:
    """The answer is complete at once; the next event is asked for when the app has returned."""
    start()
    api.events.put(request("/work-after"))

    control.reached()
    api.wait_for(lambda: api.posts and api.posts[0].is_complete)
    assert api.log.count("next") == 1

    control.go_on()
    api.wait_for(lambda: api.log.count("next") == 2)


@pytest.mark.parametrize("verdict", [410, 413, 500])
def test_refused_answer_does_not_end_the_process(
    api: FakeRuntimeApi, start: Callable[..., object], tmp_path: Path, verdict: int
) -> None:
    """A late or unwanted answer is logged, and the next event is asked for."""
    api.verdicts.append(verdict)
    process: Any = start()

    api.answer(request("/plain"))
    assert api.answer(request("/plain")).prelude["multiValueHeaders"]["x-calls"] == ["2"]

    assert process.poll() is None
    log = (tmp_path / "log").read_text()
    assert ("time-out" if verdict == 410 else str(verdict)) in log


def test_next_waits_for_the_verdict_though_the_app_has_left(
    api: FakeRuntimeApi, start: Callable[..., object]
) -> None:
    """Starlette cancels its sending at http.disconnect: that must not cut the answer's end."""
    api.may_answer.clear()
    start()
    api.events.put(request("/starlette"))

    api.wait_for(lambda: api.posts and api.posts[0].is_complete)
    assert api.is_early_next_seen() is False
    api.may_answer.set()

    api.wait_for(lambda: api.log.count("next") == 2)
    assert api.posts[0].chunks[1:] == [b"one ", b"two"]


def test_app_that_cancels_its_last_send_is_still_answered(
    api: FakeRuntimeApi, start: Callable[..., object], control: Control
) -> None:
    """The end is written and the 202 awaited, whoever stops waiting for it."""
    api.may_answer.clear()
    start()
    api.events.put(request("/cancel-last-send"))

    control.reached()
    api.wait_for(lambda: api.posts and api.posts[0].is_complete)
    control.go_on()
    assert api.is_early_next_seen() is False
    api.may_answer.set()

    api.wait_for(lambda: api.log.count("next") == 2)
    assert api.posts[0].chunks[1:] == [b"whole"]


def test_verdict_is_enough(api: FakeRuntimeApi, start: Callable[..., object]) -> None:
    """A Runtime API that leaves it to the runtime to close does not hold up the next event."""
    api.closes = False
    start()

    api.answer(request("/plain"))

    api.wait_for(lambda: api.log.count("next") == 2)


def test_app_runs_to_its_end_without_a_connection(
    api: FakeRuntimeApi, start: Callable[..., object], control: Control, tmp_path: Path
) -> None:
    """When Lambda resets the connection the rest of the answer goes nowhere, and it settles."""
    api.chunks_before_reset = 2
    start()
    api.events.put(request("/work-after"))
    api.wait_for(lambda: "reset" in api.log)

    control.reached()
    assert api.log.count("next") == 1
    control.go_on()

    api.wait_for(lambda: api.log.count("next") == 2)
    assert "connection to the Runtime API was lost" in (tmp_path / "log").read_text()


def test_cancellation_let_out_is_a_failure(api: FakeRuntimeApi, start: Callable[..., Any]) -> None:
    """An app that lets its own CancelledError out gets a 500, and the process lives on."""
    start()

    assert api.answer(request("/cancelled")).prelude["statusCode"] == 500
    assert api.answer(request("/plain")).prelude["multiValueHeaders"]["x-calls"] == ["2"]


def test_signals_are_handled_while_an_event_is_awaited(
    api: FakeRuntimeApi, start: Callable[..., Any], control: Control
) -> None:
    """A function's handler runs at once, as on the stock runtime, and the wait goes on."""
    process = start()
    api.wait_for(lambda: "next" in api.log)

    process.send_signal(signal.SIGUSR1)
    control.reached()
    control.go_on()

    assert api.answer(request("/plain")).chunks[1:] == [b"first ", b"last"]
    assert api.log.count("early next") == 0


def test_one_connection_carries_events_and_answers(
    api: FakeRuntimeApi, start: Callable[..., object]
) -> None:
    """Where the Runtime API keeps it open, nothing is connected anew."""
    api.closes = False
    start()

    for _ in range(3):
        api.answer(request("/plain"))

    api.wait_for(lambda: api.log.count("next") == 4)
    assert api.connections == 1


def test_answer_takes_a_new_connection_where_the_old_one_is_closed(
    api: FakeRuntimeApi, start: Callable[..., object], control: Control
) -> None:
    """The app may work for minutes: what the Runtime API closes meanwhile loses no answer."""
    api.closes_behind_event = True
    start()
    api.events.put(request("/wait-before"))

    control.reached()
    api.wait_for(lambda: "closed" in api.log)
    control.go_on()

    api.wait_for(lambda: api.posts and api.posts[0].is_complete)
    assert api.posts[0].chunks[1:] == [b"late"]


def test_process_ends_where_there_is_no_event(
    api: FakeRuntimeApi, start: Callable[..., Any], tmp_path: Path
) -> None:
    """Lambda starts another; AWS's own client ends with the same error."""
    process = start()
    api.wait_for(lambda: "next" in api.log)

    api.stop_serving()

    assert process.wait(30) == 1
    assert "Failed to get next invocation" in (tmp_path / "log").read_text()
