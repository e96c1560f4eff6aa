"""The changes between two answers to the same queries.   Stage 5 of 6, pure.

Promise, held by a property test: the old answers merged with the changes are the new answers. A reader merges so: it
drops the points before the answer's `from`, drops the `removed` rows, replaces or appends the rows of the update with
their points by time, and puts the rows into the update's `order` if it has one. So a window that moves with the clock
is an update of the points that are new. If nothing of the old window is left, the result is None: send a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from rtaplatform.analytics.answer.question_job import QUALITY_MEASURES
from rtaplatform.core.query import Answer, AnswerUpdate, Meta, Point, Result

RowName = tuple[tuple[str, str], ...]


def find_answer_changes(old: Sequence[Answer], new: Sequence[Answer]) -> list[AnswerUpdate] | None:
    """Return the updates of the answers that differ; None if a new snapshot is needed."""
    updates: list[AnswerUpdate] = []
    for index, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after:
            continue
        drop_count = _count_dropped(before, after)
        if drop_count is None:
            return None
        updates.append(_make_update(index, before, after, drop_count))
    return updates


def is_only_meta(updates: Sequence[AnswerUpdate], old: Sequence[Answer]) -> bool:
    """Whether only data that moves all the time has changed: freshness, counts of duplicates, the period's ends."""
    return all(
        not update.results
        and not update.removed
        and update.order is UNSET
        and _without_moving(update.meta) == _without_moving(old[update.index].meta)
        for update in updates
    )


def _without_moving(meta: Meta) -> Meta:
    return msgspec.structs.replace(meta, as_of=None, lag_ms=None, **dict.fromkeys(QUALITY_MEASURES, 0))


def _count_dropped(before: Answer, after: Answer) -> int | None:
    """Return how many points at the start of each row are over; None if the windows do not overlap."""
    if before.interval != after.interval or before.timezone != after.timezone:
        return None
    if not before.results or not after.results:
        return 0
    old, new = _list_times(before.results[0].points), _list_times(after.results[0].points)
    if old == new:
        return 0
    if not new or new[0] not in old:
        return None
    drop_count = old.index(new[0])
    old_times = old[drop_count:]
    return drop_count if new[: len(old_times)] == old_times else None


def _list_times(points: Sequence[Point]) -> list[str]:
    return [time for time, _ in points]


def _make_update(index: int, before: Answer, after: Answer, drop_count: int) -> AnswerUpdate:
    old = {_name(result): result for result in before.results}
    new = {_name(result): result for result in after.results}
    changes = [_diff_result(old.get(name), result, drop_count) for name, result in new.items()]
    fields = {name: getattr(after, name) for name in Answer.__struct_fields__ if name != "results"}
    return AnswerUpdate(
        **fields,
        index=index,
        results=[result for result in changes if result is not None],
        removed=[result.dimensions for name, result in old.items() if name not in new],
        order=_find_order(old, new),
    )


def _find_order(old: Mapping[RowName, Result], new: Mapping[RowName, Result]) -> list[int] | UnsetType:
    """Return, for each row of the new answer, its place among the kept rows and the new ones after them.

    UNSET if they are in this order already.
    """
    order = [*(name for name in old if name in new), *(name for name in new if name not in old)]
    if order == list(new):
        return UNSET
    places = {name: place for place, name in enumerate(order)}
    return [places[name] for name in new]


def _diff_result(before: Result | None, after: Result, drop_count: int) -> Result | None:
    if before is None:
        return after
    old_points = before.points[drop_count:] if drop_count else before.points
    if old_points == after.points and _is_same_but_points(before, after):
        return None
    points = [point for old, point in zip(old_points, after.points, strict=False) if old != point]
    return msgspec.structs.replace(after, points=points + after.points[len(old_points) :])


def _is_same_but_points(before: Result, after: Result) -> bool:
    return before.total == after.total and before.previous == after.previous


def _name(result: Result) -> RowName:
    return tuple(sorted(result.dimensions.items()))
