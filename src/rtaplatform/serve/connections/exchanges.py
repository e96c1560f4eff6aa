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
    def counted(self) -> Iterator[None]:
        """Count one request while it is handled."""
        task = asyncio.current_task()
        if task is None or task in self._tasks:
            yield
            return
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    def end_all(self) -> int:
        """Cancel all requests and return their number. The middleware answers each with 503, or cuts its connection."""
        self.is_ending = True
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)
