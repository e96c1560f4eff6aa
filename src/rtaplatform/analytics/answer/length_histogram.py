"""How many sessions of a period have which length.   Stage 5 of 6.

Lengths are kept in log buckets, each of which begins a tenth above the one before (core/time/session_lengths.py). The
numbers are exact: only where in its bucket a session is, nobody knows.
"""

from __future__ import annotations

from msgspec import UNSET
from msgspec.structs import replace

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.core.metrics import COUNTS_BY_LENGTH, LENGTH
from rtaplatform.core.query import LengthBucket, LengthHistogram, Query
from rtaplatform.core.time.session_lengths import LENGTH_BOUNDS_MS


def make_length_query(query: Query) -> Query:
    """The counts of all lengths, for the period and the filters of `query`."""
    return replace(query, metric=COUNTS_BY_LENGTH.name, breakdown=(LENGTH,), limit=len(LENGTH_BOUNDS_MS) + 1)


async def read_lengths(engine: Engine, project: str, query: Query) -> LengthHistogram:
    """`query` is one of `make_length_query`."""
    answer = (await engine.answer(project, [query]))[0]
    counts = {int(row.dimensions[LENGTH]): int(row.total or 0) for row in answer.results}
    return LengthHistogram(
        answer.start, answer.end, answer.timezone,
        sum(counts.values()),
        [_make_bucket(index, counts[index]) for index in sorted(counts) if counts[index]],
        replace(answer.meta, more_rows=UNSET),
    )  # fmt: skip


def _make_bucket(index: int, sessions: int) -> LengthBucket:
    start_ms = LENGTH_BOUNDS_MS[index - 1] if index else 0
    end_ms = LENGTH_BOUNDS_MS[index] if index < len(LENGTH_BOUNDS_MS) else None
    return LengthBucket(start_ms / 1_000, None if end_ms is None else end_ms / 1_000, sessions)
