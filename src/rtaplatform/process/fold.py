"""Fold a batch of events into deltas.   Stage 3 of 6: stream → [process] → store.

Pure: no clock, no IO; what was seen before is read from blocks that were fetched. Increments merge in
any order, so splitting a batch cannot change a total. Every decision uses record time, which is a
function of the log alone. Each record becomes exactly one of applied, duplicate, late, dead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from rtaplatform.core.buckets import MINUTE_MS, RETENTION_MS, Kind, Starts, bucket_starts
from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import COMMERCE_EVENTS, EVENT_TOPICS, FUTURE_MS_MAX, Outcome, Reason
from rtaplatform.core.murmur2 import bucket_of
from rtaplatform.core.rollups import ACTIVITY, BOT_PREFIX, EVENTS, PRODUCTS, QUALITY, field
from rtaplatform.process.careful import project_of
from rtaplatform.process.commerce import PERSONS_BY_PRODUCT, Commerce, read_commerce
from rtaplatform.process.decode import Event, read_event
from rtaplatform.process.dedup import Seen, block_names
from rtaplatform.store.port import DEDUP_SLICES, CellsKey, Delta, Project, SketchKey, shard_of
from rtaplatform.stream.port import DeadLetter, Record

MINUTES_KEPT_MS, HOURS_KEPT_MS, DAYS_KEPT_MS = (RETENTION_MS[kind] for kind in Kind)
BEFORE_PROJECT = frozenset(list(Reason)[: list(Reason).index(Reason.UNKNOWN_PROJECT)])
NO_NAMES: list[str] = []


class Understood(Struct, gc=False):
    """A record, read: its event or why there is none, the record time at it, and where its id may be found.

    `shard` counts it: that of the project it names, known or not; the first for those that name none.
    """

    shard: int
    record: Record
    record_ms: int
    event: Event | None
    commerce: Commerce | None
    dead: DeadLetter | None
    blocks: list[str]


def understand(
    records: Iterable[Record], record_ms: int, projects: Mapping[str, Project], shards: int
) -> list[Understood]:
    """Read the records of one partition, in order; `record_ms` is the record time before the first of them."""
    understood = []
    for record in records:
        record_ms = max(record_ms, record.timestamp_ms)
        try:
            understood.append(_understand(record, record_ms, projects, shards))
        except Quarantined as why:
            understood.append(_set_aside(record, record_ms, why, projects, shards))
    return understood


def _understand(record: Record, record_ms: int, projects: Mapping[str, Project], shards: int) -> Understood:
    topic = record.partition.topic
    event = read_event(
        record.value,
        topic_source=EVENT_TOPICS[topic],
        record_ms=record.timestamp_ms if record.timestamp_ms >= 0 else record_ms,
        was_collected=record.was_collected,
    )
    project = projects.get(event.project)
    if project is None:
        raise Quarantined(Reason.UNKNOWN_PROJECT, "There is no project of that projectId.")
    commerce = read_commerce(event.name, event.properties, project.currency) if event.name in COMMERCE_EVENTS else None
    if event.time_ms > record_ms + FUTURE_MS_MAX:
        raise Quarantined(Reason.TIME_IN_FUTURE, "The event's time is more than 5 minutes ahead of the record's.")
    names = NO_NAMES
    if event.is_checked:
        piece = bucket_of(record.key, DEDUP_SLICES)
        names = block_names(event.project, topic, piece, event.own_ms, record_ms)
    return Understood(shard_of(event.project, shards), record, record_ms, event, commerce, None, names)


def _set_aside(
    record: Record, record_ms: int, why: Quarantined, projects: Mapping[str, Project], shards: int
) -> Understood:
    project = "" if why.reason in BEFORE_PROJECT else project_of(record.value)
    shard = shard_of(project, shards) if project else 0
    if not project or project in projects:
        letter = DeadLetter(record, project, why.reason, why.detail)
    else:
        letter = DeadLetter(record, "", Reason.UNKNOWN_PROJECT, "There is no project of that projectId.")
    return Understood(shard, record, record_ms, None, None, letter, NO_NAMES)


class Fold:
    """The sums of one batch in one shard. `add` each record in order, then `delta`."""

    def __init__(self, projects: Mapping[str, Project], seen: Seen) -> None:
        self._projects = projects
        self._seen = seen
        self._outcomes: Counter[tuple[str, str, str]] = Counter()  # (place, project, outcome)
        self._notes: Counter[tuple[str, str]] = Counter()  # (project, measure)
        self._quality: Counter[tuple[str, int, str]] = Counter()  # (project, minute of record time, measure)
        self._events: dict[tuple[str, int, int, str, str, str, str, str], list[int]] = {}
        self._products: Counter[tuple[str, int, int, str, str, str]] = Counter()
        self._persons: dict[tuple[str, int, int, str, str], set[bytes]] = {}
        self._online: dict[str, dict[bytes, int]] = {}
        self._dead: dict[str, int] = {}  # origin → record time
        self.letters: list[DeadLetter] = []

    def add(self, place: str, read: Understood) -> Outcome:
        """Take a record, and say what has become of it."""
        outcome, project = self._outcome(read)
        self._outcomes[(place, project, outcome)] += 1
        if outcome is not Outcome.APPLIED and project:
            self._quality[(project, read.record_ms // MINUTE_MS, outcome)] += 1
        return outcome

    def _outcome(self, read: Understood) -> tuple[Outcome, str]:
        event = read.event
        if event is None:
            assert read.dead is not None
            self.letters.append(read.dead)
            self._dead[read.dead.origin] = read.record_ms
            return Outcome.DEAD, read.dead.project
        if not event.is_checked:
            self._note(event.project, "unchecked", read.record_ms)
        elif self._seen.is_repeat(read.blocks, event.id, read.record_ms):
            return Outcome.DUPLICATE, event.project
        if event.is_time_unreadable:
            self._note(event.project, "unreadable_time", read.record_ms)
        minute = event.time_ms // MINUTE_MS
        level = _level(bucket_starts(minute, self._projects[event.project].zone), read.record_ms)
        if level == 0:
            return Outcome.LATE, event.project
        self._count(event, read.commerce, minute, level)
        return Outcome.APPLIED, event.project

    def _note(self, project: str, measure: str, record_ms: int) -> None:
        self._quality[(project, record_ms // MINUTE_MS, measure)] += 1
        self._notes[(project, measure)] += 1

    def _count(self, event: Event, commerce: Commerce | None, minute: int, level: int) -> None:
        project, bot = event.project, BOT_PREFIX if event.is_bot else ""
        key = (project, minute, level, bot, event.name, event.source, event.country, event.device)
        sums = self._events.get(key)
        if sums is None:
            sums = self._events[key] = [0, 0, 0, 0]
        sums[0] += 1
        if commerce is not None:
            sums[1] += commerce.units
            sums[2] += commerce.revenue
            sums[3] += commerce.other_currencies
            for product, measures in commerce.products.items():
                for measure, n in measures.items():
                    self._products[(project, minute, level, bot, product, measure)] += n
        if not bot:
            self._see(event, commerce, minute, level)

    def _see(self, event: Event, commerce: Commerce | None, minute: int, level: int) -> None:
        project, person = event.project, event.person
        self._person(project, minute, level, "source", event.source, person)
        if commerce is not None and event.name in PERSONS_BY_PRODUCT:
            for product in commerce.products:
                self._person(project, minute, level, "product_id", product, person)
        online = self._online.setdefault(project, {})
        if event.time_ms > online.get(person, -1):
            online[person] = event.time_ms

    def _person(self, project: str, minute: int, level: int, dimension: str, value: str, person: bytes) -> None:
        key = (project, minute, level, dimension, value)
        persons = self._persons.get(key)
        if persons is None:
            persons = self._persons[key] = set()
        persons.add(person)

    def delta(self) -> Delta:
        """What the batch changes; positions and comparisons are the worker's to add."""
        cells: dict[CellsKey, dict[str, int]] = {}
        self._spread_events(cells)
        self._spread_products(cells)
        self._spread_quality(cells)
        return Delta(
            moves=[],
            cells=cells,
            sketches=self._sketches(),
            online=self._online,
            blocks=self._seen.writes(),
            dead=self._dead,
            counts=self._counts(),
        )

    def _counts(self) -> dict[str, int]:
        """For the law: by place and by project."""
        counts: Counter[str] = Counter({f"{project}|{measure}": n for (project, measure), n in self._notes.items()})
        for (place, project, outcome), n in self._outcomes.items():
            counts[f"{place}|consumed"] += n
            counts[f"{place}|{outcome}"] += n
            counts[f"{project}|{outcome}"] += n
        return dict(counts)

    def _buckets(self, project: str, minute: int, level: int) -> list[tuple[Kind, int]]:
        return _kept(bucket_starts(minute, self._projects[project].zone), level)

    def _spread_events(self, cells: dict[CellsKey, dict[str, int]]) -> None:
        for (project, minute, level, bot, name, source, country, device), sums in self._events.items():
            for measure, n in zip(EVENTS.measures, sums, strict=True):
                if not n:
                    continue
                total = bot + measure
                activity, events = field(total, name, source), field(total, name, source, country, device)
                for kind, start in self._buckets(project, minute, level):
                    _add(cells, CellsKey(project, ACTIVITY.name, kind, start), n, (total, activity))
                    _add(cells, CellsKey(project, EVENTS.name, kind, start), n, (total, events))

    def _spread_products(self, cells: dict[CellsKey, dict[str, int]]) -> None:
        for (project, minute, level, bot, product, measure), n in self._products.items():
            total = bot + measure
            for kind, start in self._buckets(project, minute, level):
                _add(cells, CellsKey(project, PRODUCTS.name, kind, start), n, (total, field(total, product)))

    def _spread_quality(self, cells: dict[CellsKey, dict[str, int]]) -> None:
        for (project, minute, measure), n in self._quality.items():
            for kind, start in self._buckets(project, minute, 3):
                _add(cells, CellsKey(project, QUALITY.name, kind, start), n, (measure,))

    def _sketches(self) -> dict[SketchKey, set[bytes]]:
        sketches: dict[SketchKey, set[bytes]] = {}
        for (project, minute, level, dimension, value), persons in self._persons.items():
            for kind, start in self._buckets(project, minute, level):
                if kind is not Kind.MINUTE:
                    sketches.setdefault(SketchKey(project, kind, start, dimension, value), set()).update(persons)
                if dimension == "source":  # every event has one, so all persons are the sources' together
                    sketches.setdefault(SketchKey(project, kind, start, "", ""), set()).update(persons)
        return sketches


def _add(cells: dict[CellsKey, dict[str, int]], key: CellsKey, n: int, fields: Sequence[str]) -> None:
    bucket = cells.get(key)
    if bucket is None:
        bucket = cells[key] = {}
    for name in fields:
        bucket[name] = bucket.get(name, 0) + n


def _level(starts: Starts, record_ms: int) -> int:
    """How many of the three buckets are kept at that record time: 3 all, 2 hour and day, 1 the day, 0 none."""
    if starts.minute * MINUTE_MS + MINUTES_KEPT_MS > record_ms:
        return 3
    if starts.hour * MINUTE_MS + HOURS_KEPT_MS > record_ms:
        return 2
    return 1 if starts.day * MINUTE_MS + DAYS_KEPT_MS > record_ms else 0


def _kept(starts: Starts, level: int) -> list[tuple[Kind, int]]:
    return [(Kind.DAY, starts.day), (Kind.HOUR, starts.hour), (Kind.MINUTE, starts.minute)][:level]
