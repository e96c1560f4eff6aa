"""Question → plan → answer.   Stage 5 of 6: store → [analytics] → serve.

Promise: all queries of one request are read in one `read`, so that their numbers are of one moment, and every
answer says how fresh, whole and exact it is. Raises `Rejected` (the question is wrong), `Unavailable`, `Stopped`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence
from contextlib import suppress
from functools import partial

import xxhash
from msgspec import Struct

from rtaplatform.analytics.answer.answer_shape import answer_of
from rtaplatform.analytics.answer.question_job import QuestionJob, read_answers, reads_of, tiles_of
from rtaplatform.analytics.answer.side_thread import SideThread
from rtaplatform.analytics.cache.unchanged_answers import UnchangedAnswers
from rtaplatform.analytics.cache.united_sketches import SKETCH_BYTES_MAX, UnitedSketches, bytes_reads, union_tiles
from rtaplatform.analytics.cache.visitor_bounds import VisitorUpperBounds
from rtaplatform.analytics.cache.window_cache import SumsCache, WindowCache
from rtaplatform.analytics.cache.window_caches import WindowCaches
from rtaplatform.analytics.freshness.tracker import Freshness, FreshnessTracker
from rtaplatform.analytics.freshness.watch import WatchClock
from rtaplatform.analytics.plan.plan import DerivedPlan, OnlinePlan, PersonsPlan, QueryPlan, SumsPlan
from rtaplatform.analytics.plan.plan_cache import PlanCache
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.cost import RequestCost, require_affordable, require_few_sketches
from rtaplatform.analytics.read.distinct import Group, groups_of, needs_values, values_read
from rtaplatform.analytics.read.product_attributes import ProductCatalog, ProductTable
from rtaplatform.analytics.read.rows import Answers, merge_reads
from rtaplatform.analytics.read.visitor_ranking import greatest, greatest_products
from rtaplatform.core.errors import InvalidParameter, Unable, Unavailable
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import Answer, Query
from rtaplatform.store.port import AggregateReader, BucketContent, Read, Snapshot

ATTEMPTS_MAX = 8
POINTS_AT_ONCE = 500  # planned before others go on: a plan of thousands takes some milliseconds
KEPT_COUNTS_MAX = 100  # of persons, for one question
KEPT_BYTES_MAX = 512 * 2**20  # of one question: more does not fit beside the others


class Reply(Struct, frozen=True):
    """Answers of one moment; `digest` names where the ledger stood."""

    answers: list[Answer]
    generation: str
    digest: str


class Engine:
    """`catalog` is asked where a question joins attributes of products; without one there are none."""

    def __init__(
        self,
        reader: AggregateReader,
        freshness: FreshnessTracker,
        clock: WatchClock,
        catalog: ProductCatalog | None = None,
        *,
        windows: WindowCaches | None = None,
    ) -> None:
        self._reader, self._freshness, self._clock, self._catalog = reader, freshness, clock, catalog
        self._projects: dict[str, ProjectSettings] = {}
        self._plans, self._windows, self._moments = PlanCache(), windows or WindowCaches(), UnchangedAnswers(reader)
        self.beside = SideThread()

    async def answer(self, project: str, queries: Sequence[Query]) -> list[Answer]:
        return (await self.reply(project, queries)).answers

    async def reply(self, project: str, queries: Sequence[Query]) -> Reply:
        for _ in range(ATTEMPTS_MAX):
            known, now_ms = await self.project(project), self._clock().wall_ms
            plans = [self._plans.plan(query, known, now_ms) for query in queries]
            cost = require_affordable(plans)
            async with self._windows.turns(part for plan in plans for part in plan.parts):
                reply = await self._reply(plans, cost, known, now_ms)
            if reply is not None:
                return reply
        raise Unavailable("redis", f"the settings or the history of {project} keep changing")

    async def _reply(
        self, plans: Sequence[QueryPlan], cost: RequestCost, known: ProjectSettings, now_ms: int
    ) -> Reply | None:
        """None where what the plans were made from has changed, or buckets must be read again, whole."""
        jobs = [await self._prepare(planned) for planned in plans]
        parts = [part for job in jobs for part in job.whole]
        require_few_sketches([(part.plan, part.groups) for part in parts if part.groups])
        snapshot, found = await self._read(known.slug, jobs, now_ms)
        if snapshot.project != known:
            # Another zone or currency, so another plan: a project's settings are part of the moment.
            self._projects[known.slug] = snapshot.project
            return None
        numbers = _fields_in(snapshot) * max(part.numbers_of_field for part in parts)
        taken = await self.beside.run(numbers, lambda: [read_answers(job, found, snapshot) for job in jobs])
        if not all(taken):
            return None
        fresh = self._freshness.observe(snapshot, self._clock())
        answers = await self.beside.run(
            cost.points + sum(part.beside for part in parts),
            lambda: [answer_of(job, found, snapshot, fresh, now_ms) for job in jobs],
        )
        return Reply(answers, snapshot.generation, _digest(snapshot))

    async def _read(self, slug: str, jobs: Sequence[QuestionJob], now_ms: int) -> tuple[Snapshot, Answers]:
        merged = merge_reads(read for job in jobs for read in reads_of(job, now_ms))
        wanted = list(dict.fromkeys(merged.values()))
        snapshot = await self._moments.ask(slug, wanted)
        by_read = dict(zip(wanted, snapshot.answers, strict=True))
        return snapshot, {read: by_read[merged[read]] for read in merged}

    def touch(self, projects: Container[str] | None) -> None:
        """The store has told us that these projects have moved, or any."""
        self._moments.touch(projects)

    async def check(self, project: str, queries: Sequence[Query]) -> RequestCost:
        """What the queries cost together; raises what is wrong with them, without reading their numbers."""
        known, now_ms = await self.project(project), self._clock().wall_ms
        plans = []
        for query in queries:
            plans.append(self._plans.plan(query, known, now_ms))
            if len(plans[-1].period.spans) > POINTS_AT_ONCE:
                await asyncio.sleep(0)
        return require_affordable(plans)

    async def project(self, slug: str) -> ProjectSettings:
        if slug not in self._projects:
            self._projects[slug] = (await self._reader.read(slug, ())).project
        return self._projects[slug]

    async def observe(self, slug: str) -> Freshness:
        """Look at the ledger of the project's shard."""
        return self._freshness.observe(await self._reader.read(slug, ()), self._clock())

    async def _prepare(self, planned: QueryPlan) -> QuestionJob:
        match planned.shape:
            case SumsPlan() as shape:
                products = await self._products(planned, shape.joined)
                window = self._windows.find(planned)
                if window is None:
                    return QuestionJob(planned, products=products)
                assert isinstance(window, SumsCache)
                window.prepare(products)
                await self._read_missing(planned, window, tiles_of(planned))
                return QuestionJob(planned, window=window, products=products)
            case PersonsPlan() as shape:
                return await self._prepare_persons(planned, shape)
            case OnlinePlan():
                return QuestionJob(planned)
            case DerivedPlan(parts=parts):
                return QuestionJob(planned, parts=tuple([await self._prepare(part) for part in parts]))

    async def _products(self, planned: QueryPlan, joined: Sequence[str]) -> ProductTable | None:
        if not joined:
            return None
        if self._catalog is None:
            raise Unavailable("postgres", "there is no catalog")
        return await self._catalog.products(planned.project.slug)

    async def _read_missing(self, planned: QueryPlan, window: WindowCache, tiles: Sequence[Tile]) -> None:
        """Where much of the question's window is new, it is read beforehand, a little at a time."""
        for portion in window.missing(tiles):
            reads = window.reads(portion)
            snapshot = await self._reader.read(planned.project.slug, reads)
            answers = dict(zip(reads, snapshot.answers, strict=True))
            numbers = _fields_in(snapshot) * window.numbers_of_field
            await self.beside.run(numbers, partial(window.take, snapshot, portion, answers))
            if window.size > KEPT_BYTES_MAX:
                raise InvalidParameter(
                    "The period holds too many different values for one answer.", field="from",
                    allowed=f"at most {KEPT_BYTES_MAX >> 20} MB of numbers in all buckets", hint="Use a later `from`.",
                )  # fmt: skip

    async def _prepare_persons(self, planned: QueryPlan, shape: PersonsPlan) -> QuestionJob:
        window = self._windows.find(planned)
        products = await self._products(planned, shape.joined)
        with suppress(Unable):  # all of them are counted, or united by the store, then
            if isinstance(window, VisitorUpperBounds):
                return QuestionJob(planned, await self._greatest_products(planned, shape, window))
            if isinstance(window, UnitedSketches):
                assert products is not None
                return await self._prepare_union(planned, window, products)
        values = shape.values or ("",)
        if needs_values(planned, shape):
            answer = (await self._ask(planned, [values_read(planned, shape)])).answers[0]
            assert isinstance(answer, list)
            values = tuple(str(value) for value in answer)
        elif not planned.query.breakdown and not shape.joined:
            return QuestionJob(planned, (((), values),))
        groups = groups_of(planned, shape, values, products)
        if planned.query.breakdown and len(groups) > planned.query.limit:
            groups = await greatest(partial(self._read_anew, planned), planned, shape, groups)
        return QuestionJob(planned, groups, products=products)

    async def _prepare_union(self, planned: QueryPlan, window: UnitedSketches, products: ProductTable) -> QuestionJob:
        """Raises Unable where it would be too much, or the store's library is of the version before."""
        window.prepare(products)
        tiles = union_tiles(planned)
        window.keep(tiles, None)  # as above
        if new := window.unknown(tiles):
            found = (await self._reader.read(planned.project.slug, bytes_reads(new))).answers
            size = sum(number for answer in found for bucket in _cells(answer) for number in bucket.values())
            if size > SKETCH_BYTES_MAX:
                raise Unable("redis", f"{size} bytes of sketches are too many to be kept")
        await self._read_missing(planned, window, tiles)
        return QuestionJob(planned, window=window, products=products)

    async def _greatest_products(
        self, planned: QueryPlan, shape: PersonsPlan, bounds: VisitorUpperBounds
    ) -> tuple[Group, ...]:
        tiles = planned.period.tiles
        bounds.keep(tiles, None)  # none is read for nothing: counting is dearer than finding out that it has moved
        for _ in range(ATTEMPTS_MAX):
            await self._read_missing(planned, bounds, tiles)
            reads = bounds.reads(tiles)
            snapshot = await self._ask(planned, reads)
            if bounds.take(snapshot, tiles, dict(zip(reads, snapshot.answers, strict=True))):
                ask = partial(self._ask if planned.query.limit <= KEPT_COUNTS_MAX else self._read_anew, planned)
                return await greatest_products(ask, planned, shape, bounds.standing())
        raise Unavailable("redis", f"the history of {planned.project.slug} keeps changing")

    async def _ask(self, planned: QueryPlan, reads: Sequence[Read]) -> Snapshot:
        return await self._moments.ask(planned.project.slug, reads)

    async def _read_anew(self, planned: QueryPlan, reads: Sequence[Read]) -> Snapshot:
        """Too many answers to be kept."""
        return await self._reader.read(planned.project.slug, reads)


def _fields_in(snapshot: Snapshot) -> int:
    """Of whole buckets, that are to be taken in."""
    listings = [answer for answer in snapshot.answers if isinstance(answer, list)]
    return sum(len(each.fields) for answer in listings for each in answer if isinstance(each, BucketContent)) // 2


def _cells(answer: object) -> list[dict[str, int]]:
    assert isinstance(answer, list)
    return answer


def _digest(snapshot: Snapshot) -> str:
    rows = sorted((*place, row.next_offset) for place, row in snapshot.ledger.items())
    return xxhash.xxh3_64_hexdigest(repr(rows).encode())
