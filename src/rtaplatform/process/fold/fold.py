"""Fold a batch of events into deltas.   Stage 3 of 6: stream → [process] → store.

Pure: no clock, no IO; what was seen before has been fetched. Increments merge in
any order, so splitting a batch cannot change a total. Every decision uses stream time, which is a
function of the log alone. Each record becomes exactly one of applied, duplicate, late, dead.

On the way of each event stand as few steps as can be: events that are alike are counted together first
(`Minute`), and only what differs is spread over rollups and buckets.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from rtaplatform.core.events import Outcome
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import ACTIVITY, BOT_PREFIX, EVENTS, PRODUCTS, QUALITY
from rtaplatform.core.time.buckets import (
    EXPIRY_SLACK_MS,
    MINUTE_MS,
    PRODUCT_SKETCHES_OF_HOURS_MS,
    RETENTION_MS,
    BucketKind,
    BucketStarts,
    bucket_starts,
    expires_at_s,
)
from rtaplatform.process.decode.commerce import NOTHING, EventCommerce
from rtaplatform.process.decode.fast import DecodedEvent, EventDimensions
from rtaplatform.process.fold.decode_run import (
    DecodedRecord,
)
from rtaplatform.process.fold.dedup import RepeatFilter
from rtaplatform.store.port import CellsKey, Delta, SketchKey
from rtaplatform.stream.port import DeadLetter

MINUTES_KEPT_MS, HOURS_KEPT_MS, DAYS_KEPT_MS = (RETENTION_MS[kind] for kind in BucketKind)
NEW_MS = MINUTES_KEPT_MS - MINUTE_MS  # whatever is younger has its minute's bucket, whichever its place in the minute
# Levels of retention: how many of day, hour and minute are kept.
ALL, HOUR, HOUR_WITHOUT_PRODUCTS = 4, 3, 2
KINDS_KEPT = (0, 1, 2, 2, 3)


class Minute(Struct):
    """What a batch holds of one project, minute and level of retention, before it is spread over rollups and buckets.

    `tally`: how many events are alike, by what is the same object for all of them. Persons: those that are no bots.
    """

    tally: dict[tuple[EventDimensions, EventCommerce], int]
    by_source: dict[str, set[bytes]]
    by_product: dict[str, set[bytes]]


class EventFold:
    """The sums of one batch in one shard. `add` the records of each partition in order, then `delta`."""

    def __init__(self, projects: Mapping[str, ProjectSettings], seen: RepeatFilter, server_s: int = 0) -> None:
        self._projects, self._server_s = projects, server_s
        self._old_ms = server_s * 1000 - MINUTES_KEPT_MS - EXPIRY_SLACK_MS[BucketKind.MINUTE] - MINUTE_MS
        self._seen = seen
        self._minutes: dict[tuple[str, int, int], Minute] = {}  # by project, minute, level
        self._outcomes: Counter[tuple[str, str, Outcome]] = Counter()  # (place, project, outcome), all but applied
        self._applied: Counter[tuple[str, str]] = Counter()  # (place, project)
        self._notes: Counter[tuple[str, str]] = Counter()  # (project, measure)
        self._quality: Counter[tuple[str, int, str]] = Counter()  # (project, minute of stream time, measure)
        self._online: dict[str, dict[bytes, int]] = {}
        self._dead: dict[str, int] = {}  # origin → stream time
        self.dead_letters: list[DeadLetter] = []

    def add(self, place: str, read: Sequence[DecodedRecord]) -> list[DecodedRecord]:
        """Returns those that do not count: repeats, late and dead ones."""
        applied: dict[str, int] = {}
        others: list[DecodedRecord] = []
        for each in read:
            event = each.event
            if event is None:
                self._add_dead_letter(place, each)
            elif event.is_checked and self._seen.is_repeat(each.where, event.id, each.stream_time_ms):
                self._add_other(place, event.project, Outcome.DUPLICATE, each.stream_time_ms)
            elif self._count(event, each.commerce, each.stream_time_ms):
                applied[event.project] = applied.get(event.project, 0) + 1
                continue
            else:
                self._add_other(place, event.project, Outcome.LATE, each.stream_time_ms)
            others.append(each)
        for project, n in applied.items():
            self._applied[(place, project)] += n
        return others

    def _add_dead_letter(self, place: str, read: DecodedRecord) -> None:
        assert read.dead is not None
        self.dead_letters.append(read.dead)
        self._dead[read.dead.origin] = read.stream_time_ms
        self._add_other(place, read.dead.project, Outcome.DEAD, read.stream_time_ms)

    def _add_other(self, place: str, project: str, outcome: Outcome, stream_time_ms: int) -> None:
        self._outcomes[(place, project, outcome)] += 1
        if project:
            self._quality[(project, stream_time_ms // MINUTE_MS, outcome)] += 1

    def _note(self, project: str, measure: str, stream_time_ms: int) -> None:
        self._quality[(project, stream_time_ms // MINUTE_MS, measure)] += 1
        self._notes[(project, measure)] += 1

    def _count(self, event: DecodedEvent, commerce: EventCommerce, stream_time_ms: int) -> bool:
        """False where it is late."""
        project, time_ms, dimensions = event.project, event.time_ms, event.dimensions
        if not event.is_checked:
            self._note(project, "unchecked", stream_time_ms)
        if event.is_time_unreadable:
            self._note(project, "unreadable_time", stream_time_ms)
        if commerce.has_unreadable:
            self._note(project, "unreadable_amount", stream_time_ms)
        minute, level = time_ms // MINUTE_MS, ALL
        if stream_time_ms - time_ms >= NEW_MS:
            level = _level(bucket_starts(minute, self._projects[project].zone), stream_time_ms)
            if level == 0:
                return False
        if time_ms < self._old_ms:
            minute, level = self._coarser(bucket_starts(minute, self._projects[project].zone), level)
        where = (project, minute, level)
        found = self._minutes.get(where)
        if found is None:
            found = self._minutes[where] = Minute({}, {}, {})
        alike, tally = (dimensions, commerce), found.tally
        tally[alike] = tally.get(alike, 0) + 1
        if not dimensions.is_bot:
            self._see(event, commerce, found)
        return True

    def _coarser(self, starts: BucketStarts, level: int) -> tuple[int, int]:
        """A minute and level for all events whose buckets of the store are the same: their minute is gone there."""
        if expires_at_s(BucketKind.HOUR, starts.hour) > self._server_s:
            return starts.hour, min(level, HOUR)
        return starts.day, 1

    def _see(self, event: DecodedEvent, commerce: EventCommerce, minute: Minute) -> None:
        person, source, time_ms = event.person, event.dimensions.source, event.time_ms
        persons = minute.by_source.get(source)
        if persons is None:
            persons = minute.by_source[source] = set()
        persons.add(person)
        for product in commerce.of_persons:
            persons = minute.by_product.get(product)
            if persons is None:
                persons = minute.by_product[product] = set()
            persons.add(person)
        online = self._online.get(event.project)
        if online is None:
            online = self._online[event.project] = {}
        if time_ms > online.get(person, -1):
            online[person] = time_ms

    def delta(self) -> Delta:
        """What the batch changes; positions and comparisons are the worker's to add."""
        cells: dict[CellsKey, dict[str, int]] = {}
        self._spread_tally(cells)
        self._spread_quality(cells)
        return Delta(
            moves=[],
            cells=cells,
            sketches=self._sketches(),
            online=self._online,
            blocks=self._seen.writes(),
            loose=self._seen.loose_writes(),
            dead=self._dead,
            counts=self._counts(),
        )

    def _counts(self) -> dict[str, int]:
        """For the law: by place and by project."""
        counts: Counter[str] = Counter({f"{project}|{measure}": n for (project, measure), n in self._notes.items()})
        applied = ((place, project, Outcome.APPLIED, n) for (place, project), n in self._applied.items())
        others = ((*key, n) for key, n in self._outcomes.items())
        for place, project, outcome, n in (*applied, *others):
            counts[f"{place}|consumed"] += n
            counts[f"{place}|{outcome}"] += n
            counts[f"{project}|{outcome}"] += n
        return dict(counts)

    def _buckets(self, project: str, minute: int, level: int) -> list[tuple[BucketKind, int]]:
        """Those that the store takes: it has let go of what its own clock has passed, and writes nothing there."""
        kept = _kept(bucket_starts(minute, self._projects[project].zone), level)
        return kept if self._server_s == 0 else [each for each in kept if expires_at_s(*each) > self._server_s]

    def _spread_tally(self, cells: dict[CellsKey, dict[str, int]]) -> None:
        """First what differs in dimensions, then what differs in products, each over its rollups."""
        for (project, minute, level), found in self._minutes.items():
            sums, products = _sums(found.tally), _products(found.tally)
            activity, events = _fields(sums)
            for kind, start in self._buckets(project, minute, level):
                _merge(cells, CellsKey(project, ACTIVITY.name, kind, start), activity)
                _merge(cells, CellsKey(project, EVENTS.name, kind, start), events)
                if products:
                    _merge(cells, CellsKey(project, PRODUCTS.name, kind, start), products)

    def _spread_quality(self, cells: dict[CellsKey, dict[str, int]]) -> None:
        for (project, minute, measure), n in self._quality.items():
            for kind, start in self._buckets(project, minute, ALL):
                _merge(cells, CellsKey(project, QUALITY.name, kind, start), {measure: n})

    def _sketches(self) -> dict[SketchKey, set[bytes]]:
        """All persons together by minute, hour and day; those of a source or product by hour and day."""
        parts: defaultdict[SketchKey, list[set[bytes]]] = defaultdict(list)
        for (project, minute, level), found in self._minutes.items():
            everybody = set[bytes]().union(*found.by_source.values())  # every event has a source
            for kind, start in self._buckets(project, minute, level) if everybody else ():
                parts[SketchKey(project, kind, start, "", "")].append(everybody)
                if kind is BucketKind.MINUTE:
                    continue
                for source, persons in found.by_source.items():
                    parts[SketchKey(project, kind, start, "source", source)].append(persons)
                if kind is BucketKind.DAY or level > HOUR_WITHOUT_PRODUCTS:
                    for product, persons in found.by_product.items():
                        parts[SketchKey(project, kind, start, "product_id", product)].append(persons)
        return {key: sets[0] if len(sets) == 1 else set[bytes]().union(*sets) for key, sets in parts.items()}


