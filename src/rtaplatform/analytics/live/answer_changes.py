"""The changes between two answers to the same queries.   Stage 5 of 6, pure.

Promise, held by a property test: the old answers merged with the changes are the new answers. If the times of the
points differ (the window has moved with the clock), the answers cannot be merged, and the result is None.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rtaplatform.analytics.answer.question_job import QUALITY_MEASURES
from rtaplatform.core.query import Answer, AnswerUpdate, Meta, Point, Result


def answer_changes(old: Sequence[Answer], new: Sequence[Answer]) -> list[AnswerUpdate] | None:
    """Return the updates of the answers that differ; None if a new snapshot is needed."""
    updates: list[AnswerUpdate] = []
    for before, after in zip(old, new, strict=True):
        if before == after:
            continue
        if not _have_same_times(before, after):
            return None
        updates.append(_make_update(before, after))
    return updates


def is_only_meta(updates: Sequence[AnswerUpdate], old: Sequence[Answer]) -> bool:
    """Whether only data that moves all the time has changed: freshness, counts of duplicates, the period's ends."""
    metas = {answer.metric: answer.meta for answer in old}
    return all(
        not update.results
        and not update.removed
        and _without_moving(update.meta) == _without_moving(metas[update.metric])
        for update in updates
    )


def _without_moving(meta: Meta) -> Meta:
    return msgspec.structs.replace(meta, as_of=None, lag_ms=None, **dict.fromkeys(QUALITY_MEASURES, 0))


def _have_same_times(before: Answer, after: Answer) -> bool:
    if before.interval == "none":
        return True
    if not before.results or not after.results:
        return before.start == after.start and before.end == after.end
    first, second = before.results[0].points, after.results[0].points
    return _times(first) == _times(second)


def _times(points: Sequence[Point]) -> list[str]:
    return [time for time, _ in points]


def _make_update(before: Answer, after: Answer) -> AnswerUpdate:
    old = {_key(result): result for result in before.results}
    new = {_key(result) for result in after.results}
    changed = [_diff_result(old.get(_key(result)), result) for result in after.results]
    fields = {name: getattr(after, name) for name in Answer.__struct_fields__ if name != "results"}
    return AnswerUpdate(
        **fields,
        results=[result for result in changed if result is not None],
        removed=[result.dimensions for result in before.results if _key(result) not in new],
    )


def _diff_result(before: Result | None, after: Result) -> Result | None:
    if before is None:
        return after
    if before == after:
        return None
    points = [new for old, new in zip(before.points, after.points, strict=True) if old != new]
    return msgspec.structs.replace(after, points=points)


def _key(result: Result) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(result.dimensions.items()))
