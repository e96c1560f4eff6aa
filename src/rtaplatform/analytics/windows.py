"""The windows that were asked for last: which question has one, and how many there are.   Stage 5 of 6, pure."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from rtaplatform.analytics.bounds import Bounds
from rtaplatform.analytics.grouped import Grouped
from rtaplatform.analytics.kept import KeptWindow, in_turn
from rtaplatform.analytics.plan import Plan, SumsPlan
from rtaplatform.analytics.ranking import is_bounded
from rtaplatform.analytics.running import Window, may_run
from rtaplatform.analytics.sums import owns_other
from rtaplatform.core.query import Anchor

WINDOWS_MAX = 256
CELLS_MAX = 3_000_000  # kept in all windows together


def is_kept(plan: Plan) -> bool:
    """Whether the question reads whole buckets, or ranks by them: of those, what is known is kept.

    Not of one with two fixed ends, which is asked once with those: the next one has others.
    """
    match plan.shape:
        case SumsPlan(fields=None) as shape:
            return may_run(plan, shape) or plan.query.end.anchor is Anchor.NOW
        case _:
            return is_bounded(plan)


class Windows:
    """Bounded in number and size."""

    def __init__(self) -> None:
        self._windows: dict[tuple[Any, ...], KeptWindow] = {}

    def turns(self, plans: Iterable[Plan]) -> AbstractAsyncContextManager[None]:
        """Wait for the windows of all these questions."""
        return in_turn(self.of(plan) for plan in plans if is_kept(plan))

    def of(self, plan: Plan) -> KeptWindow:
        name = _name(plan)
        window = self._windows.pop(name, None) or _window(plan)
        self._windows[name] = window
        while len(self._windows) > 1 and (len(self._windows) > WINDOWS_MAX or self._size() > CELLS_MAX):
            del self._windows[next(iter(self._windows))]
        return window

    def _size(self) -> int:
        return sum(window.size for window in self._windows.values())


def _window(plan: Plan) -> KeptWindow:
    match plan.shape:
        case SumsPlan() as shape if may_run(plan, shape):
            return Window((shape.measure,), shape.with_bots)
        case SumsPlan() as shape:
            return Grouped(plan, shape)
        case _:
            return Bounds()


def _name(plan: Plan) -> tuple[Any, ...]:
    query, shape = plan.query, plan.shape
    period = (plan.project, query.start, query.end, query.timezone)
    match shape:
        case SumsPlan() if may_run(plan, shape):  # sums of all products, for any breakdown and filter
            return ("products", *period, shape.measure, shape.with_bots)
        case SumsPlan():
            asked = (query.breakdown, query.interval, query.week_start, query.compare, owns_other(plan, shape))
            return ("groups", *period, shape, *asked)
        case _:
            return ("persons", *period, query.interval, query.week_start)
