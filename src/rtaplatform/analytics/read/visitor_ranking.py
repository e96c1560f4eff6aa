"""The values of a dimension that have the most distinct persons.   Stage 5 of 6.

Counting one value's persons unites its sketches, so counting all of them is what takes long. Of products most need no
counting: cache/visitor_bounds.py knows how many persons each has at most. They are counted from the highest bound
downwards, until no other one can be among the greatest.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct

from rtaplatform.analytics.cache.number_columns import Numbers, find_greatest
from rtaplatform.analytics.plan.plan import PersonsPlan, QueryPlan
from rtaplatform.analytics.read.distinct import Group, ranking_reads, total_read
from rtaplatform.core.rollups import PRODUCT_ID
from rtaplatform.store.port import Read, Snapshot

MORE = 8  # counted beyond the limit at first

Ask = Callable[[Sequence[Read]], Awaitable[Snapshot]]


class RankedVisitors(Struct, frozen=True):
    """Products, and at most how many persons each has. The list of names may have more at its end."""

    names: Sequence[bytes]
    bounds: Numbers

    @property
    def many(self) -> int:
        return int((self.bounds > 0).sum())

    def top(self, many: int) -> list[tuple[str, int]]:
        """By the greatest bound, then by name."""
        found = [(-int(self.bounds[at]), self.names[at]) for at in find_greatest(self.bounds, many)]
        return [(name.decode(), -n) for n, name in heapq.nsmallest(many, found)]


def is_bounded(plan: QueryPlan) -> bool:
    """Whether the question asks for the products with the most persons, of all products.

    Compared with the period before, products that have persons in that one only may be among the rows.
    """
    shape = plan.shape
    is_of_products = isinstance(shape, PersonsPlan) and shape.values is None and not shape.joined
    return is_of_products and plan.query.breakdown == (PRODUCT_ID,) and plan.query.compare is None


async def greatest(ask: Ask, plan: QueryPlan, shape: PersonsPlan, groups: Sequence[Group]) -> tuple[Group, ...]:
    """By the persons of each."""
    return _first(await _count(ask, plan, shape, groups), plan.query.limit)


async def greatest_products(
    ask: Ask, plan: QueryPlan, shape: PersonsPlan, standing: RankedVisitors
) -> tuple[Group, ...]:
    """By the persons of those that may have the most."""
    limit, counts, many = plan.query.limit, dict[Group, int](), standing.many
    at_once = limit + MORE
    while True:
        most = standing.top(at_once)
        groups = [((product,), (product,)) for product, _ in most]
        counts |= await _count(ask, plan, shape, [group for group in groups if group not in counts])
        if len(most) == many or _is_found(counts, limit, others_have=most[-1][1]):
            return _first(counts, limit)
        at_once *= 2


async def _count(ask: Ask, plan: QueryPlan, shape: PersonsPlan, groups: Sequence[Group]) -> dict[Group, int]:
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
    """Whether no product that is not counted, with at most so many persons, can pass the last one of the answer.

    Bound and count are both estimates, with the error that the answer states.
    """
    if len(counts) < limit:
        return False
    last = heapq.nlargest(limit, counts.values())[-1]
    return others_have < last
