"""The store in memory: the same promises as `store/redis/redis_store.py`, for simulations and unit tests.   Stage 4 of
6.

One object stands for a server; `snapshot` and `restore` take it back in time, as a server that lost its last
writes would. Sketches are exact sets. TTLs do nothing, since they decide nothing.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Sequence

from rtaplatform.core.caps import CAPS, Caps
from rtaplatform.core.errors import NotFound, Stopped, Unavailable
from rtaplatform.core.ledger import PartitionId, read_row
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.sharding import shard_of
from rtaplatform.store.memory.memory_shard import MemoryShard, conflict_of, forget_persons, places_behind, write_batch
from rtaplatform.store.memory.memory_totals import MemoryTotals, answer
from rtaplatform.store.port import (
    SCHEMA,
    Advance,
    Applied,
    Behind,
    ChangeNotification,
    Delta,
    ErasedKeys,
    LooseAsked,
    Moved,
    Outcome,
    Read,
    Replaced,
    ShardState,
    Snapshot,
    Switched,
    SwitchOutcome,
    Torn,
)


class MemoryStore:
    """Both sides of the port (`AggregateStore`, `AggregateReader`) over plain dicts."""

    def __init__(self, shards: int = 1, caps: Caps = CAPS) -> None:
        self.shards = [MemoryShard() for _ in range(shards)]
        self.caps = caps
        self.is_away = False
        self._listeners: list[asyncio.Queue[ChangeNotification]] = []

    # life cycle ------------------------------------------------------------------------------------------------

    def begin(
        self, shard: int, *, expected: str, generation: str, topics: dict[str, str], starts: dict[PartitionId, int]
    ) -> str:
        at = self.shards[shard]
        if at.generation == expected:
            at.generation, at.building, at.shards = generation, "", len(self.shards)
            at.manifests[generation] = (dict(topics), dict(starts))
            self._publish(ChangeNotification(shard, None))
        return at.generation

    def set_projects(self, projects: Sequence[ProjectSettings], version: str) -> None:
        for number, at in enumerate(self.shards):
            mine = {p.slug: p for p in projects if shard_of(p.slug, len(self.shards)) == number}
            known = ((mine[slug], project) for slug, project in at.projects.items() if slug in mine)
            if not at.projects_version or any(new.folding != old.folding for new, old in known):
                at.projects_version = version
            at.projects = at.projects | mine

    def adopt(
        self, shard: int, generation: str, topic: str, topic_id: str, moves: Sequence[Advance], gaps: dict[str, str]
    ) -> bool:
        """Take a topic as it is now, each row from what stands there. False where the ledger has moved meanwhile."""
        if not isinstance(self.apply(shard, generation, Delta(list(moves))), Applied):
            return False
        at = self.shards[shard]
        at.manifests[generation][0][topic] = topic_id
        at.gaps |= gaps
        return True

    def snapshot(self) -> list[MemoryShard]:
        return copy.deepcopy(self.shards)

    def restore(self, shards: list[MemoryShard]) -> None:
        self.shards = copy.deepcopy(shards)
        for number in range(len(shards)):
            self._publish(ChangeNotification(number, None))

    def empty(self, shard: int) -> None:
        self.shards[shard] = MemoryShard()

    # the workers' side -----------------------------------------------------------------------------------------

    def state(self, shard: int) -> ShardState | None:
        self._require()
        at = self.shards[shard]
        return self._state(shard, at.generation) if at.generation else None

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        self._require()
        outcome = self._apply(shard, self.shards[shard].generation, generation, delta)
        if isinstance(outcome, Applied):
            self._publish(ChangeNotification(shard, frozenset(k.project for k in delta.cells)))
        return outcome

    def blocks(self, shard: int, generation: str, names: Sequence[str]) -> list[bytes]:
        self._require()
        stored = self._generation(shard, generation).blocks
        return [stored.get(name, b"") for name in names]

    def loose_ids(self, shard: int, generation: str, asked: LooseAsked) -> list[list[int]]:
        self._require()
        stored = self._generation(shard, generation).loose
        return [[stored.get(name, {}).get(each, -1) for each in ids] for name, ids in asked]

    def persons(self, shard: int, generation: str, keys: Sequence[tuple[str, bytes]]) -> list[bytes]:
        self._require()
        stored = self._generation(shard, generation).persons
        return [stored.get(key, b"") for key in keys]

    def projects(self, shard: int, slugs: Sequence[str]) -> dict[str, ProjectSettings]:
        self._require()
        known = self.shards[shard].projects
        return {slug: known[slug] for slug in slugs if slug in known}

    def clock_s(self) -> int:
        return 0

    def stops(self, shard: int) -> dict[str, str]:
        self._require()
        return dict(self.shards[shard].stops)

    def set_stop(self, shard: int, what: str, reason: str) -> None:
        self._require()
        if reason:
            self.shards[shard].stops[what] = reason
        else:
            self.shards[shard].stops.pop(what, None)

    # a rebuild's side ------------------------------------------------------------------------------------------

    def building(self, shard: int) -> ShardState | None:
        self._require()
        name = self.shards[shard].building
        return self._state(shard, name) if name else None

    def begin_building(
        self, shard: int, *, expected: str, generation: str, topics: dict[str, str], starts: dict[PartitionId, int]
    ) -> str:
        self._require()
        at = self.shards[shard]
        if at.building == expected:
            at.retired |= {expected} - {""}
            at.building = generation
            at.manifests[generation] = (dict(topics), dict(starts))
        return at.building

    def build(self, shard: int, generation: str, delta: Delta) -> Outcome:
        self._require()
        return self._apply(shard, self.shards[shard].building, generation, delta)

    def erase(self, shard: int, generation: str, erasure: ErasedKeys) -> bool:
        self._require()
        at = self.shards[shard]
        if at.building != generation:
            return False
        totals = at.generations.setdefault(generation, MemoryTotals())
        if totals.control.get(erasure.place, 0) < erasure.upto:
            totals.control[erasure.place] = erasure.upto
            forget_persons(totals, erasure.project, erasure.persons)
        return True

    def switch(self, shard: int, *, expected: str, generation: str, gone: dict[PartitionId, str]) -> SwitchOutcome:
        self._require()
        at = self.shards[shard]
        if at.generation != expected or at.building != generation or not generation:
            return Replaced(at.generation, at.building)
        new = at.generations.setdefault(generation, MemoryTotals())
        if new.inflight:
            return Torn(new.inflight)
        behind = places_behind(at, new, gone)
        if behind:
            return Behind(behind)
        at.retired |= {at.generation} - {""}
        at.generation, at.building, at.shards = generation, "", len(self.shards)
        at.stops.clear()
        self._publish(ChangeNotification(shard, None))
        return Switched()

    def retired(self, shard: int) -> set[str]:
        self._require()
        return set(self.shards[shard].retired)

    def forget(self, project: str, persons: Sequence[bytes]) -> None:
        """Take persons out of what is kept of single ones, in every generation."""
        self._require()
        for totals in self.shards[shard_of(project, len(self.shards))].generations.values():
            forget_persons(totals, project, persons)

    # the readers' side -----------------------------------------------------------------------------------------

    async def read(self, project: str, reads: Sequence[Read]) -> Snapshot:
        self._require()
        shard = shard_of(project, len(self.shards))
        at = self.shards[shard]
        if not at.generation:
            raise Stopped("shard", "no_manifest", "Run `rta rebuild`.")
        if project not in at.projects:
            raise NotFound(f"There is no project {project!r}.")
        return Snapshot(
            generation=at.generation,
            topics=dict(at.manifests[at.generation][0]),
            ledger={p: read_row(text) for p, text in at.totals.ledger.items()},
            stops=dict(at.stops),
            torn=bool(at.totals.inflight),
            project=at.projects[project],
            answers=tuple(answer(at.totals, project, read) for read in reads),
            shard=shard,
            starts=dict(at.manifests[at.generation][1]),
        )

    async def change_notifications(self) -> AsyncIterator[ChangeNotification]:
        queue: asyncio.Queue[ChangeNotification] = asyncio.Queue(maxsize=1_000)
        self._listeners.append(queue)
        try:
            for number in range(len(self.shards)):
                yield ChangeNotification(number, None)
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    # inside ----------------------------------------------------------------------------------------------------

    def _require(self) -> None:
        if self.is_away:
            raise Unavailable("redis", "it is away")

    def _state(self, shard: int, generation: str) -> ShardState:
        at = self.shards[shard]
        totals, (topics, starts) = self._generation(shard, generation), at.manifests[generation]
        return ShardState(
            generation=generation,
            schema=SCHEMA,
            shards=len(self.shards),
            topics=dict(topics),
            starts=dict(starts),
            ledger=dict(totals.ledger),
            torn=bool(totals.inflight),
            projects_version=at.projects_version,
            projects=dict(at.projects),
        )

    def _apply(self, shard: int, current: str, generation: str, delta: Delta) -> Outcome:
        """To the generation `current` of the shard, where that is the one that the caller means."""
        at = self.shards[shard]
        totals = at.generations.setdefault(current, MemoryTotals())
        if totals.inflight:
            return Torn(totals.inflight)
        if not current or current != generation or any(totals.ledger.get(m.place, "") != m.after for m in delta.moves):
            return Moved(current, {m.place: totals.ledger.get(m.place, "") for m in delta.moves})
        conflict = conflict_of(at, totals, delta)
        if conflict is not None:
            return conflict
        self._write(totals, delta)
        return Applied()

    def _generation(self, shard: int, generation: str) -> MemoryTotals:
        return self.shards[shard].generations.get(generation, MemoryTotals())

    def _publish(self, notification: ChangeNotification) -> None:
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait(notification)

    def _write(self, totals: MemoryTotals, delta: Delta) -> None:
        write_batch(totals, delta, self.caps)
