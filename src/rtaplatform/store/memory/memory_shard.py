"""A shard in memory: its content, and how a batch is compared with it and written.   Stage 4 of 6."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from rtaplatform.core.caps import Caps
from rtaplatform.core.ledger import PartitionId, read_next_offset
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.store.memory.memory_cells import add_members, increment_cells
from rtaplatform.store.memory.memory_ids import find_differing_orders, write_ids, write_orders
from rtaplatform.store.memory.memory_totals import MemoryTotals
from rtaplatform.store.port import (
    Conflicted,
    Delta,
    LooseWrite,
    Tombstone,
)


class MemoryShard:
    """The content of a shard. Each generation has totals of its own, as in Redis."""

    def __init__(self) -> None:
        self.generation = ""
        self.building = ""
        self.erasing: list[tuple[str, tuple[bytes, ...], Tombstone]] = []  # who was erased while it is built
        self.retired: set[str] = set()  # never deleted: nothing cleans up here
        self.shards = 1
        self.manifests: dict[str, tuple[dict[str, str], dict[PartitionId, int]]] = {}
        self.projects: dict[str, ProjectSettings] = {}
        self.projects_version = ""
        self.stops: dict[str, str] = {}
        self.gaps: dict[str, str] = {}
        self.ends: dict[str, int] = {}
        self.generations: dict[str, MemoryTotals] = {}

    @property
    def totals(self) -> MemoryTotals:
        return self.generations.setdefault(self.generation, MemoryTotals())


def find_places_behind(shard: MemoryShard, new_totals: MemoryTotals, lost: dict[PartitionId, str]) -> list[PartitionId]:
    """List partitions where the current generation has counted further, of topics that the new one counts."""
    topics, starts = shard.manifests[shard.building]
    return [
        place
        for place, row in shard.totals.ledger.items()
        if place.topic_id in topics.values()
        and lost.get(place) != row
        and read_next_offset(row)
        > (read_next_offset(new_totals.ledger[place]) if place in new_totals.ledger else starts.get(place, 0))
    ]


def forget_persons(totals: MemoryTotals, project: str, persons: Sequence[bytes], tombstone: Tombstone) -> None:
    """Put tombstones in the place of their values, and take them out of the online set."""
    online = totals.online.get(project, {})
    for person in persons:
        stored_value = totals.persons.get((project, person), b"")
        totals.persons[(project, person)] = secrets.token_bytes(8) + tombstone.value
        for name in {person, *(tombstone.list_other_ids(stored_value[8:]) if stored_value else ())}:
            online.pop(name, None)


def find_conflict(shard: MemoryShard, totals: MemoryTotals, delta: Delta) -> Conflicted | None:
    conflict = Conflicted(
        blocks=[b.name for b in delta.blocks if totals.blocks.get(b.name, b"")[:8] != b.expected],
        persons=[
            (p.project, p.person)
            for p in delta.persons
            if totals.persons.get((p.project, p.person), b"")[:8] != p.expected
        ],
        replayed=[origin for origin in delta.replayed if origin not in totals.dead],
        projects=delta.projects_version not in (None, shard.projects_version),
        loose=[w.name for w in delta.loose if _differs(totals.loose.get(w.name, {}), w)],
        orders=find_differing_orders(totals, delta),
    )
    parts = (conflict.blocks, conflict.persons, conflict.replayed, conflict.projects, conflict.loose, conflict.orders)
    return conflict if any(parts) else None


def _differs(times: dict[bytes, int], write: LooseWrite) -> bool:
    return [times.get(loose_id, -1) for loose_id in write.ids] != write.expected_ms


def write_batch(totals: MemoryTotals, delta: Delta, caps: Caps) -> None:
    for key, fields in delta.cells.items():
        increment_cells(totals, key, fields, caps)
    for sketch, members in delta.sketches.items():
        add_members(totals, sketch, members, caps)
    for project, event_times in delta.online.items():
        newest_ms = totals.online.setdefault(project, {})
        for person, event_ms in event_times.items():
            newest_ms[person] = max(event_ms, newest_ms.get(person, 0))
    for project, persons in delta.left_online.items():
        for person in persons:
            totals.online.get(project, {}).pop(person, None)
    write_ids(totals, delta)
    write_orders(totals, delta)
    for person_write in delta.persons:
        person_key = (person_write.project, person_write.person)
        totals.persons.pop(person_key, None)
        if person_write.value:
            totals.persons[person_key] = person_write.token + person_write.value
    totals.dead |= delta.dead
    for origin in delta.replayed:
        totals.dead.pop(origin, None)
    for field, n in delta.counts.items():
        totals.counts[field] = totals.counts.get(field, 0) + n
    for origin in [o for o, dead_ms in totals.dead.items() if dead_ms < delta.dead_before_ms]:
        del totals.dead[origin]
    totals.ledger |= {move.place: move.to_row for move in delta.moves}
