"""The live totals of one project and the positions that they include, read at one moment.   Names adapters.

Days are read with all their values, hours and minutes as sums only. One read is one transaction of the store, so
totals and ledger belong together while workers go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import (
    ACTIVES,
    ACTIVITY,
    BOT_PREFIX,
    BUYERS,
    EVENTS,
    PEOPLE,
    PRODUCTS,
    QUALITY,
    REFUND_EVENTS,
    RETENTION,
    SALES,
    SESSIONS,
    SHARED,
    VISITS,
    Rollup,
)
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.operate.reconcile.reconcile_period import ReconcilePeriod
from rtaplatform.settings import StoreSettings
from rtaplatform.store.port import Read, ReadFields, ReadPersons, Snapshot
from rtaplatform.store.redis.redis_reader import RedisReader

Place = tuple[str, BucketKind, int]  # rollup or name of a sketch, kind, start
WHOLE = (ACTIVITY, EVENTS, PRODUCTS, SALES, *VISITS, QUALITY, *PEOPLE)
_HOURS = tuple(rollup for rollup in WHOLE if rollup not in (ACTIVES, RETENTION))
_MINUTES = (ACTIVITY, PRODUCTS, QUALITY, SESSIONS)


@dataclass
class ReconciledTotals:
    """Live, or counted again: by place fields as stored, and distinct persons ("" or `buyers`)."""

    cells: dict[Place, dict[str, int]] = field(default_factory=dict)
    persons: dict[Place, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LiveTotals:
    """`ends`: the next offset of each partition that the totals do not include yet; `starts`: where they begin."""

    project: ProjectSettings
    totals: ReconciledTotals
    generation: str
    shard: int
    ends: Mapping[PartitionId, int]
    starts: Mapping[PartitionId, int]
    stops: Mapping[str, str]
    is_torn: bool


def read_project(store: StoreSettings, slug: str) -> ProjectSettings:
    """Return the settings with which a project is counted. Raises NotFound, Stopped, Unavailable."""
    return asyncio.run(_read(store, slug, [])).project


def read_live(store: StoreSettings, slug: str, period: ReconcilePeriod) -> LiveTotals:
    """Read everything at one moment. Raises NotFound, Stopped, Unavailable."""
    reads, places = _plan_reads(period)
    snapshot = asyncio.run(_read(store, slug, reads))
    totals = ReconciledTotals()
    for read, place, answer in zip(reads, places, snapshot.answers, strict=True):
        if isinstance(read, ReadPersons):
            assert isinstance(answer, int)
            totals.persons[(place, *read.buckets[0])] = answer
        elif isinstance(read, ReadFields):
            assert isinstance(answer, list)
            for start, cell in zip(read.starts, answer, strict=True):
                assert isinstance(cell, dict)
                totals.cells[place, read.kind, start] = {name: n for name, n in cell.items() if n}
    return LiveTotals(
        project=snapshot.project,
        totals=totals,
        generation=snapshot.generation,
        shard=snapshot.shard,
        ends={place: row.next_offset for place, row in snapshot.ledger.items()},
        starts=snapshot.starts,
        stops=snapshot.stops,
        is_torn=snapshot.torn,
    )


async def _read(store: StoreSettings, slug: str, reads: list[Read]) -> Snapshot:
    reader = RedisReader(store)
    try:
        return await reader.read(slug, reads)
    finally:
        await reader.close()


def _plan_reads(period: ReconcilePeriod) -> tuple[list[Read], list[str]]:
    """The reads, and for each its rollup or the name of its sketch."""
    reads: list[Read] = []
    places: list[str] = []
    for kind, rollups in ((BucketKind.DAY, WHOLE), (BucketKind.HOUR, _HOURS), (BucketKind.MINUTE, _MINUTES)):
        for rollup in rollups:
            fields = None if kind is BucketKind.DAY else list_sums(rollup)
            reads.append(ReadFields(rollup.name, kind, period.starts[kind], fields))
            places.append(rollup.name)
    for start in period.starts[BucketKind.DAY]:
        for name in ("", BUYERS):
            reads.append(ReadPersons(((BucketKind.DAY, start),), name))
            places.append(name)
    return reads, places


def list_sums(rollup: Rollup) -> tuple[str, ...]:
    """The fields of a bucket's sums, those of bots too."""
    more = (*SHARED.values(), REFUND_EVENTS) if rollup in (PRODUCTS, SALES) else ()
    measures = (*rollup.measures, *more)
    return (*measures, *(BOT_PREFIX + name for name in measures))
