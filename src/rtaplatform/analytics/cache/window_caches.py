"""The windows that were asked for last: which question has one, and how many there are.   Stage 5 of 6, pure.

Every question that reads whole buckets, or ranks or unites by them, has a window: it is read in portions, and what is
known of its buckets is kept. A question with two fixed ends is seldom asked again, so few of those are kept, and they
go first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from rtaplatform import telemetry
from rtaplatform.analytics.cache.product_totals import ProductTotals, may_run
from rtaplatform.analytics.cache.united_sketches import UnitedSketches, may_unite
from rtaplatform.analytics.cache.value_totals import ValueTotals
from rtaplatform.analytics.cache.visitor_bounds import VisitorUpperBounds
from rtaplatform.analytics.cache.window_cache import WindowCache, in_turn
from rtaplatform.analytics.plan.plan import PersonsPlan, QueryPlan, SumsPlan
from rtaplatform.analytics.read.visitor_ranking import is_bounded
from rtaplatform.core.query import Anchor

WINDOWS_MAX = 256
FIXED_MAX = 32  # of these, windows of two fixed ends
BYTES_MAX = 256 * 2**20  # kept in all windows together, about


class WindowCaches:
    """Bounded in number and size. `is_for`: another choice of questions; the others are read whole, at one moment."""

    def __init__(
        self,
        is_for: Callable[[QueryPlan], bool] | None = None,
        *,
        windows_max: int = WINDOWS_MAX,
        fixed: int = FIXED_MAX,
    ) -> None:
        self._is_for, self._windows_max, self._fixed_max = is_for or has_window, windows_max, fixed
        self._moving: dict[tuple[Any, ...], WindowCache] = {}
        self._fixed: dict[tuple[Any, ...], WindowCache] = {}

    def turns(self, plans: Iterable[QueryPlan]) -> AbstractAsyncContextManager[None]:
        """Wait for the windows of all these questions."""
        found = [self.find(plan) for plan in plans]
        return in_turn(window for window in found if window is not None)

    def find(self, plan: QueryPlan) -> WindowCache | None:
        """The question's window, new or known; None where it has none."""
        if not self._is_for(plan):
            return None
        name, windows = _name(plan), self._moving if _is_moving(plan) else self._fixed
        window = windows.pop(name, None) or _window(plan)
        windows[name] = window
        self._make_room(window)
        return window

    def _make_room(self, newest: WindowCache) -> None:
        while len(self._fixed) > self._fixed_max:
            del self._fixed[next(iter(self._fixed))]
        while len(self._moving) + len(self._fixed) > self._windows_max or self._size() > BYTES_MAX:
            oldest = self._oldest_but(newest)
            if oldest is None:
                break
            windows, name = oldest
            del windows[name]
        telemetry.QUERY_KEPT_BYTES.labels("windows").set(self._size())

    def _oldest_but(self, newest: WindowCache) -> tuple[dict[tuple[Any, ...], WindowCache], tuple[Any, ...]] | None:
        for windows in (self._fixed, self._moving):
            name = next(iter(windows), None)
            if name is not None and windows[name] is not newest:
                return windows, name
        return None

    def _size(self) -> int:
        return sum(window.size for windows in (self._moving, self._fixed) for window in windows.values())


def has_window(plan: QueryPlan) -> bool:
    """Whether the question reads whole buckets, or ranks or unites by them."""
    match plan.shape:
        case SumsPlan(fields=fields):
            return fields is None
        case _:
            return is_bounded(plan) or may_unite(plan)


def _is_moving(plan: QueryPlan) -> bool:
    return plan.query.end.anchor is Anchor.NOW


def _window(plan: QueryPlan) -> WindowCache:
    match plan.shape:
        case SumsPlan() as shape if may_run(plan, shape):
            return ProductTotals(shape.measure, shape.with_bots)
        case SumsPlan() as shape:
            return ValueTotals(plan, shape)
        case PersonsPlan() as shape if may_unite(plan):
            return UnitedSketches(shape.joined)
        case _:
            return VisitorUpperBounds()


def _name(plan: QueryPlan) -> tuple[Any, ...]:
    query, shape = plan.query, plan.shape
    period = (plan.project, query.start, query.end, query.timezone)
    match shape:
        case SumsPlan() if may_run(plan, shape):  # sums of all products, for any breakdown and filter
            return ("products", *period, shape.measure, shape.with_bots)
        case SumsPlan():
            asked = (query.breakdown, query.interval, query.week_start, query.compare)
            return ("groups", *period, shape, *asked)
        case PersonsPlan() if may_unite(plan):
            return ("unions", *period, shape.joined, query.interval, query.week_start, query.compare)
        case _:
            return ("persons", *period, query.interval, query.week_start)
