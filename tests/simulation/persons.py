"""A small stand-in for what is kept of persons: when one was first and last seen, and how often.

It exercises what any such fold does. A value is a function of the set of the person's events; all partitions share it;
each event of a known person changes it, so that workers meet; what follows from it is taken back and added again
(a person who is first seen on another day, or once more, moves from one cell to another), so that a value out of date
cannot go unnoticed. The truth beside it follows from the oracle's events, in code of its own.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind, bucket_starts
from rtaplatform.process.fold.decode_run import DecodedRecord
from rtaplatform.process.fold.job import EcommerceJob
from rtaplatform.process.fold.person_state import TOKEN_BYTES, PersonKey, PersonStates
from rtaplatform.simulate.oracle.oracle import Oracle
from rtaplatform.simulate.oracle.oracle_calendar import bucket_starts as starts_by_the_oracle
from rtaplatform.simulate.oracle.oracle_event import OracleEvent
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import CellsKey
from tests.comparison import CellName

ROLLUP = "people"
VALUE = struct.Struct(">QQI")  # first seen, last seen, how often
Values = Counter[tuple[str, bytes]]  # project, value → how many persons have it


class Acquaintances:
    """A `PersonFold`. Bots are nobody's acquaintance."""

    def persons_of(self, records: Sequence[DecodedRecord]) -> Iterable[PersonKey]:
        events = (record.event for record in records)
        return [(event.project, event.person) for event in events if event is not None and not event.is_bot]

    def pointed_at(self, _key: PersonKey, _value: bytes) -> Iterable[PersonKey]:
        return ()

    def begin(self, projects: Mapping[str, ProjectSettings], persons: PersonStates) -> AcquaintanceBatch:
        return AcquaintanceBatch(projects, persons)


class AcquaintanceBatch:
    """One batch of them. Each event changes a value at once."""

    notes: Mapping[tuple[str, str], int] = MappingProxyType({})

    def __init__(self, projects: Mapping[str, ProjectSettings], persons: PersonStates) -> None:
        self._projects, self._persons = projects, persons

    def settle(self) -> None:
        """Persons are counted under the ids of their events."""

    def add(self, record: DecodedRecord) -> None:
        event, persons = record.event, self._persons
        assert event is not None
        if event.is_bot:
            return
        key, project = (event.project, event.person), self._projects[event.project]
        before = persons[key]
        first, last, times = VALUE.unpack(before) if before else (event.time_ms, event.time_ms, 0)
        after = VALUE.pack(min(first, event.time_ms), max(last, event.time_ms), times + 1)
        if before:
            persons.count(_cell(project, before), _field(before), -1)
        persons.count(_cell(project, after), _field(after), 1)
        persons[key] = after


def acquainted() -> EcommerceJob:
    """Everything that the platform counts, and this."""
    return EcommerceJob(Acquaintances())


def _cell(project: ProjectSettings, value: bytes) -> CellsKey:
    first, _last, _times = VALUE.unpack(value)
    return CellsKey(project.slug, ROLLUP, BucketKind.DAY, bucket_starts(first // MINUTE_MS, project.zone).day)


def _field(value: bytes) -> str:
    return f"seen {VALUE.unpack(value)[2]} times"


class Witness(Oracle):
    """The oracle, which also writes down when each person was seen."""

    def __init__(self, projects: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__(projects)
        self.zones = {slug: rules["zone"] for slug, rules in projects.items()}
        self.seen: dict[tuple[str, tuple[str, str]], list[int]] = defaultdict(list)

    def _kept_buckets(self, event: OracleEvent, project: str, now: int) -> list[tuple[str, int]]:
        buckets = super()._kept_buckets(event, project, now)
        if buckets and not any(mark.startswith("bot:") for mark in event.marks):
            self.seen[(project, event.person)].append(event.time)
        return buckets

    def values(self) -> Values:
        return Counter(
            (project, VALUE.pack(min(times), max(times), len(times))) for (project, _), times in self.seen.items()
        )

    def cells(self) -> dict[CellName, dict[str, int]]:
        cells: dict[CellName, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for (project, _person), times in self.seen.items():
            start = starts_by_the_oracle(min(times), self.zones[project])["day"]
            cells[(project, ROLLUP, "d", start)][f"seen {len(times)} times"] += 1
        return cells


def values_in(store: MemoryStore) -> Values:
    """How many persons have which value."""
    stored = ((project, value) for shard in store.shards for (project, _), value in shard.totals.persons.items())
    return Counter((project, value[TOKEN_BYTES:]) for project, value in stored)


def differing(found: Values, wanted: Values) -> list[str]:
    """Each value that too many or too few persons have, as a line."""
    return [
        f"persons of {of[0]} with {VALUE.unpack(of[1])}: {found[of]} instead of {wanted[of]}"
        for of in sorted(found.keys() | wanted.keys())
        if found[of] != wanted[of]
    ]
