"""Question → plan → answer.   Stage 5 of 6: store → [analytics] → serve.

Promise: all queries of one request are read in one `read`, so that their numbers are of one moment, and every
answer says how fresh, whole and exact it is. Raises `Rejected` (the question is wrong), `Unavailable`, `Stopped`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xxhash
from msgspec import UNSET, Struct

from rtaplatform.analytics.freshness import Freshness, FreshnessTracker
from rtaplatform.analytics.persons import persons_reads, persons_rows, ranking_reads, values_read
from rtaplatform.analytics.plan import OnlinePlan, PersonsPlan, Plan, SumsPlan, plan
from rtaplatform.analytics.rows import Row, Rows, cells_of, merge_reads, shown_value, table_of
from rtaplatform.analytics.sums import sums_reads, sums_rows
from rtaplatform.analytics.times import shown, shown_instant
from rtaplatform.analytics.watch import Clock
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.metrics import ONLINE_WINDOW_MS
from rtaplatform.core.query import SKETCH_ERROR, Answer, Meta, Number, Query, Result
from rtaplatform.core.rollups import ACTIVITY, QUALITY
from rtaplatform.store.port import AggregateReader, Cells, OnlineSince, Persons, Project, Read, Snapshot

QUALITY_FIELDS = ("late", "duplicate")
REPLANS_MAX = 3


class Reply(Struct, frozen=True):
    """Answers of one moment; `digest` names where the ledger stood."""

    answers: list[Answer]
    generation: str
    digest: str


class Job(Struct, frozen=True):
    """A plan, and for a breakdown by persons the values whose rows are read."""

    plan: Plan
    values: tuple[str, ...] = ()


class Engine:
    def __init__(self, reader: AggregateReader, freshness: FreshnessTracker, clock: Clock) -> None:
        self._reader, self._freshness, self._clock = reader, freshness, clock
        self._projects: dict[str, Project] = {}

    async def answer(self, project: str, queries: Sequence[Query]) -> list[Answer]:
        return (await self.reply(project, queries)).answers

    async def reply(self, project: str, queries: Sequence[Query]) -> Reply:
        for _ in range(REPLANS_MAX):
            known, now_ms = await self.project(project), self._clock().wall_ms
            jobs = [await self._prepare(plan(query, known, now_ms)) for query in queries]
            merged = merge_reads(read for job in jobs for read in _reads(job, now_ms))
            wanted = list(dict.fromkeys(merged.values()))
            snapshot = await self._reader.read(project, wanted)
            if snapshot.project == known:
                break
            # Another zone or currency, so another plan: a project's settings are part of the moment.
            self._projects[project] = snapshot.project
        else:
            raise Unavailable("redis", f"the settings of {project} keep changing")
        fresh = self._freshness.observe(snapshot, self._clock())
        by_read = dict(zip(wanted, snapshot.answers, strict=True))
        found = {read: by_read[merged[read]] for read in merged}
        answers = [_answer(job, found, snapshot, fresh, now_ms) for job in jobs]
        return Reply(answers, snapshot.generation, _digest(snapshot))

    async def check(self, project: str, query: Query) -> None:
        """Raise what is wrong with the query, without reading its numbers."""
        plan(query, await self.project(project), self._clock().wall_ms)

    async def project(self, slug: str) -> Project:
        if slug not in self._projects:
            self._projects[slug] = (await self._reader.read(slug, ())).project
        return self._projects[slug]

    async def observe(self, slug: str) -> Freshness:
        """Look at the ledger of the project's shard."""
        return self._freshness.observe(await self._reader.read(slug, ()), self._clock())

    async def _prepare(self, planned: Plan) -> Job:
        shape = planned.shape
        if not isinstance(shape, PersonsPlan) or not planned.query.breakdown:
            return Job(planned)
        project, limit = planned.project.slug, planned.query.limit
        values = shape.values
        if values is None:
            found = (await self._reader.read(project, [values_read(planned, shape)])).answers[0]
            assert isinstance(found, list)
            values = tuple(str(value) for value in found)
        return Job(planned, values if len(values) <= limit else await self._greatest(planned, shape, values))

    async def _greatest(self, planned: Plan, shape: PersonsPlan, values: tuple[str, ...]) -> tuple[str, ...]:
        totals: dict[str, Any] = {}
        for portion in ranking_reads(planned, shape, values):
            snapshot = await self._reader.read(planned.project.slug, portion)
            for read, number in zip(portion, snapshot.answers, strict=True):
                assert isinstance(read, Persons)
                totals[read.values[0]] = number
        return tuple(sorted(sorted(totals, key=lambda v: (-totals[v], v))[: planned.query.limit]))


