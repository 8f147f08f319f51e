"""A time limit for one wait after another, by one timer for all of them.

Hand-written because `asyncio.timeout` makes a timer and a context for each wait: that is a
twentieth of what a streamed chunk costs. Here a timer that is due too early is set anew, and a wait
that ends before it costs none.
"""

import asyncio


class ReadTimer:
    """Limits the waits of one reader. Belongs to the loop that runs when it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None  # that waits
        self._ends_at_s = 0.0
        self._cancellations = 0
        self._is_over = False

    def start(self, ends_at_s: float) -> None:
        """Cancel the running task at this time of the loop's, unless `stop` comes before it."""
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a task waits")
        self._task, self._ends_at_s = task, ends_at_s
        self._cancellations = task.cancelling()
        if self._timer is None or ends_at_s < self._timer.when():
            self._set()

    def stop(self) -> bool:
        """End the wait; return whether its time was over: it then was this that cancelled it."""
        task, self._task = self._task, None
        if not self._is_over or task is None:
            return False
        self._is_over = False
        return task.uncancel() <= self._cancellations

    def close(self) -> None:
        """Let go of the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self) -> None:
        self.close()
        self._timer = self._loop.call_at(self._ends_at_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._task is None:
            return  # nobody waits just now
        if self._loop.time() < self._ends_at_s:
            self._set()
            return
        self._is_over = True
        self._task.cancel()
