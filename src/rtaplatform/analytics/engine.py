"""Question → plan → answer.   Stage 5 of 6: store → [analytics] → serve.

Promise: all queries of one request are read in one `read`, so that their numbers are of one moment, and every
answer says how fresh, whole and exact it is. Raises `Rejected` (the question is wrong), `Unavailable`, `Stopped`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import xxhash
from msgspec import UNSET, Struct

from rtaplatform.analytics.bounds import Bounds
from rtaplatform.analytics.freshness import Freshness, FreshnessTracker
from rtaplatform.analytics.join import ProductCatalog, ProductTable
from rtaplatform.analytics.kept import KeptSums, KeptWindow
from rtaplatform.analytics.moments import Moments
from rtaplatform.analytics.persons import Group, groups_of, needs_values, persons_reads, persons_rows, values_read
from rtaplatform.analytics.plan import OnlinePlan, PersonsPlan, Plan, SumsPlan, plan
from rtaplatform.analytics.ranking import greatest, greatest_products, is_bounded
from rtaplatform.analytics.rows import Answers, Row, Rows, cells_of, merge_reads, shown_value, table_of
from rtaplatform.analytics.sums import sums_reads, sums_rows
from rtaplatform.analytics.tiling import Tile
from rtaplatform.analytics.times import shown, shown_instant
from rtaplatform.analytics.watch import Clock
from rtaplatform.analytics.windows import Windows, is_kept
from rtaplatform.core.errors import Unable, Unavailable
from rtaplatform.core.metrics import ONLINE_WINDOW_MS
from rtaplatform.core.query import SKETCH_ERROR, Answer, Meta, Number, Query, Result
from rtaplatform.core.rollups import ACTIVITY, QUALITY
from rtaplatform.store.port import AggregateReader, Cells, OnlineSince, Project, Read, Snapshot

QUALITY_FIELDS = ("late", "duplicate")
ATTEMPTS_MAX = 8
KEPT_COUNTS_MAX = 100  # of persons, for one question


class Reply(Struct, frozen=True):
    """Answers of one moment; `digest` names where the ledger stood."""

    answers: list[Answer]
    generation: str
    digest: str


class Job(Struct, frozen=True):
    """A plan, and what it needs beside: the rows of persons, what is known of its window, the catalog's products."""

    plan: Plan
    groups: tuple[Group, ...] = ()
    window: KeptSums | None = None
    products: ProductTable | None = None


