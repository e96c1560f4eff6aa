"""The values of a dimension that have the most distinct persons.   Stage 5 of 6.

Counting the persons of a value unites its sketches, so counting all values takes long. Most products need not be
counted, because cache/visitor_bounds.py knows an upper bound for each. Products are counted in descending order of
their bounds, until no other product can be among the greatest.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct

from rtaplatform.analytics.cache.number_columns import Numbers, find_greatest
from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import PersonsPlan
from rtaplatform.analytics.read.distinct import Group, make_total_read, split_groups
from rtaplatform.core.rollups import PRODUCT_ID
from rtaplatform.store.port import Read, Snapshot

SPARE = 8  # products counted in addition to the limit, at first

Ask = Callable[[Sequence[Read]], Awaitable[Snapshot]]


class RankedVisitors(Struct, frozen=True):
    """Products, and an upper bound of the persons of each. `names` may be longer than `bounds`."""

    names: Sequence[bytes]
    bounds: Numbers

    @property
    def count(self) -> int:
        """The number of products that may have persons."""
        return int((self.bounds > 0).sum())

    def list_greatest(self, limit: int) -> list[tuple[str, int]]:
        """The products with the greatest bounds, then by name."""
        products = [(-int(self.bounds[index]), self.names[index]) for index in find_greatest(self.bounds, limit)]
        return [(name.decode(), -bound) for bound, name in heapq.nsmallest(limit, products)]


def is_bounded(plan: QueryPlan) -> bool:
    """Whether the question ranks all products by persons, so that bounds help.

    With a comparison they do not: a product may be in the answer because of its persons in the previous period.
    """
    shape = plan.shape
    is_of_products = isinstance(shape, PersonsPlan) and not shape.of and shape.values is None and not shape.attributes
    return is_of_products and plan.query.breakdown == (PRODUCT_ID,) and plan.query.compare is None


async def find_greatest_groups(
    ask: Ask, plan: QueryPlan, shape: PersonsPlan, groups: Sequence[Group]
) -> tuple[Group, ...]:
    """The groups with the most persons."""
    return _take_greatest(await _count_persons(ask, plan, shape, groups), plan.query.limit)


async def find_greatest_products(
    ask: Ask, plan: QueryPlan, shape: PersonsPlan, ranking: RankedVisitors
) -> tuple[Group, ...]:
    """The products with the most persons. Only those that may be among them are counted."""
    limit, counts, product_count = plan.query.limit, dict[Group, int](), ranking.count
    candidate_count = limit + SPARE
    while True:
        candidates = ranking.list_greatest(candidate_count)
        groups = [((product,), (product,)) for product, _ in candidates]
        counts |= await _count_persons(ask, plan, shape, [group for group in groups if group not in counts])
        if len(candidates) == product_count or _is_decided(counts, limit, others_max=candidates[-1][1]):
            return _take_greatest(counts, limit)
        candidate_count *= 2


async def _count_persons(ask: Ask, plan: QueryPlan, shape: PersonsPlan, groups: Sequence[Group]) -> dict[Group, int]:
    counts: dict[Group, int] = {}
    for portion in split_groups(plan, groups):
        snapshot = await ask([make_total_read(plan, shape, group) for group in portion])
        counts |= zip(portion, map(_require_number, snapshot.answers), strict=True)
    return counts


def _require_number(answer: object) -> int:
    assert isinstance(answer, int)
    return answer


def _take_greatest(counts: Mapping[Group, int], limit: int) -> tuple[Group, ...]:
    return tuple(sorted(sorted(counts, key=lambda group: (-counts[group], group[0]))[:limit]))


def _is_decided(counts: Mapping[Group, int], limit: int, *, others_max: int) -> bool:
    """Whether no other product, with at most `others_max` persons, can pass the last row of the answer.

    Bounds and counts are both estimates, with the error that the answer states.
    """
    if len(counts) < limit:
        return False
    last = heapq.nlargest(limit, counts.values())[-1]
    return others_max < last
