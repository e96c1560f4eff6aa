"""The requests that are being handled, so that a stop can end those that take too long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Exchanges:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self.is_ending = False

    @contextmanager
    def count(self) -> Iterator[None]:
        """Count one request while it is handled."""
        task = self.begin()
        try:
            yield
        finally:
            self.end(task)

    def begin(self) -> asyncio.Task[Any] | None:
        """Count the request of this task. Returns what to give to `end`; None if the task is counted already."""
        task = asyncio.current_task()
        if task is None or task in self._tasks:
            return None
        self._tasks.add(task)
        return task

    def end(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None:
            self._tasks.discard(task)

    def end_all(self) -> int:
        """Cancel all requests and return their number. The middleware answers each with 503, or cuts its connection."""
        self.is_ending = True
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)
