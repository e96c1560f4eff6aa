"""The store in memory: the same promises as `store/redis.py`, for simulations and unit tests.   Stage 4 of 6.

One object stands for a server; `snapshot` and `restore` take it back in time, as a server that lost its last
writes would. Sketches are exact sets. TTLs do nothing, since they decide nothing.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Sequence
from typing import Any

from rtaplatform.core.errors import Stopped, Unavailable, UnknownThing
from rtaplatform.core.rollups import FIELDS_PER_BUCKET_MAX, OTHER, SEPARATOR, SKETCHES_PER_BUCKET_MAX
from rtaplatform.store import layout
from rtaplatform.store.port import (
    SCHEMA,
    Applied,
    BlockWrite,
    Cells,
    CellsKey,
    Conflicted,
    Delta,
    Hint,
    Move,
    Moved,
    OnlineSince,
    Outcome,
    Persons,
    PersonValues,
    Place,
    Project,
    Read,
    ShardState,
    SketchKey,
    Snapshot,
    Torn,
    read_row,
    shard_of,
)

OVERFLOW = 2**63


class Shard:
    """All that a shard holds. Generations are kept apart, as in Redis."""

    def __init__(self) -> None:
        self.generation = ""
        self.shards = 1
        self.manifests: dict[str, tuple[dict[str, str], dict[Place, int]]] = {}
        self.projects: dict[str, Project] = {}
        self.projects_version = ""
        self.stops: dict[str, str] = {}
        self.gaps: dict[str, str] = {}
        self.generations: dict[str, Totals] = {}

    @property
    def totals(self) -> Totals:
        return self.generations.setdefault(self.generation, Totals())


class Totals:
    """One generation's totals, and the ledger that they include."""

    def __init__(self) -> None:
        self.ledger: dict[Place, str] = {}
        self.inflight = ""
        self.cells: dict[CellsKey, dict[str, int]] = {}
        self.sketches: dict[SketchKey, set[bytes]] = {}
        self.online: dict[str, dict[bytes, int]] = {}
        self.blocks: dict[str, bytes] = {}
        self.persons: dict[tuple[str, bytes], bytes] = {}
        self.dead: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.inexact: set[str] = set()


