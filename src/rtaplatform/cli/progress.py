"""How far a long command is: a bar with rate and time left on a terminal, else a plain line now and then, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

LINE_EVERY_SECONDS = 10.0


class Progress:
    """Shows how many records of how many were read; the total may grow meanwhile."""

    def __init__(self, what: str, say: Callable[[str], None]) -> None:
        self._say = say
        self._began = self._said_at = time.monotonic()
        self._first: int | None = None
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f}/s"), TimeRemainingColumn(),
        )  # fmt: skip
        self._bar = Bar(*columns, console=Console(stderr=True)) if sys.stderr.isatty() else None
        self._task = self._bar.add_task(what, total=None, rate=0.0) if self._bar else None

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, done: int, total: int) -> None:
        """Take in how far it is; call it as often as you like."""
        now = time.monotonic()
        self._first = done if self._first is None else self._first
        rate = (done - self._first) / max(now - self._began, 0.001)
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, rate=rate)
        elif now - self._said_at >= LINE_EVERY_SECONDS:
            self._said_at = now
            self._say(f"{done:,} of {total:,} records, {rate:,.0f} a second")