class Engine:
    """`catalog` is asked where a question joins attributes of products; without one there are none."""

    def __init__(
        self, reader: AggregateReader, freshness: FreshnessTracker, clock: Clock, catalog: ProductCatalog | None = None
    ) -> None:
        self._reader, self._freshness, self._clock, self._catalog = reader, freshness, clock, catalog
        self._projects: dict[str, Project] = {}
        self._windows, self._moments = Windows(), Moments(reader)

    async def answer(self, project: str, queries: Sequence[Query]) -> list[Answer]:
        return (await self.reply(project, queries)).answers

    async def reply(self, project: str, queries: Sequence[Query]) -> Reply:
        for _ in range(ATTEMPTS_MAX):
            known, now_ms = await self.project(project), self._clock().wall_ms
            plans = [plan(query, known, now_ms) for query in queries]
            async with self._windows.turns(plans):
                reply = await self._reply(plans, known, now_ms)
            if reply is not None:
                return reply
        raise Unavailable("redis", f"the settings or the history of {project} keep changing")

    async def _reply(self, plans: Sequence[Plan], known: Project, now_ms: int) -> Reply | None:
        """None where what the plans were made from has changed, or buckets must be read again, whole."""
        jobs = [await self._prepare(planned) for planned in plans]
        snapshot, found = await self._read(known.slug, jobs, now_ms)
        if snapshot.project != known:
            # Another zone or currency, so another plan: a project's settings are part of the moment.
            self._projects[known.slug] = snapshot.project
            return None
        taken = [_take(job, found, snapshot) for job in jobs]
        if not all(taken):
            return None
        fresh = self._freshness.observe(snapshot, self._clock())
        answers = [_answer(job, found, snapshot, fresh, now_ms) for job in jobs]
        return Reply(answers, snapshot.generation, _digest(snapshot))

    async def _read(self, slug: str, jobs: Sequence[Job], now_ms: int) -> tuple[Snapshot, Answers]:
        merged = merge_reads(read for job in jobs for read in _reads(job, now_ms))
        wanted = list(dict.fromkeys(merged.values()))
        snapshot = await self._moments.ask(slug, wanted)
        by_read = dict(zip(wanted, snapshot.answers, strict=True))
        return snapshot, {read: by_read[merged[read]] for read in merged}

    def touch(self, projects: Container[str] | None) -> None:
        """The store hints that these projects have moved, or any."""
        self._moments.touch(projects)

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
        match planned.shape:
            case SumsPlan() as shape:
                products = await self._products(planned, shape.joined)
                window = self._windows.of(planned) if is_kept(planned) else None
                if window is None:
                    return Job(planned, products=products)
                assert isinstance(window, KeptSums)
                window.prepare(products)
                await self._read_missing(planned, window)
                return Job(planned, window=window, products=products)
            case PersonsPlan() as shape:
                return await self._prepare_persons(planned, shape)
            case OnlinePlan():
                return Job(planned)

    async def _products(self, planned: Plan, joined: Sequence[str]) -> ProductTable | None:
        if not joined:
            return None
        if self._catalog is None:
            raise Unavailable("postgres", "there is no catalog")
        return await self._catalog.products(planned.project.slug)

    async def _read_missing(self, planned: Plan, window: KeptWindow) -> None:
        """Where much of the question's window is new, it is read beforehand, a little at a time."""
        for portion in window.missing(_tiles(planned)):
            reads = window.reads(portion)
            snapshot = await self._reader.read(planned.project.slug, reads)
            window.take(snapshot, portion, dict(zip(reads, snapshot.answers, strict=True)))

    async def _prepare_persons(self, planned: Plan, shape: PersonsPlan) -> Job:
        if is_bounded(planned):
            with suppress(Unable):  # all of them are counted then
                return Job(planned, await self._greatest_products(planned, shape))
        products = await self._products(planned, shape.joined)
        values = shape.values or ("",)
        if needs_values(planned, shape):
            answer = (await self._ask(planned, [values_read(planned, shape)])).answers[0]
            assert isinstance(answer, list)
            values = tuple(str(value) for value in answer)
        elif not planned.query.breakdown and not shape.joined:
            return Job(planned, (((), values),))
        groups = groups_of(planned, shape, values, products)
        if planned.query.breakdown and len(groups) > planned.query.limit:
            groups = await greatest(partial(self._read_anew, planned), planned, shape, groups)
        return Job(planned, groups, products=products)

    async def _greatest_products(self, planned: Plan, shape: PersonsPlan) -> tuple[Group, ...]:
        bounds, tiles = self._windows.of(planned), planned.period.tiles
        assert isinstance(bounds, Bounds)
        bounds.keep(tiles, None)  # none is read for nothing: counting is dearer than finding out that it has moved
        for _ in range(ATTEMPTS_MAX):
            await self._read_missing(planned, bounds)
            reads = bounds.reads(tiles)
            snapshot = await self._ask(planned, reads)
            if bounds.take(snapshot, tiles, dict(zip(reads, snapshot.answers, strict=True))):
                ask = partial(self._ask if planned.query.limit <= KEPT_COUNTS_MAX else self._read_anew, planned)
                return await greatest_products(ask, planned, shape, bounds)
        raise Unavailable("redis", f"the history of {planned.project.slug} keeps changing")

    async def _ask(self, planned: Plan, reads: Sequence[Read]) -> Snapshot:
        return await self._moments.ask(planned.project.slug, reads)

    async def _read_anew(self, planned: Plan, reads: Sequence[Read]) -> Snapshot:
        """Too many answers to be kept."""
        return await self._reader.read(planned.project.slug, reads)


def _reads(job: Job, now_ms: int) -> list[Read]:
    planned, shape = job.plan, job.plan.shape
    reads: list[Read] = [*_quality_reads(planned), *_currency_reads(planned)]
    match shape:
        case SumsPlan() if job.window is not None:
            return reads + list(job.window.reads(_tiles(planned)))
        case SumsPlan():
            return reads + list(sums_reads(planned, shape))
        case PersonsPlan():
            return reads + persons_reads(planned, shape, job.groups)
        case OnlinePlan():
            return [*reads, _online_read(now_ms)]


def _take(job: Job, answers: Mapping[Read, Any], snapshot: Snapshot) -> bool:
    """Bring what is known of the job's window to the snapshot's moment, if it is complete."""
    if job.window is None:
        return True
    tiles, period = _tiles(job.plan), job.plan.period
    job.window.keep(tiles, period.tiles[-1] if period.tiles else None)
    return job.window.take(snapshot, tiles, answers)


def _tiles(planned: Plan) -> tuple[Tile, ...]:
    """All buckets of the question."""
    return (*planned.period.tiles, *(planned.period.previous or ()))


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
        case SumsPlan() if job.window is not None:
            return job.window.rows(planned, shape, job.products)
        case SumsPlan():
            return sums_rows(planned, shape, answers, job.products)
        case PersonsPlan():
            return persons_rows(planned, shape, job.groups, answers)
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