class MemoryStore:
    """Both sides of the port (`AggregateStore`, `AggregateReader`) over plain dicts."""

    def __init__(self, shards: int = 1) -> None:
        self.shards = [Shard() for _ in range(shards)]
        self.is_away = False
        self._listeners: list[asyncio.Queue[Hint]] = []

    # life cycle ------------------------------------------------------------------------------------------------

    def begin(
        self, shard: int, *, expected: str, generation: str, topics: dict[str, str], starts: dict[Place, int]
    ) -> str:
        at = self.shards[shard]
        if at.generation == expected:
            at.generation, at.shards = generation, len(self.shards)
            at.manifests[generation] = (dict(topics), dict(starts))
            self._publish(Hint(shard, None))
        return at.generation

    def set_projects(self, projects: Sequence[Project], version: str) -> None:
        for number, at in enumerate(self.shards):
            mine = {p.slug: p for p in projects if shard_of(p.slug, len(self.shards)) == number}
            if not mine.items() <= at.projects.items() or not at.projects_version:
                at.projects, at.projects_version = at.projects | mine, version

    def adopt(
        self, shard: int, generation: str, topic: str, topic_id: str, moves: Sequence[Move], gaps: dict[str, str]
    ) -> bool:
        """Take a topic as it is now, each row from what stands there. False where the ledger has moved meanwhile."""
        if not isinstance(self.apply(shard, generation, Delta(list(moves))), Applied):
            return False
        at = self.shards[shard]
        at.manifests[generation][0][topic] = topic_id
        at.gaps |= gaps
        return True

    def snapshot(self) -> list[Shard]:
        return copy.deepcopy(self.shards)

    def restore(self, shards: list[Shard]) -> None:
        self.shards = copy.deepcopy(shards)
        for number in range(len(shards)):
            self._publish(Hint(number, None))

    def empty(self, shard: int) -> None:
        self.shards[shard] = Shard()

    # the workers' side -----------------------------------------------------------------------------------------

    def state(self, shard: int) -> ShardState | None:
        self._require()
        at = self.shards[shard]
        if not at.generation:
            return None
        topics, starts = at.manifests[at.generation]
        return ShardState(
            generation=at.generation,
            schema=SCHEMA,
            shards=at.shards,
            topics=dict(topics),
            starts=dict(starts),
            ledger=dict(at.totals.ledger),
            torn=bool(at.totals.inflight),
            projects_version=at.projects_version,
            projects=dict(at.projects),
        )

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        self._require()
        at = self.shards[shard]
        totals = at.totals
        if totals.inflight:
            return Torn(totals.inflight)
        if at.generation != generation or any(totals.ledger.get(m.place, "") != m.after for m in delta.moves):
            return Moved(at.generation, {m.place: totals.ledger.get(m.place, "") for m in delta.moves})
        conflict = _conflict(at, delta)
        if conflict is not None:
            return conflict
        self._write(totals, delta)
        self._publish(Hint(shard, frozenset(k.project for k in delta.cells)))
        return Applied()

    def blocks(self, shard: int, generation: str, names: Sequence[str]) -> list[bytes]:
        self._require()
        stored = self._generation(shard, generation).blocks
        return [stored.get(name, b"") for name in names]

    def persons(self, shard: int, generation: str, keys: Sequence[tuple[str, bytes]]) -> list[bytes]:
        self._require()
        stored = self._generation(shard, generation).persons
        return [stored.get(key, b"") for key in keys]

    def set_stop(self, shard: int, what: str, reason: str) -> None:
        self._require()
        if reason:
            self.shards[shard].stops[what] = reason
        else:
            self.shards[shard].stops.pop(what, None)

    # the readers' side -----------------------------------------------------------------------------------------

    async def read(self, project: str, reads: Sequence[Read]) -> Snapshot:
        self._require()
        shard = shard_of(project, len(self.shards))
        at = self.shards[shard]
        if not at.generation:
            raise Stopped("shard", "no_manifest", "Run `rta rebuild`.")
        if project not in at.projects:
            raise UnknownThing(f"There is no project {project!r}.")
        return Snapshot(
            generation=at.generation,
            topics=dict(at.manifests[at.generation][0]),
            ledger={p: read_row(text) for p, text in at.totals.ledger.items()},
            stops=dict(at.stops),
            torn=bool(at.totals.inflight),
            project=at.projects[project],
            answers=tuple(_answer(at.totals, project, read) for read in reads),
            inexact=tuple(sorted(at.totals.inexact)),
            shard=shard,
            starts=dict(at.manifests[at.generation][1]),
        )

    async def hints(self) -> AsyncIterator[Hint]:
        queue: asyncio.Queue[Hint] = asyncio.Queue(maxsize=1_000)
        self._listeners.append(queue)
        try:
            for number in range(len(self.shards)):
                yield Hint(number, None)
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    # inside ----------------------------------------------------------------------------------------------------

    def _require(self) -> None:
        if self.is_away:
            raise Unavailable("redis", "it is away")

    def _generation(self, shard: int, generation: str) -> Totals:
        return self.shards[shard].generations.get(generation, Totals())

    def _publish(self, hint: Hint) -> None:
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait(hint)

    def _write(self, totals: Totals, delta: Delta) -> None:
        for key, fields in delta.cells.items():
            _increment_cells(totals, key, fields)
        for sketch, members in delta.sketches.items():
            _add_members(totals, sketch, members)
        for project, seen in delta.online.items():
            newest = totals.online.setdefault(project, {})
            for person, at in seen.items():
                newest[person] = max(at, newest.get(person, 0))
        for block in delta.blocks:
            _write_block(totals, block)
        for person_write in delta.persons:
            at_key = (person_write.project, person_write.person)
            totals.persons.pop(at_key, None)
            if person_write.value:
                totals.persons[at_key] = person_write.token + person_write.value
        totals.dead |= delta.dead
        for origin in delta.replayed:
            totals.dead.pop(origin, None)
        for field, n in delta.counts.items():
            totals.counts[field] = totals.counts.get(field, 0) + n
        for piece, before in delta.expired_blocks.items():
            _forget_blocks(totals, piece, before)
        for origin in [o for o, at in totals.dead.items() if at < delta.dead_before_ms]:
            del totals.dead[origin]
        totals.ledger |= {move.place: move.upto for move in delta.moves}


