"""Progress of a long command, on stderr: a bar on a terminal if the end is known, else a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

LINE_EVERY_SECONDS = 10.0
LINE_EVERY_SECONDS_ENDLESS = 600.0


class Progress:
    """Shows how many records are done (`verb`: "sent"). `total` is None if the end is unknown; it may grow."""

    def __init__(self, title: str, verb: str, total: int | None, *, say: Callable[[str], None]) -> None:
        self._verb, self._total, self._say = verb, total, say
        self._started_at = self._shown_at = time.monotonic()
        self._first_count: int | None = None
        self._bar = _make_bar() if total is not None and sys.stderr.isatty() else None
        self._task = self._bar.add_task(title, total=total, rate=0.0) if self._bar else None

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, count: int, total: int | None = None) -> None:
        """Show this count. May be called as often as you like."""
        now = time.monotonic()
        self._total = self._total if total is None else total
        self._first_count = count if self._first_count is None else self._first_count
        rate = (count - self._first_count) / max(now - self._started_at, 0.001)
        interval_seconds = LINE_EVERY_SECONDS_ENDLESS if self._total is None else LINE_EVERY_SECONDS
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=count, total=self._total, rate=rate)
        elif now - self._shown_at >= interval_seconds:
            self._shown_at = now
            total_text = "" if self._total is None else f" of {self._total:,}"
            self._say(f"{count:,}{total_text} records {self._verb}, {rate:,.0f} per second")


def _make_bar() -> Bar:
    return Bar(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f}/s"), TimeRemainingColumn(), console=Console(stderr=True),
    )  # fmt: skip
