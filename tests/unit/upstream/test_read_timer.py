"""One timer for many waits: each ends where its own would have ended it."""

import asyncio

import pytest
from tollgate.upstream.read_timer import ReadTimer

SHORT_S, LONG_S = 0.02, 30.0


async def wait_for(timer: ReadTimer, limit_s: float, event: asyncio.Event) -> str:
    """Return how a wait for an event ends."""
    timer.start(asyncio.get_running_loop().time() + limit_s)
    try:
        await event.wait()
    except asyncio.CancelledError:
        if not timer.stop():
            raise
        return "over"
    finally:
        timer.stop()
    return "in time"


@pytest.mark.parametrize("earlier_s", [None, SHORT_S / 4, LONG_S])
async def test_wait_ends_at_its_time(earlier_s: float | None) -> None:
    """Whether the timer was set for no wait before it, for a shorter, or for a longer one."""
    timer, done = ReadTimer(), asyncio.Event()
    if earlier_s is not None:
        done.set()
        assert await wait_for(timer, earlier_s, done) == "in time"
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    assert await wait_for(timer, SHORT_S, asyncio.Event()) == "over"
    assert loop.time() - began_s >= SHORT_S
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_time_that_ends_between_waits_harms_nobody() -> None:
    """Nobody waits while the caller takes what it was sent."""
    timer, done = ReadTimer(), asyncio.Event()
    done.set()
    await wait_for(timer, SHORT_S, done)

    await asyncio.sleep(2 * SHORT_S)
    assert await wait_for(timer, LONG_S, done) == "in time"


async def test_cancelled_by_another_is_cancelled() -> None:
    """The timer does not take for its own what is not."""
    timer = ReadTimer()
    waiting = asyncio.create_task(wait_for(timer, LONG_S, asyncio.Event()))
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    timer.close()


async def test_cancelled_by_both_is_cancelled() -> None:
    """A caller that goes at the very moment has gone."""
    timer = ReadTimer()
    waiting = asyncio.create_task(wait_for(timer, LONG_S, asyncio.Event()))
    await asyncio.sleep(0)
    waiting.cancel()
    timer._ends_at_s = 0.0
    timer._fire()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_many_waits_take_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is what it is for."""
    loop = asyncio.get_running_loop()
    set_at: list[float] = []
    call_at = loop.call_at

    def counted(when: float, *rest: object, **more: object) -> object:
        set_at.append(when)
        return call_at(when, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", counted)
    timer, done = ReadTimer(), asyncio.Event()
    done.set()
    for _ in range(1000):
        await wait_for(timer, LONG_S, done)
    timer.close()

    assert len(set_at) == 1