Tally = Mapping[tuple[EventDimensions, EventCommerce], int]


def _sums(tally: Tally) -> dict[EventDimensions, list[int]]:
    """Count, units, revenue, orders in other currencies: in the order of the rollup's measures."""
    found: dict[EventDimensions, list[int]] = {}
    for (dimensions, commerce), n in tally.items():
        sums = found.get(dimensions)
        if sums is None:
            sums = found[dimensions] = [0, 0, 0, 0]
        sums[0] += n
        if commerce is not NOTHING:
            sums[1] += commerce.units * n
            sums[2] += commerce.revenue * n
            sums[3] += commerce.other_currencies * n
    return found


def _fields(sums: Mapping[EventDimensions, Sequence[int]]) -> tuple[dict[str, int], dict[str, int]]:
    """The fields of the rollups `activity` and `events`: each measure's total, and by dimensions."""
    totals: dict[str, int] = {}
    activity: dict[str, int] = {}
    events: dict[str, int] = {}
    for total, dimensions, n in _measures(sums):
        totals[total] = totals.get(total, 0) + n
        short, long = total + dimensions.activity, total + dimensions.events
        activity[short] = activity.get(short, 0) + n
        events[long] = events.get(long, 0) + n
    return totals | activity, totals | events


def _measures(sums: Mapping[EventDimensions, Sequence[int]]) -> Iterator[tuple[str, EventDimensions, int]]:
    for dimensions, values in sums.items():
        names = BOT_MEASURES if dimensions.is_bot else EVENTS.measures
        for name, n in zip(names, values, strict=True):
            if n:
                yield name, dimensions, n


