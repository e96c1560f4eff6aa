"""What has changed between two answers to one question.   Stage 5 of 6, pure.

The law, a property test: *old answers, merged with the changes, are the new answers*. Where the points' times
themselves have moved (a window that follows the clock), there is no merging: None says to send all.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rtaplatform.analytics.answer.question_job import QUALITY_MEASURES
from rtaplatform.core.query import Answer, AnswerUpdate, Meta, Point, Result


def answer_changes(old: Sequence[Answer], new: Sequence[Answer]) -> list[AnswerUpdate] | None:
    """The changes of the answers that differ, or None where only a fresh snapshot will do."""
    found: list[AnswerUpdate] = []
    for before, after in zip(old, new, strict=True):
        if before == after:
            continue
        if not _same_times(before, after):
            return None
        found.append(_change(before, after))
    return found


def is_only_meta(found: Sequence[AnswerUpdate], old: Sequence[Answer]) -> bool:
    """Whether only what moves all the time has changed: freshness, the counts of repeats, the period's edges."""
    metas = {answer.metric: answer.meta for answer in old}
    return all(
        not change.results and not change.removed and _standing(change.meta) == _standing(metas[change.metric])
        for change in found
    )


def _standing(meta: Meta) -> Meta:
    return msgspec.structs.replace(meta, as_of=None, lag_ms=None, **dict.fromkeys(QUALITY_MEASURES, 0))


def _same_times(before: Answer, after: Answer) -> bool:
    if before.interval == "none":
        return True
    if not before.results or not after.results:
        return before.start == after.start and before.end == after.end
    first, second = before.results[0].points, after.results[0].points
    return _times(first) == _times(second)


def _times(points: Sequence[Point]) -> list[str]:
    return [time for time, _ in points]


def _change(before: Answer, after: Answer) -> AnswerUpdate:
    old = {_key(result): result for result in before.results}
    new = {_key(result) for result in after.results}
    changed = [_changed_result(old.get(_key(result)), result) for result in after.results]
    fields = {name: getattr(after, name) for name in Answer.__struct_fields__ if name != "results"}
    return AnswerUpdate(
        **fields,
        results=[result for result in changed if result is not None],
        removed=[result.dimensions for result in before.results if _key(result) not in new],
    )


def _changed_result(before: Result | None, after: Result) -> Result | None:
    if before is None:
        return after
    if before == after:
        return None
    points = [new for old, new in zip(before.points, after.points, strict=True) if old != new]
    return msgspec.structs.replace(after, points=points)


def _key(result: Result) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(result.dimensions.items()))
