"""The values of a dimension that have the most distinct persons.   Stage 5 of 6.

Counting one value's persons unites its sketches, so counting all of them is what takes long. Of products most need no
counting: a person is seen with a product by an event of it, so those with few events have few persons. They are counted
from the most events downwards, until no other one can be among the greatest.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence

from rtaplatform.analytics.persons import Group, ranking_reads, total_read
from rtaplatform.analytics.plan import PersonsPlan, Plan
from rtaplatform.analytics.running import Window
from rtaplatform.core.query import SKETCH_ERROR
from rtaplatform.core.rollups import OTHER, PRODUCT_ID
from rtaplatform.store.port import Read, Snapshot

MEASURES = ("views", "adds", "orders")  # the events by which a person is seen with a product
MORE = 8  # counted beyond the limit at first
ERRORS_MAX = 6  # standard errors, by which an estimate may be above what it estimates: one in a thousand million is

Ask = Callable[[Sequence[Read]], Awaitable[Snapshot]]


def is_bounded(plan: Plan) -> bool:
    """Whether the question asks for the products with the most persons, of all products.

    Compared with the period before, products that have persons in that one only may be among the rows.
    """
    shape = plan.shape
    is_of_products = isinstance(shape, PersonsPlan) and shape.values is None and not shape.joined
    return is_of_products and plan.query.breakdown == (PRODUCT_ID,) and plan.query.compare is None


async def greatest(ask: Ask, plan: Plan, shape: PersonsPlan, groups: Sequence[Group]) -> tuple[Group, ...]:
    """By the persons of each."""
    return _first(await _count(ask, plan, shape, groups), plan.query.limit)


async def greatest_products(ask: Ask, plan: Plan, shape: PersonsPlan, window: Window) -> tuple[Group, ...] | None:
    """By the persons of those with the most events; None where the cap on buckets has hidden too many products' events.

    What the window holds is taken before anything is waited for: others may use it meanwhile.
    """
    limit, counts, sums = plan.query.limit, dict[Group, int](), dict(window.sums)
    hidden = sums.pop(OTHER, 0)  # any product may have them all, also one that is not among the others
    at_once, top = limit + MORE, [product for _, product in window.top(limit + MORE + 1) if product != OTHER]
    while True:
        groups = [((product,), (product,)) for product in top[:at_once]]
        counts |= await _count(ask, plan, shape, [group for group in groups if group not in counts])
        is_all = len(groups) == len(sums)
        others_have = hidden + (0 if is_all else sums[top[at_once - 1]])
        if (is_all and not hidden) or _is_found(counts, limit, others_have=others_have):
            return _first(counts, limit)
        if is_all:
            return None
        at_once *= 2
        top = heapq.nsmallest(at_once, sums, key=lambda product: (-sums[product], product))


async def _count(ask: Ask, plan: Plan, shape: PersonsPlan, groups: Sequence[Group]) -> dict[Group, int]:
    counts: dict[Group, int] = {}
    for portion in ranking_reads(plan, shape, groups):
        snapshot = await ask([total_read(plan, shape, group) for group in portion])
        counts |= zip(portion, map(_number, snapshot.answers), strict=True)
    return counts


def _number(answer: object) -> int:
    assert isinstance(answer, int)
    return answer


def _first(counts: Mapping[Group, int], limit: int) -> tuple[Group, ...]:
    return tuple(sorted(sorted(counts, key=lambda group: (-counts[group], group[0]))[:limit]))


def _is_found(counts: Mapping[Group, int], limit: int, *, others_have: int) -> bool:
    """Whether those that are not counted, with at most so many events each, are not among the greatest."""
    if len(counts) < limit:
        return False
    last = heapq.nlargest(limit, counts.values())[-1]
    return others_have * (1 + ERRORS_MAX * SKETCH_ERROR) + 1 < last