def _conflict(at: Shard, delta: Delta) -> Conflicted | None:
    totals = at.totals
    found = Conflicted(
        blocks=[b.name for b in delta.blocks if totals.blocks.get(b.name, b"")[:8] != b.expected],
        persons=[
            (p.project, p.person)
            for p in delta.persons
            if totals.persons.get((p.project, p.person), b"")[:8] != p.expected
        ],
        replayed=[origin for origin in delta.replayed if origin not in totals.dead],
        projects=delta.projects_version not in (None, at.projects_version),
    )
    return found if found.blocks or found.persons or found.replayed or found.projects else None


def _increment_cells(totals: Totals, key: CellsKey, fields: dict[str, int]) -> None:
    bucket = totals.cells.setdefault(key, {})
    for name, n in fields.items():
        measure, separator, _ = name.partition(SEPARATOR)
        field = name
        if separator and name not in bucket and len(bucket) >= FIELDS_PER_BUCKET_MAX:
            field = measure + SEPARATOR + OTHER
        total = bucket.get(field, 0) + n
        if -OVERFLOW <= total < OVERFLOW:
            bucket[field] = total
        else:
            totals.inexact.add(f"c:{layout.cells(key)} {field}")


def _add_members(totals: Totals, key: SketchKey, members: set[bytes]) -> None:
    if key.dimension and key not in totals.sketches and len(totals.sketches) >= SKETCHES_PER_BUCKET_MAX:
        siblings = [k for k in totals.sketches if k[:4] == key[:4]]
        if len(siblings) >= SKETCHES_PER_BUCKET_MAX:
            return
    totals.sketches.setdefault(key, set()).update(members)


def _write_block(totals: Totals, block: BlockWrite) -> None:
    if not block.ids:
        return
    kept = b"" if block.replace else totals.blocks.get(block.name, b"")[16:]
    totals.blocks[block.name] = block.token + block.last_write_ms.to_bytes(8, "big") + kept + block.ids


def _forget_blocks(totals: Totals, piece: str, before: int) -> None:
    old = [name for name, stored in totals.blocks.items() if int.from_bytes(stored[8:16], "big") <= before]
    for name in old:
        if layout.slice_of_block(name) == piece:
            del totals.blocks[name]


def _answer(totals: Totals, project: str, read: Read) -> Any:
    match read:
        case Cells(rollup, kind, starts, fields):
            buckets = [totals.cells.get(CellsKey(project, rollup, kind, start), {}) for start in starts]
            return [dict(b) if fields is None else {f: b[f] for f in fields if f in b} for b in buckets]
        case Persons():
            return len(_union(totals, project, read))
        case PersonValues(buckets, dimension):
            wanted = {(project, kind, start, dimension) for kind, start in buckets}
            return sorted({key.value for key in totals.sketches if key[:4] in wanted})
        case OnlineSince(since_ms):
            return sum(at >= since_ms for at in totals.online.get(project, {}).values())


def _union(totals: Totals, project: str, read: Persons) -> set[bytes]:
    keys = [SketchKey(project, *bucket, read.dimension, value) for bucket in read.buckets for value in read.values]
    return set().union(*(totals.sketches.get(key, set()) for key in keys))
