"""Time limits for many waits, watched by one timer.

A timer for each send would cost more than the send itself: the server takes nearly every message at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

LOOKS = 10  # within the limit, so a wait ends at most a tenth of the limit late

Awaited = TypeVar("Awaited")


class _Wait:
    __slots__ = ("cancelling", "deadline_s", "is_overdue", "task")

    def __init__(self, task: asyncio.Task[Any], deadline_s: float) -> None:
        self.task, self.deadline_s, self.cancelling, self.is_overdue = task, deadline_s, task.cancelling(), False

    def take_back(self) -> bool:
        """Take the cancellation back, whatever the wait has made of it. Returns whether there was one."""
        if self.is_overdue:
            self.task.uncancel()
        return self.is_overdue


class Deadlines:
    """`seconds_max`: how long a wait may take that names no limit of its own. Lives on one event loop."""

    def __init__(self, seconds_max: float, look_seconds: float | None = None) -> None:
        self.seconds_max = seconds_max
        self._look_seconds = seconds_max / LOOKS if look_seconds is None else look_seconds
        self._waits: dict[_Wait, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def keep(self, awaitable: Awaitable[Awaited], seconds_max: float | None = None) -> Awaited:
        """Await something. Raises TimeoutError once it takes too long, or `expire` is called."""
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        wait = _Wait(task, loop.time() + (self.seconds_max if seconds_max is None else seconds_max))
        self._waits[wait] = None
        if self._timer is None:
            self._timer = loop.call_later(self._look_seconds, self._look, loop)
        try:
            result = await awaitable
        except asyncio.CancelledError:
            # As asyncio.timeout does it: somebody else may have cancelled the task too.
            if wait.take_back() and task.cancelling() <= wait.cancelling:
                raise TimeoutError from None
            raise
        except BaseException:
            wait.take_back()
            raise
        else:
            wait.take_back()
            return result
        finally:
            del self._waits[wait]
            del wait, task  # an error's frames would keep the task, and the task keeps its error

    def expire(self, task: asyncio.Task[Any]) -> None:
        """End the waits of this task now."""
        for wait in self._waits:
            if wait.task is task:
                self._end(wait)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        for wait in self._waits:
            if wait.deadline_s <= now_s:
                self._end(wait)
        self._timer = loop.call_later(self._look_seconds, self._look, loop) if self._waits else None

    @staticmethod
    def _end(wait: _Wait) -> None:
        if not wait.is_overdue:
            wait.is_overdue = True
            wait.task.cancel()
