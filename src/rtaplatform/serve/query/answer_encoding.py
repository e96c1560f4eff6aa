"""Encode large answers as JSON outside the event loop.   Stage 6 of 6.

The encoder holds the interpreter lock until it is done. So each result of a large answer is encoded by itself, in the
side thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from rtaplatform.analytics.answer.side_thread import INLINE_MAX, SideThread
from rtaplatform.core.query import Answer, AnswerUpdate

AnswerT = TypeVar("AnswerT", Answer, AnswerUpdate)


def count_points(answers: Sequence[Answer] | Sequence[AnswerUpdate]) -> int:
    return sum(1 + len(result.points) for answer in answers for result in answer.results)


async def encode_results(side_thread: SideThread, answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers. The results of large ones are encoded already."""
    points = count_points(answers)
    if points <= INLINE_MAX:
        return list(answers)
    return await side_thread.run(points, lambda: list(map(_encode_large, answers)))


def encode_answers(answers: Sequence[Answer] | Sequence[AnswerUpdate]) -> bytes:
    """Encode the list of answers of a live message. If it is large, call this outside the event loop."""
    if count_points(answers) <= INLINE_MAX:
        return msgspec.json.encode(answers)
    return msgspec.json.encode(list(map(_encode_large, answers)))


def _encode_large(answer: AnswerT) -> AnswerT:
    results: list[Any] = [msgspec.Raw(msgspec.json.encode(result)) for result in answer.results]
    return replace(answer, results=results)
