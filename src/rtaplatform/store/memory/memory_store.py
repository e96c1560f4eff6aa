"""The store in memory, for simulations and unit tests.   Stage 4 of 6.   Same promises as `redis/redis_store.py`.

One object stands for one server. `snapshot` and `restore` take it back in time, like a server that lost its last
writes. Sketches are exact sets. Nothing expires, since no decision depends on expiry.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Sequence

from rtaplatform.core.caps import CAPS, Caps
from rtaplatform.core.errors import NotFound, Stopped, Unavailable
from rtaplatform.core.ledger import PartitionId, read_row
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.sharding import find_shard
from rtaplatform.store.memory.memory_shard import (
    MemoryShard,
    find_conflict,
    find_places_behind,
    forget_persons,
    write_batch,
)
from rtaplatform.store.memory.memory_totals import MemoryTotals, answer_read
from rtaplatform.store.port import (
    SCHEMA,
    Advance,
    Applied,
    Behind,
    ChangeNotification,
    Delta,
    ErasedKeys,
    LooseIdQuery,
    Moved,
    Outcome,
    Read,
    Replaced,
    ShardState,
    Snapshot,
    Switched,
    SwitchOutcome,
    Tombstone,
    Torn,
)


class MemoryStore:
    """`AggregateStore`, `GenerationStore` and `AggregateReader` over plain dicts."""

    def __init__(self, shards: int = 1, caps: Caps = CAPS) -> None:
        self.shards = [MemoryShard() for _ in range(shards)]
        self.caps = caps
        self.is_away = False
        self._listeners: list[asyncio.Queue[ChangeNotification]] = []

    # life cycle ------------------------------------------------------------------------------------------------

    def begin(
        self, shard: int, *, expected: str, generation: str, topics: dict[str, str], starts: dict[PartitionId, int]
    ) -> str:
        content = self.shards[shard]
        if content.generation == expected:
            content.generation, content.building, content.shards = generation, "", len(self.shards)
            content.manifests[generation] = (dict(topics), dict(starts))
            self._publish(ChangeNotification(shard, None))
        return content.generation

    def set_projects(self, projects: Sequence[ProjectSettings], version: str) -> None:
        for number, content in enumerate(self.shards):
            updates = {p.slug: p for p in projects if find_shard(p.slug, len(self.shards)) == number}
            pairs = ((updates[slug], project) for slug, project in content.projects.items() if slug in updates)
            if not content.projects_version or any(update.folding != project.folding for update, project in pairs):
                content.projects_version = version
            content.projects = content.projects | updates

    def adopt(
        self, shard: int, generation: str, topic: str, topic_id: str, moves: Sequence[Advance], gaps: dict[str, str]
    ) -> bool:
        """Accept a topic as it is now, and advance its rows. False if the ledger has moved meanwhile."""
        if not isinstance(self.apply(shard, generation, Delta(list(moves))), Applied):
            return False
        content = self.shards[shard]
        content.manifests[generation][0][topic] = topic_id
        content.gaps |= gaps
        return True

    def take_snapshot(self) -> list[MemoryShard]:
        return copy.deepcopy(self.shards)

    def restore(self, shards: list[MemoryShard]) -> None:
        self.shards = copy.deepcopy(shards)
        for number in range(len(shards)):
            self._publish(ChangeNotification(number, None))

    def empty(self, shard: int) -> None:
        self.shards[shard] = MemoryShard()

    # the workers' side -----------------------------------------------------------------------------------------

    def read_state(self, shard: int) -> ShardState | None:
        self._require_reachable()
        content = self.shards[shard]
        return self._read_state(shard, content.generation) if content.generation else None

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        self._require_reachable()
        outcome = self._apply(shard, self.shards[shard].generation, generation, delta)
        if isinstance(outcome, Applied):
            self._publish(ChangeNotification(shard, frozenset(k.project for k in delta.cells)))
        return outcome

    def read_blocks(self, shard: int, generation: str, names: Sequence[str]) -> list[bytes]:
        self._require_reachable()
        all_blocks = self._find_generation(shard, generation).blocks
        return [all_blocks.get(name, b"") for name in names]

    def read_loose_ids(self, shard: int, generation: str, query: LooseIdQuery) -> list[list[int]]:
        self._require_reachable()
        loose_ids = self._find_generation(shard, generation).loose
        return [[loose_ids.get(name, {}).get(loose_id, -1) for loose_id in ids] for name, ids in query]

    def read_persons(self, shard: int, generation: str, keys: Sequence[tuple[str, bytes]]) -> list[bytes]:
        self._require_reachable()
        values = self._find_generation(shard, generation).persons
        return [values.get(key, b"") for key in keys]

    def read_projects(self, shard: int, slugs: Sequence[str]) -> dict[str, ProjectSettings]:
        self._require_reachable()
        projects = self.shards[shard].projects
        return {slug: projects[slug] for slug in slugs if slug in projects}

    def read_clock_s(self) -> int:
        return 0

    def read_stops(self, shard: int) -> dict[str, str]:
        self._require_reachable()
        return dict(self.shards[shard].stops)

    def set_stop(self, shard: int, subject: str, reason: str) -> None:
        self._require_reachable()
        if reason:
            self.shards[shard].stops[subject] = reason
        else:
            self.shards[shard].stops.pop(subject, None)

    # the rebuilds' side -----------------------------------------------------------------------------------------

    def read_building(self, shard: int) -> ShardState | None:
        self._require_reachable()
        name = self.shards[shard].building
        return self._read_state(shard, name) if name else None

    def begin_building(
        self, shard: int, *, expected: str, generation: str, topics: dict[str, str], starts: dict[PartitionId, int]
    ) -> str:
        self._require_reachable()
        content = self.shards[shard]
        if content.building == expected:
            content.retired |= {expected} - {""}
            content.building, content.erasing = generation, []
            content.manifests[generation] = (dict(topics), dict(starts))
        return content.building

    def build(self, shard: int, generation: str, delta: Delta) -> Outcome:
        self._require_reachable()
        return self._apply(shard, self.shards[shard].building, generation, delta)

    def erase(self, shard: int, generation: str, erasure: ErasedKeys) -> bool:
        self._require_reachable()
        content = self.shards[shard]
        if content.building != generation:
            return False
        totals = content.generations.setdefault(generation, MemoryTotals())
        if totals.control.get(erasure.place, 0) < erasure.upto:
            totals.control[erasure.place] = erasure.upto
            forget_persons(totals, erasure.project, erasure.persons, erasure.tombstone)
        return True

    def switch(self, shard: int, *, expected: str, generation: str, lost: dict[PartitionId, str]) -> SwitchOutcome:
        self._require_reachable()
        content = self.shards[shard]
        if content.generation != expected or content.building != generation or not generation:
            return Replaced(content.generation, content.building)
        new_totals = content.generations.setdefault(generation, MemoryTotals())
        if new_totals.inflight:
            return Torn(new_totals.inflight)
        behind = find_places_behind(content, new_totals, lost)
        if behind:
            return Behind(behind)
        for erasure in content.erasing:
            forget_persons(new_totals, *erasure)
        content.erasing.clear()
        content.retired |= {content.generation} - {""}
        content.generation, content.building, content.shards = generation, "", len(self.shards)
        content.stops.clear()
        self._publish(ChangeNotification(shard, None))
        return Switched()

    def read_retired(self, shard: int) -> set[str]:
        self._require_reachable()
        return set(self.shards[shard].retired)

    def forget(self, project: str, persons: Sequence[bytes], tombstone: Tombstone) -> None:
        """Put tombstones in the place of these persons, in every generation; in one that is built, when it switches."""
        self._require_reachable()
        content = self.shards[find_shard(project, len(self.shards))]
        for name, totals in content.generations.items():
            if name == content.building:
                content.erasing.append((project, tuple(persons), tombstone))
            else:
                forget_persons(totals, project, persons, tombstone)

    # the readers' side -----------------------------------------------------------------------------------------

    async def read(self, project: str, reads: Sequence[Read]) -> Snapshot:
        self._require_reachable()
        shard = find_shard(project, len(self.shards))
        content = self.shards[shard]
        if not content.generation:
            raise Stopped("shard", "no_manifest", "Run `rta rebuild`.")
        if project not in content.projects:
            raise NotFound(f"There is no project {project!r}.")
        return Snapshot(
            generation=content.generation,
            topics=dict(content.manifests[content.generation][0]),
            ledger={p: read_row(text) for p, text in content.totals.ledger.items()},
            stops=dict(content.stops),
            torn=bool(content.totals.inflight),
            project=content.projects[project],
            answers=tuple(answer_read(content.totals, project, read) for read in reads),
            shard=shard,
            starts=dict(content.manifests[content.generation][1]),
        )

    async def follow_notifications(self) -> AsyncIterator[ChangeNotification]:
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

    def _require_reachable(self) -> None:
        if self.is_away:
            raise Unavailable("redis", "it is unavailable")

    def _read_state(self, shard: int, generation: str) -> ShardState:
        content = self.shards[shard]
        totals, (topics, starts) = self._find_generation(shard, generation), content.manifests[generation]
        return ShardState(
            generation=generation,
            schema=SCHEMA,
            shards=len(self.shards),
            topics=dict(topics),
            starts=dict(starts),
            ledger=dict(totals.ledger),
            torn=bool(totals.inflight),
            projects_version=content.projects_version,
            projects=dict(content.projects),
        )

    def _apply(self, shard: int, current: str, generation: str, delta: Delta) -> Outcome:
        """Apply to the shard's generation `current`, if the caller means that one."""
        content = self.shards[shard]
        totals = content.generations.setdefault(current, MemoryTotals())
        if totals.inflight:
            return Torn(totals.inflight)
        if (
            not current
            or current != generation
            or any(totals.ledger.get(m.place, "") != m.from_row for m in delta.moves)
        ):
            return Moved(current, {m.place: totals.ledger.get(m.place, "") for m in delta.moves})
        conflict = find_conflict(content, totals, delta)
        if conflict is not None:
            return conflict
        self._write(totals, delta)
        return Applied()

    def _find_generation(self, shard: int, generation: str) -> MemoryTotals:
        return self.shards[shard].generations.get(generation, MemoryTotals())

    def _publish(self, notification: ChangeNotification) -> None:
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait(notification)

    def _write(self, totals: MemoryTotals, delta: Delta) -> None:
        write_batch(totals, delta, self.caps)
