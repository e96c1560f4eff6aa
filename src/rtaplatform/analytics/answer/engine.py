"""Question → plan → answer.   Stage 5 of 6: store → [analytics] → serve.

All queries of a request are answered from one snapshot of the store, so their numbers belong together. Each answer says
how fresh, complete and exact it is. Raises `Rejected` (the question is wrong), `Unavailable`, `Stopped`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from functools import partial

import xxhash
from msgspec import Struct

from rtaplatform.analytics.answer.answer_shape import build_answers
from rtaplatform.analytics.answer.question_job import QuestionJob, list_reads, list_tiles, update_windows
from rtaplatform.analytics.answer.side_thread import SideThread
from rtaplatform.analytics.cache.unchanged_answers import UnchangedAnswers
from rtaplatform.analytics.cache.united_sketches import (
    SKETCH_BYTES_MAX,
    UnitedSketches,
    list_sketch_size_reads,
    list_union_tiles,
)
from rtaplatform.analytics.cache.visitor_bounds import VisitorUpperBounds
from rtaplatform.analytics.cache.window_cache import SumsCache, WindowCache
from rtaplatform.analytics.cache.window_caches import WindowCaches
from rtaplatform.analytics.freshness.tracker import Freshness, FreshnessTracker
from rtaplatform.analytics.freshness.watch import WatchClock
from rtaplatform.analytics.plan.declared_dimensions import needs_declaration
from rtaplatform.analytics.plan.plan import DerivedPlan, QueryPlan
from rtaplatform.analytics.plan.plan_cache import PlanCache
from rtaplatform.analytics.plan.shapes import DailyPlan, OnlinePlan, PersonsPlan, SumsPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.cost import RequestCost, require_affordable, require_few_sketches
from rtaplatform.analytics.read.distinct import Group, group_values, make_values_read, needs_values
from rtaplatform.analytics.read.product_attributes import ProductCatalog, ProductTable
from rtaplatform.analytics.read.rows import Answers, merge_reads
from rtaplatform.analytics.read.visitor_ranking import find_greatest_groups, find_greatest_products
from rtaplatform.core.errors import InvalidParameter, Unable, Unavailable
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.query import Answer, Query
from rtaplatform.store.port import AggregateReader, BucketContent, Read, ReadFields, Snapshot

ATTEMPTS_MAX = 8
POINTS_AT_ONCE = 500  # planning more takes some milliseconds, so other requests get a turn after it
KEPT_COUNTS_MAX = 100  # counts of persons that are cached for one question
KEPT_BYTES_MAX = 512 * 2**20  # of one question's window


class Reply(Struct, frozen=True):
    """Answers from one snapshot; `digest` identifies its ledger."""

    answers: list[Answer]
    generation: str
    digest: str


class BesideReading(Struct, frozen=True):
    """An answer with its plan, and the answers to further reads of the same moment."""

    answer: Answer
    plan: QueryPlan
    now_ms: int
    reads: list[ReadFields]
    answers: Answers


class Engine:
    """`catalog` is read if a question joins attributes of products; without a catalog such questions are refused."""

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
        self._plans, self._windows = PlanCache(), windows or WindowCaches()
        self._unchanged_answers = UnchangedAnswers(reader)
        self.side_thread = SideThread()

    async def answer(self, project: str, queries: Sequence[Query]) -> list[Answer]:
        return (await self.reply(project, queries)).answers

    async def reply(self, project: str, queries: Sequence[Query]) -> Reply:
        for _ in range(ATTEMPTS_MAX):
            settings, now_ms = await self.read_project(project, queries), self._clock().wall_ms
            plans = [self._plans.plan(query, settings, now_ms) for query in queries]
            cost = require_affordable(plans)
            async with self._windows.lock(part for plan in plans for part in plan.parts):
                reply = await self._reply(plans, cost, settings, now_ms)
            if reply is not None:
                return reply
        raise Unavailable("redis", f"the settings or the history of {project} keep changing")

    async def read_beside(
        self, project: str, query: Query, make_reads: Callable[[QueryPlan], list[ReadFields]]
    ) -> BesideReading:
        """Answer a query without breakdown, and read more of the same moment. `make_reads` may refuse the query."""
        for _ in range(ATTEMPTS_MAX):
            settings, now_ms = await self.read_project(project, [query]), self._clock().wall_ms
            plan = self._plans.plan(query, settings, now_ms)
            job, reads = await self._prepare(plan), make_reads(plan)
            snapshot, answers = await self._read(settings.slug, [job], now_ms, reads)
            if snapshot.project == settings:
                fresh = self._freshness.observe(snapshot, self._clock())
                (answer,) = build_answers([job], answers, snapshot, fresh, now_ms)
                return BesideReading(answer, plan, now_ms, reads, answers)
            self._projects[settings.slug] = snapshot.project
        raise Unavailable("redis", f"the settings of {project} keep changing")

    async def _reply(
        self, plans: Sequence[QueryPlan], cost: RequestCost, settings: ProjectSettings, now_ms: int
    ) -> Reply | None:
        """None if the project's settings have changed since planning, or if changed buckets must be read first."""
        jobs = [await self._prepare(plan) for plan in plans]
        parts = [part for job in jobs for part in job.reading_jobs]
        require_few_sketches([(part.plan, part.groups) for part in parts if part.groups])
        snapshot, answers_of_reads = await self._read(settings.slug, jobs, now_ms)
        if snapshot.project != settings:
            # Another zone or currency needs another plan: a project's settings are part of the snapshot.
            self._projects[settings.slug] = snapshot.project
            return None
        numbers = _count_fields(snapshot) * max(part.work_per_field for part in parts)
        updated = await self.side_thread.run(
            numbers, lambda: [update_windows(job, answers_of_reads, snapshot) for job in jobs]
        )
        if not all(updated):
            return None
        fresh = self._freshness.observe(snapshot, self._clock())
        answers = await self.side_thread.run(
            cost.points + sum(part.extra_work for part in parts),
            lambda: build_answers(jobs, answers_of_reads, snapshot, fresh, now_ms),
        )
        return Reply(answers, snapshot.generation, _hash_ledger(snapshot))

    async def _read(
        self, slug: str, jobs: Sequence[QuestionJob], now_ms: int, more_reads: Sequence[Read] = ()
    ) -> tuple[Snapshot, Answers]:
        all_reads = merge_reads([*more_reads, *list_reads(jobs, now_ms)])
        reads = list(dict.fromkeys(all_reads.values()))
        snapshot = await self._unchanged_answers.ask(slug, reads)
        answers = dict(zip(reads, snapshot.answers, strict=True))
        return snapshot, {read: answers[all_reads[read]] for read in all_reads}

    def touch(self, projects: Container[str] | None) -> None:
        """Note a change notification: the numbers of these projects have changed, or of all if None."""
        self._unchanged_answers.touch(projects)

    async def check(self, project: str, queries: Sequence[Query]) -> RequestCost:
        """The cost of the queries together; raises their errors, without reading any numbers."""
        settings, now_ms = await self.read_project(project, queries), self._clock().wall_ms
        plans = []
        for query in queries:
            plans.append(self._plans.plan(query, settings, now_ms))
            if len(plans[-1].period.spans) > POINTS_AT_ONCE:
                await asyncio.sleep(0)
        return require_affordable(plans)

    async def read_project(self, slug: str, queries: Sequence[Query] = ()) -> ProjectSettings:
        """The settings; read again if a query names what they do not declare: it may be new."""
        if slug not in self._projects or needs_declaration(queries, self._projects[slug]):
            self._projects[slug] = (await self._reader.read(slug, ())).project
        return self._projects[slug]

    async def observe(self, slug: str) -> Freshness:
        """Read the ledger of the project's shard and the project's settings, and update the freshness by the ledger."""
        snapshot = await self._reader.read(slug, ())
        self._projects[slug] = snapshot.project
        return self._freshness.observe(snapshot, self._clock())

    async def _prepare(self, plan: QueryPlan) -> QuestionJob:
        match plan.shape:
            case SumsPlan() as shape:
                products = await self._read_products(plan, shape.attributes)
                window = self._windows.find(plan)
                if window is None:
                    return QuestionJob(plan, products=products)
                assert isinstance(window, SumsCache)
                window.prepare(products)
                await self._read_portions(plan, window, list_tiles(plan))
                return QuestionJob(plan, window=window, products=products)
            case PersonsPlan() as shape:
                return await self._prepare_persons(plan, shape)
            case OnlinePlan() | DailyPlan():
                return QuestionJob(plan)
            case DerivedPlan(parts=parts):
                return QuestionJob(plan, parts=tuple([await self._prepare(part) for part in parts]))

    async def _read_products(self, plan: QueryPlan, attributes: Sequence[str]) -> ProductTable | None:
        if not attributes:
            return None
        if self._catalog is None:
            raise Unavailable("postgres", "there is no catalog")
        return await self._catalog.find_table(plan.project.slug)

    async def _read_portions(self, plan: QueryPlan, window: WindowCache, tiles: Sequence[Tile]) -> None:
        """Read large new parts of the question's window in advance, in portions."""
        for portion in window.list_portions(tiles):
            reads = window.list_reads(portion)
            snapshot = await self._reader.read(plan.project.slug, reads)
            answers = dict(zip(reads, snapshot.answers, strict=True))
            numbers = _count_fields(snapshot) * window.work_per_field
            await self.side_thread.run(numbers, partial(window.update, snapshot, portion, answers))
            if window.size > KEPT_BYTES_MAX:
                raise InvalidParameter(
                    "The period holds too many different values for one answer.", field="from",
                    allowed=f"at most {KEPT_BYTES_MAX >> 20} MB of numbers in all buckets", hint="Use a later `from`.",
                )  # fmt: skip

    async def _prepare_persons(self, plan: QueryPlan, shape: PersonsPlan) -> QuestionJob:
        window = self._windows.find(plan)
        products = await self._read_products(plan, shape.attributes)
        with suppress(Unable):  # then count all products, or let the store unite them
            if isinstance(window, VisitorUpperBounds):
                return QuestionJob(plan, await self._rank_products(plan, shape, window))
            if isinstance(window, UnitedSketches):
                assert products is not None
                return await self._prepare_union(plan, window, products)
        values = shape.values or ("",)
        if needs_values(plan, shape):
            answer = (await self._unchanged_answers.ask(plan.project.slug, [make_values_read(plan, shape)])).answers[0]
            assert isinstance(answer, list)
            values = tuple(str(value) for value in answer)
        elif not plan.query.breakdown and not shape.attributes:
            return QuestionJob(plan, (((), values),))
        groups = group_values(plan, shape, values, products)
        if plan.query.breakdown and len(groups) > plan.query.limit:
            groups = await find_greatest_groups(partial(self._reader.read, plan.project.slug), plan, shape, groups)
        return QuestionJob(plan, groups, products=products)

    async def _prepare_union(self, plan: QueryPlan, window: UnitedSketches, products: ProductTable) -> QuestionJob:
        """Raises `Unable` if the sketches are too large, or if the store has the library of an earlier version."""
        window.prepare(products)
        tiles = list_union_tiles(plan)
        window.drop_others(tiles, None)  # for the same reason as in _rank_products
        if new_tiles := window.list_new(tiles):
            sizes = (await self._reader.read(plan.project.slug, list_sketch_size_reads(new_tiles))).answers
            size = sum(number for answer in sizes for bucket in _require_cells(answer) for number in bucket.values())
            if size > SKETCH_BYTES_MAX:
                raise Unable("redis", f"{size} bytes of sketches are too many to be kept")
        await self._read_portions(plan, window, tiles)
        return QuestionJob(plan, window=window, products=products)

    async def _rank_products(
        self, plan: QueryPlan, shape: PersonsPlan, bounds: VisitorUpperBounds
    ) -> tuple[Group, ...]:
        tiles, slug = plan.period.tiles, plan.project.slug
        bounds.drop_others(tiles, None)  # no newest bucket: recounting costs more than finding out that it has changed
        for _ in range(ATTEMPTS_MAX):
            await self._read_portions(plan, bounds, tiles)
            reads = bounds.list_reads(tiles)
            snapshot = await self._unchanged_answers.ask(slug, reads)
            if bounds.update(snapshot, tiles, dict(zip(reads, snapshot.answers, strict=True))):
                is_kept = plan.query.limit <= KEPT_COUNTS_MAX  # else the answers are too many to be kept
                read = self._unchanged_answers.ask if is_kept else self._reader.read
                return await find_greatest_products(partial(read, slug), plan, shape, bounds.copy_ranking())
        raise Unavailable("redis", f"the history of {plan.project.slug} keeps changing")


def _count_fields(snapshot: Snapshot) -> int:
    """The number of fields of all buckets that were read whole."""
    answers = [answer for answer in snapshot.answers if isinstance(answer, list)]
    contents = [item for answer in answers for item in answer if isinstance(item, BucketContent)]
    return sum(len(content.fields) for content in contents) // 2


def _require_cells(answer: object) -> list[dict[str, int]]:
    assert isinstance(answer, list)
    return answer


def _hash_ledger(snapshot: Snapshot) -> str:
    rows = sorted((*partition, row.next_offset) for partition, row in snapshot.ledger.items())
    return xxhash.xxh3_64_hexdigest(repr(rows).encode())