def _reads(job: Job, now_ms: int) -> list[Read]:
    planned, shape = job.plan, job.plan.shape
    reads: list[Read] = [*_quality_reads(planned), *_currency_reads(planned)]
    match shape:
        case SumsPlan():
            return reads + list(sums_reads(planned, shape))
        case PersonsPlan():
            return reads + persons_reads(planned, shape, job.values)
        case OnlinePlan():
            return [*reads, _online_read(now_ms)]


def _online_read(now_ms: int) -> OnlineSince:
    return OnlineSince(now_ms - ONLINE_WINDOW_MS)


def _quality_reads(planned: Plan) -> list[Cells]:
    return cells_of(QUALITY.name, planned.period.tiles, QUALITY_FIELDS)


def _currency_reads(planned: Plan) -> list[Cells]:
    if planned.metric.unit != "money":
        return []
    return cells_of(ACTIVITY.name, planned.period.tiles, ("other_currencies",))


def _rows(job: Job, answers: Mapping[Read, Any], now_ms: int) -> Rows:
    planned, shape = job.plan, job.plan.shape
    match shape:
        case SumsPlan():
            return sums_rows(planned, shape, answers)
        case PersonsPlan():
            return persons_rows(planned, shape, job.values, answers)
        case OnlinePlan():
            return Rows([Row((), int(answers[_online_read(now_ms)]), None, [])], is_exact=True)


def _answer(job: Job, answers: Mapping[Read, Any], snapshot: Snapshot, fresh: Freshness, now_ms: int) -> Answer:
    planned = job.plan
    query, period = planned.query, planned.period
    rows = _rows(job, answers, now_ms)
    return Answer(
        metric=query.metric,
        unit=planned.metric.unit,
        start=shown(period.start, period.zone),
        end=shown(period.end, period.zone),
        interval="none" if isinstance(planned.shape, OnlinePlan) else query.interval,
        timezone=period.zone,
        results=_results(planned, rows),
        meta=_meta(planned, answers, rows.is_exact and not snapshot.inexact, fresh),
        currency=snapshot.project.currency if planned.metric.unit == "money" else UNSET,
    )


def _results(planned: Plan, rows: Rows) -> list[Result]:
    scale = planned.shape.scale if isinstance(planned.shape, SumsPlan) else 1
    times: list[str] = []
    if planned.query.interval != "none" and not isinstance(planned.shape, OnlinePlan):
        times = [shown(span.start, planned.period.zone) for span in planned.period.spans]
    return [_result(planned, row, times, scale) for row in rows.rows]


def _result(planned: Plan, row: Row, times: list[str], scale: int) -> Result:
    return Result(
        dict(zip(planned.query.breakdown, map(shown_value, row.key), strict=True)),
        _number(row.total, scale),
        None if row.previous is None else _number(row.previous, scale),
        [(time, _number(value, scale)) for time, value in zip(times, row.points, strict=False)],
    )


def _number(stored: int, scale: int) -> Number:
    return stored // scale if stored % scale == 0 else stored / scale


def _meta(planned: Plan, answers: Mapping[Read, Any], is_exact: bool, fresh: Freshness) -> Meta:
    quality = table_of(_quality_reads(planned), answers).values()
    currencies = table_of(_currency_reads(planned), answers).values()
    return Meta(
        as_of=None if fresh.as_of_ms is None else shown_instant(fresh.as_of_ms),
        lag_ms=fresh.lag_ms,
        complete=fresh.is_complete and planned.period.is_kept,
        exact=is_exact,
        error=SKETCH_ERROR if isinstance(planned.shape, PersonsPlan) else 0,
        late=sum(cells.get("late", 0) for cells in quality),
        duplicates=sum(cells.get("duplicate", 0) for cells in quality),
        other_currencies=sum(c.get("other_currencies", 0) for c in currencies)
        if planned.metric.unit == "money"
        else UNSET,
    )


def _digest(snapshot: Snapshot) -> str:
    rows = sorted((*place, row.next_offset) for place, row in snapshot.ledger.items())
    return xxhash.xxh3_64_hexdigest(repr(rows).encode())
