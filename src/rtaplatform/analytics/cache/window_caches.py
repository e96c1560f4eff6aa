"""The pool of window caches.   Stage 5 of 6, pure.

Keeps a window cache for each recent question that reads whole buckets, or ranks products or unites sketches by bucket.
Questions that differ only in their limit share one, and so do sums over products with any filter and breakdown.
window_cache.py says when a cached bucket is valid. The pool is bounded by number and by bytes; the least recently used
window is evicted. A question with two fixed ends is seldom repeated, so few of those windows are kept, and they are
evicted first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from rtaplatform import telemetry
from rtaplatform.analytics.cache.product_totals import ProductTotals, is_over_products
from rtaplatform.analytics.cache.united_sketches import UnitedSketches, may_unite
from rtaplatform.analytics.cache.value_totals import ValueTotals
from rtaplatform.analytics.cache.visitor_bounds import VisitorUpperBounds
from rtaplatform.analytics.cache.window_cache import WindowCache, lock_in_order
from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import PersonsPlan, SumsPlan
from rtaplatform.analytics.read.visitor_ranking import is_bounded
from rtaplatform.core.query import Anchor

WINDOWS_MAX = 256
FIXED_MAX = 32  # of these, windows with two fixed ends
BYTES_MAX = 256 * 2**20  # of all windows together, approximately


class WindowCaches:
    """`is_for` replaces `has_window`, which decides whether a question has a window."""

    def __init__(
        self,
        is_for: Callable[[QueryPlan], bool] | None = None,
        *,
        windows_max: int = WINDOWS_MAX,
        fixed_max: int = FIXED_MAX,
    ) -> None:
        self._is_for, self._windows_max, self._fixed_max = is_for or has_window, windows_max, fixed_max
        self._sliding_windows: dict[tuple[Any, ...], WindowCache] = {}
        self._fixed_windows: dict[tuple[Any, ...], WindowCache] = {}

    def lock(self, plans: Iterable[QueryPlan]) -> AbstractAsyncContextManager[None]:
        """Lock the windows of these questions, so that nobody else uses them."""
        windows = [self.find(plan) for plan in plans]
        return lock_in_order(window for window in windows if window is not None)

    def find(self, plan: QueryPlan) -> WindowCache | None:
        """Find or create the question's window; None if the question has none."""
        if not self._is_for(plan):
            return None
        name = _name_window(plan)
        windows = self._sliding_windows if _is_sliding(plan) else self._fixed_windows
        window = windows.pop(name, None) or _make_window(plan)
        windows[name] = window
        self._evict(window)
        return window

    def _evict(self, in_use: WindowCache) -> None:
        while len(self._fixed_windows) > self._fixed_max:
            del self._fixed_windows[next(iter(self._fixed_windows))]
        while len(self._list_windows()) > self._windows_max or self._sum_sizes() > BYTES_MAX:
            oldest = self._find_oldest(in_use)
            if oldest is None:
                break
            windows, name = oldest
            del windows[name]
        telemetry.QUERY_KEPT_BYTES.labels("windows").set(self._sum_sizes())

    def _find_oldest(self, in_use: WindowCache) -> tuple[dict[tuple[Any, ...], WindowCache], tuple[Any, ...]] | None:
        for windows in (self._fixed_windows, self._sliding_windows):
            name = next(iter(windows), None)
            if name is not None and windows[name] is not in_use:
                return windows, name
        return None

    def _sum_sizes(self) -> int:
        return sum(window.size for window in self._list_windows())

    def _list_windows(self) -> list[WindowCache]:
        return [*self._sliding_windows.values(), *self._fixed_windows.values()]


def has_window(plan: QueryPlan) -> bool:
    """Whether the question reads whole buckets, or ranks products or unites sketches by bucket."""
    match plan.shape:
        case SumsPlan(fields=fields):
            return fields is None
        case _:
            return is_bounded(plan) or may_unite(plan)


def _is_sliding(plan: QueryPlan) -> bool:
    return plan.query.end.anchor is Anchor.NOW


def _make_window(plan: QueryPlan) -> WindowCache:
    match plan.shape:
        case SumsPlan() as shape if is_over_products(plan, shape):
            return ProductTotals(shape.measure, shape.with_bots)
        case SumsPlan() as shape:
            return ValueTotals(plan, shape)
        case PersonsPlan() as shape if may_unite(plan):
            return UnitedSketches(shape.attributes)
        case _:
            return VisitorUpperBounds()


def _name_window(plan: QueryPlan) -> tuple[Any, ...]:
    query, shape = plan.query, plan.shape
    period = (plan.project, query.start, query.end, query.timezone)
    match shape:
        case SumsPlan() if is_over_products(plan, shape):  # one window for any breakdown and filter
            return ("products", *period, shape.measure, shape.with_bots)
        case SumsPlan():
            return ("groups", *period, shape, query.breakdown, query.interval, query.week_start, query.compare)
        case PersonsPlan() if may_unite(plan):
            return ("unions", *period, shape.attributes, query.interval, query.week_start, query.compare)
        case _:
            return ("persons", *period, query.interval, query.week_start)
