"""The requests under way, so that a stop can end those that would go on for too long."""

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
        """Around one request."""
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
        """Cancel what is under way; how many that were. The edge answers each with 503, or closes it."""
        self.is_ending = True
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)
