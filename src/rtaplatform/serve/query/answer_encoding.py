"""Large answers as JSON, beside the event loop.   Stage 6 of 6.

An encoder lets nobody else go on until it is done, so each result of a large answer is encoded by itself, in the
thread for long work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from rtaplatform.analytics.answer.side_thread import INLINE_MAX, SideThread
from rtaplatform.core.query import Answer, AnswerUpdate

AnswerT = TypeVar("AnswerT", Answer, AnswerUpdate)


def points_in(answers: Sequence[Answer] | Sequence[AnswerUpdate]) -> int:
    return sum(1 + len(result.points) for answer in answers for result in answer.results)


async def encode_results(beside: SideThread, answers: Sequence[Answer]) -> list[Answer]:
    """The same answers, whose results are JSON already where they are large."""
    points = points_in(answers)
    if points <= INLINE_MAX:
        return list(answers)
    return await beside.run(points, lambda: list(map(_encoded, answers)))


def encode_event(answers: Sequence[Answer] | Sequence[AnswerUpdate]) -> bytes:
    """What a live event holds; to be called beside the event loop where it is large."""
    if points_in(answers) <= INLINE_MAX:
        return msgspec.json.encode({"answers": answers})
    return msgspec.json.encode({"answers": list(map(_encoded, answers))})


def _encoded(answer: AnswerT) -> AnswerT:
    results: list[Any] = [msgspec.Raw(msgspec.json.encode(result)) for result in answer.results]
    return replace(answer, results=results)
