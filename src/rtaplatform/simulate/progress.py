"""How far a run is: a bar on a terminal where the end is known, else a plain line now and then, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

_LINE_EVERY_SECONDS = 10
_LINE_EVERY_SECONDS_ENDLESS = 600


class Progress:
    """Shows the number of records sent. `total` None: no end is known."""

    def __init__(self, total: int | None, *, say: Callable[[str], None]) -> None:
        self._total, self._say = total, say
        self._started = time.monotonic()
        self._every = _LINE_EVERY_SECONDS_ENDLESS if total is None else _LINE_EVERY_SECONDS
        self._next = self._started + self._every
        self._bar = _bar() if total is not None and sys.stderr.isatty() else None
        self._task = self._bar.add_task("simulate", total=total) if self._bar else TaskID(0)

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, sent: int) -> None:
        """Take in how many were sent; call it as often as you like."""
        if self._bar:
            self._bar.update(self._task, completed=sent)
            return
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every
            self._say(f"{_of(sent, self._total)} records sent, {sent / (now - self._started):,.0f} per second")


def _of(sent: int, total: int | None) -> str:
    return f"{sent:,}" if total is None else f"{sent:,} of {total:,}"


def _bar() -> Bar:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Bar(*columns, console=Console(stderr=True))
