"""What the server in memory holds of a shard, and how a batch is compared with it and written.   Stage 4 of 6."""

from __future__ import annotations

from collections.abc import Sequence

from rtaplatform.core.caps import Caps
from rtaplatform.core.ledger import PartitionId, next_offset
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.store.memory.memory_cells import add_members, increment_cells
from rtaplatform.store.memory.memory_ids import write_ids
from rtaplatform.store.memory.memory_totals import MemoryTotals
from rtaplatform.store.port import (
    Conflicted,
    Delta,
    LooseWrite,
)


class MemoryShard:
    """All that a shard holds. Generations are kept apart, as in Redis."""

    def __init__(self) -> None:
        self.generation = ""
        self.building = ""
        self.retired: set[str] = set()  # kept for good: only cleaning would look at when they may go
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


def places_behind(at: MemoryShard, new: MemoryTotals, gone: dict[PartitionId, str]) -> list[PartitionId]:
    """Places where the generation that is read has counted more; not those of topics that the new one does not know."""
    topics, starts = at.manifests[at.building]
    return [
        place
        for place, row in at.totals.ledger.items()
        if place.topic_id in topics.values()
        and gone.get(place) != row
        and next_offset(row) > (next_offset(new.ledger[place]) if place in new.ledger else starts.get(place, 0))
    ]


def forget_persons(totals: MemoryTotals, project: str, persons: Sequence[bytes]) -> None:
    for person in persons:
        totals.online.get(project, {}).pop(person, None)
        totals.persons.pop((project, person), None)


def conflict_of(at: MemoryShard, totals: MemoryTotals, delta: Delta) -> Conflicted | None:
    found = Conflicted(
        blocks=[b.name for b in delta.blocks if totals.blocks.get(b.name, b"")[:8] != b.expected],
        persons=[
            (p.project, p.person)
            for p in delta.persons
            if totals.persons.get((p.project, p.person), b"")[:8] != p.expected
        ],
        replayed=[origin for origin in delta.replayed if origin not in totals.dead],
        projects=delta.projects_version not in (None, at.projects_version),
        loose=[w.name for w in delta.loose if _differs(totals.loose.get(w.name, {}), w)],
    )
    return found if found.blocks or found.persons or found.replayed or found.projects or found.loose else None


def _differs(stored: dict[bytes, int], write: LooseWrite) -> bool:
    return [stored.get(each, -1) for each in write.ids] != write.expected_ms


def write_batch(totals: MemoryTotals, delta: Delta, caps: Caps) -> None:
    for key, fields in delta.cells.items():
        increment_cells(totals, key, fields, caps)
    for sketch, members in delta.sketches.items():
        add_members(totals, sketch, members, caps)
    for project, seen in delta.online.items():
        newest = totals.online.setdefault(project, {})
        for person, at in seen.items():
            newest[person] = max(at, newest.get(person, 0))
    for project, left in delta.left_online.items():
        for person in left:
            totals.online.get(project, {}).pop(person, None)
    write_ids(totals, delta)
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
    for origin in [o for o, at in totals.dead.items() if at < delta.dead_before_ms]:
        del totals.dead[origin]
    totals.ledger |= {move.place: move.upto for move in delta.moves}