BOT_MEASURES = tuple(BOT_PREFIX + measure for measure in EVENTS.measures)


def _products(tally: Tally) -> dict[str, int]:
    """The fields of the rollup `products`: each measure's total, and by product."""
    fields: dict[str, int] = {}
    for (dimensions, commerce), n in tally.items():
        for total, single, each in commerce.fields:
            if dimensions.is_bot:
                total, single = BOT_PREFIX + total, BOT_PREFIX + single
            fields[total] = fields.get(total, 0) + each * n
            fields[single] = fields.get(single, 0) + each * n
        if commerce.shared:
            shared = BOT_PREFIX + commerce.shared if dimensions.is_bot else commerce.shared
            fields[shared] = fields.get(shared, 0) + n
    return fields


def _merge(cells: dict[CellsKey, dict[str, int]], key: CellsKey, fields: Mapping[str, int]) -> None:
    bucket = cells.get(key)
    if bucket is None:
        cells[key] = dict(fields)
        return
    for name, n in fields.items():
        bucket[name] = bucket.get(name, 0) + n


def _level(starts: BucketStarts, stream_time_ms: int) -> int:
    """What is kept at that stream time: ALL, hour and day, these without the hour's sketches by product, 1: the day."""
    if starts.minute * MINUTE_MS + MINUTES_KEPT_MS > stream_time_ms:
        return ALL
    if starts.hour * MINUTE_MS + PRODUCT_SKETCHES_OF_HOURS_MS > stream_time_ms:
        return HOUR
    if starts.hour * MINUTE_MS + HOURS_KEPT_MS > stream_time_ms:
        return HOUR_WITHOUT_PRODUCTS
    return 1 if starts.day * MINUTE_MS + DAYS_KEPT_MS > stream_time_ms else 0


def _kept(starts: BucketStarts, level: int) -> list[tuple[BucketKind, int]]:
    kinds = [(BucketKind.DAY, starts.day), (BucketKind.HOUR, starts.hour), (BucketKind.MINUTE, starts.minute)]
    return kinds[: KINDS_KEPT[level]]
