"""Fold a batch of events into a delta.   Stage 3 of 6: stream → [process] → store.

Pure: no clock, no IO; the ids that were seen before have been fetched. Increments merge in any order, so splitting a
batch cannot change a total. Every decision uses stream time, which depends on the log alone. Each record becomes
exactly one of applied, duplicate, late, dead.

The per-event path is kept as short as possible. Equal events are first counted together (`MinuteTally`), and only
their sums are spread over rollups and buckets.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from msgspec import Struct

from rtaplatform.core.events import RecordOutcome
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import (
    ACTIVITY,
    BOT_PREFIX,
    BUYERS,
    EVENTS,
    PRODUCTS,
    QUALITY,
    SALES,
)
from rtaplatform.core.time.buckets import (
    MINUTE_MS,
    BucketKind,
    BucketStarts,
    bucket_starts,
    expires_at_s,
)
from rtaplatform.process.decode.commerce import NOTHING, EventCommerce
from rtaplatform.process.decode.fast import DecodedEvent, EventDimensions
from rtaplatform.process.fold.decode_run import DecodedRecord
from rtaplatform.process.fold.dedup import RepeatFilter
from rtaplatform.process.fold.person_state import PersonNames, ids_in_minute
from rtaplatform.process.fold.persons_by_place import by_place, by_product
from rtaplatform.process.fold.retention_levels import (
    ALL,
    DAY,
    HOUR,
    HOUR_WITHOUT_PRODUCTS,
    NEW_MS,
    NONE,
    find_level,
    kept_buckets,
    minutes_in_store_from_ms,
)
from rtaplatform.process.fold.tally import activity_and_events, merge_fields, products_and_sales
from rtaplatform.store.port import CellsKey, Delta, SketchKey
from rtaplatform.stream.port import DeadLetter


class MinuteTally(Struct):
    """The events of one project, minute and level of retention, before they are spread over rollups and buckets.

    `counts`: how many events are equal; equal events share these two objects. Bots are in no set of persons. `buyers`:
    persons with an order. An event has all places in its dimensions, so it is added to one set for them.
    """

    counts: dict[tuple[EventDimensions, EventCommerce], int]
    persons: dict[EventDimensions, set[bytes]]
    persons_by_product: dict[str, set[bytes]]
    buyers: dict[EventDimensions, set[bytes]]
    buyers_by_product: dict[str, set[bytes]]


class EventFold:
    """The sums of one batch in one shard. `add` the records of each partition in order, then take the `delta`."""

    def __init__(self, projects: Mapping[str, ProjectSettings], repeats: RepeatFilter, server_s: int = 0) -> None:
        self._projects, self._server_s = projects, server_s
        self._minutes_from_ms = minutes_in_store_from_ms(server_s)
        self._repeats = repeats
        self._minutes: dict[tuple[str, int, int], MinuteTally] = {}  # by project, minute, level
        # By partition, project and outcome; applied records are counted apart.
        self._outcomes: Counter[tuple[str, str, RecordOutcome]] = Counter()
        self._applied: Counter[tuple[str, str]] = Counter()  # (place, project)
        self._notes: Counter[tuple[str, str]] = Counter()  # (project, measure)
        self._quality: Counter[tuple[str, int, str]] = Counter()  # (project, minute of stream time, measure)
        self._names = PersonNames()
        self._dead: dict[str, int] = {}  # origin → stream time
        self.dead_letters: list[DeadLetter] = []

    def add(self, place: str, records: Sequence[DecodedRecord]) -> list[DecodedRecord]:
        """Fold records of a partition (`topic id:number`). Returns those that do not count: duplicate, late, dead."""
        applied: dict[str, int] = {}
        uncounted: list[DecodedRecord] = []
        for record in records:
            event = record.event
            if event is None:
                self._add_dead_letter(place, record)
            elif event.is_checked and self._repeats.is_repeat(record.lookup, event.id, record.stream_time_ms):
                self._add_uncounted(place, event.project, RecordOutcome.DUPLICATE, record.stream_time_ms)
            elif self._count(event, record.commerce, record.stream_time_ms):
                applied[event.project] = applied.get(event.project, 0) + 1
                continue
            else:
                self._add_uncounted(place, event.project, RecordOutcome.LATE, record.stream_time_ms)
            uncounted.append(record)
        for project, n in applied.items():
            self._applied[(place, project)] += n
        return uncounted

    def _add_dead_letter(self, place: str, record: DecodedRecord) -> None:
        dead_letter = record.dead_letter
        assert dead_letter is not None
        self.dead_letters.append(dead_letter)
        self._dead[dead_letter.origin] = record.stream_time_ms
        self._add_uncounted(place, dead_letter.project, RecordOutcome.DEAD, record.stream_time_ms)

    def _add_uncounted(self, place: str, project: str, outcome: RecordOutcome, stream_time_ms: int) -> None:
        self._outcomes[(place, project, outcome)] += 1
        if project:
            self._quality[(project, stream_time_ms // MINUTE_MS, outcome)] += 1

    def _note(self, project: str, measure: str, stream_time_ms: int) -> None:
        self._quality[(project, stream_time_ms // MINUTE_MS, measure)] += 1
        self._notes[(project, measure)] += 1

    def _count(self, event: DecodedEvent, commerce: EventCommerce, stream_time_ms: int) -> bool:
        """Count the event; return False if it is late."""
        project, time_ms, dimensions = event.project, event.time_ms, event.dimensions
        if not event.is_checked:
            self._note(project, "unchecked", stream_time_ms)
        if event.is_time_unreadable:
            self._note(project, "unreadable_time", stream_time_ms)
        if commerce.has_unreadable:
            self._note(project, "unreadable_amount", stream_time_ms)
        minute, level = time_ms // MINUTE_MS, ALL
        if stream_time_ms - time_ms >= NEW_MS:
            level = find_level(bucket_starts(minute, self._projects[project].zone), stream_time_ms)
            if level == NONE:
                return False
        if time_ms < self._minutes_from_ms:
            starts = bucket_starts(minute, self._projects[project].zone)
            minute, level = _coarsen(starts, level, self._server_s)
        key = (project, minute, level)
        tally = self._minutes.get(key)
        if tally is None:
            tally = self._minutes[key] = MinuteTally({}, {}, {}, {}, {})
        is_repeat = commerce.order_id and self._is_repeated_order(event, commerce.order_id, stream_time_ms)
        counts, counts_key = tally.counts, (dimensions, NOTHING if is_repeat else commerce)
        counts[counts_key] = counts.get(counts_key, 0) + 1
        if not dimensions.is_bot:
            self._add_person(event, commerce, tally)
            if commerce.orders and not is_repeat:
                _add_buyer(event, commerce, tally)
        return True

    def _is_repeated_order(self, event: DecodedEvent, order_id: bytes, stream_time_ms: int) -> bool:
        """Whether the order was counted before; then it is noted. A bot's order takes none from a person."""
        project = event.project
        owner = BOT_PREFIX + project if event.dimensions.is_bot else project
        is_repeat = self._repeats.orders.is_repeat((owner, order_id), stream_time_ms)
        if is_repeat:
            self._note(project, "repeated_order", stream_time_ms)
        return is_repeat

    def _add_person(self, event: DecodedEvent, commerce: EventCommerce, tally: MinuteTally) -> None:
        person, dimensions, time_ms = event.person, event.dimensions, event.time_ms
        persons = tally.persons.get(dimensions)
        if persons is None:
            persons = tally.persons[dimensions] = set()
        persons.add(person)
        for product in commerce.person_products:
            persons = tally.persons_by_product.get(product)
            if persons is None:
                persons = tally.persons_by_product[product] = set()
            persons.add(person)
        online = self._names.online.get(event.project)
        if online is None:
            online = self._names.online[event.project] = {}
        if time_ms > online.get(person, -1):
            online[person] = time_ms

    def rename(self, names: PersonNames) -> None:
        """Count persons under these ids. The names alone say who is online."""
        self._names = names
        for (project, minute, _), tally in self._minutes.items():
            ids = ids_in_minute(names, project, minute)
            all_sets: tuple[dict[Any, set[bytes]], ...] = (
                tally.persons, tally.persons_by_product, tally.buyers, tally.buyers_by_product,
            )  # fmt: skip
            for sets in all_sets if ids else ():
                for value, persons in sets.items():
                    sets[value] = {ids.get(person, person) for person in persons}

    def delta(self) -> Delta:
        """What the batch adds. The worker adds positions and what else is compared."""
        cells: dict[CellsKey, dict[str, int]] = {}
        self._spread_events(cells)
        self._spread_quality(cells)
        return Delta(
            moves=[],
            cells=cells,
            sketches=self._sketches(),
            online=self._names.online,
            left_online=self._names.left_online,
            blocks=self._repeats.writes(),
            loose=self._repeats.loose_writes(),
            orders=self._repeats.orders.writes(),
            dead=self._dead,
            counts=self._counts(),
        )

    def _counts(self) -> dict[str, int]:
        """How many records had each outcome, by partition and by project."""
        counts: Counter[str] = Counter({f"{project}|{measure}": n for (project, measure), n in self._notes.items()})
        applied = ((place, project, RecordOutcome.APPLIED, n) for (place, project), n in self._applied.items())
        uncounted = ((*key, n) for key, n in self._outcomes.items())
        for place, project, outcome, n in (*applied, *uncounted):
            counts[f"{place}|consumed"] += n
            counts[f"{place}|{outcome}"] += n
            counts[f"{project}|{outcome}"] += n
        return dict(counts)

    def _buckets(self, project: str, minute: int, level: int) -> list[tuple[BucketKind, int]]:
        """The buckets that the store still keeps. It writes nothing to buckets that its own clock has expired."""
        buckets = kept_buckets(bucket_starts(minute, self._projects[project].zone), level)
        return buckets if self._server_s == 0 else [b for b in buckets if expires_at_s(*b) > self._server_s]

    def _spread_events(self, cells: dict[CellsKey, dict[str, int]]) -> None:
        """Add the sums by dimensions and by product to each bucket of their rollups."""
        for (project, minute, level), tally in self._minutes.items():
            products, sales = products_and_sales(tally.counts)
            activity, events = activity_and_events(tally.counts)
            for kind, start in self._buckets(project, minute, level):
                merge_fields(cells, CellsKey(project, ACTIVITY.name, kind, start), activity)
                merge_fields(cells, CellsKey(project, EVENTS.name, kind, start), events)
                if products:
                    merge_fields(cells, CellsKey(project, PRODUCTS.name, kind, start), products)
                if sales and kind is not BucketKind.MINUTE:
                    merge_fields(cells, CellsKey(project, SALES.name, kind, start), sales)

    def _spread_quality(self, cells: dict[CellsKey, dict[str, int]]) -> None:
        for (project, minute, measure), n in self._quality.items():
            for kind, start in self._buckets(project, minute, ALL):
                merge_fields(cells, CellsKey(project, QUALITY.name, kind, start), {measure: n})

    def _sketches(self) -> dict[SketchKey, set[bytes]]:
        """All persons by minute, hour and day; those of a place or product, and buyers, by hour and day only."""
        parts: defaultdict[SketchKey, list[set[bytes]]] = defaultdict(list)
        for (project, minute, level), tally in self._minutes.items():
            buckets = self._buckets(project, minute, level) if tally.persons else ()
            if not buckets:
                continue
            of_places = {("", ""): set[bytes]().union(*tally.persons.values())}
            of_places |= by_place("", tally.persons)
            if tally.buyers:
                of_places[(BUYERS, "")] = set[bytes]().union(*tally.buyers.values())
                of_places |= by_place(BUYERS, tally.buyers)
            of_products = by_product("", tally.persons_by_product) | by_product(BUYERS, tally.buyers_by_product)
            for kind, start in buckets:
                if kind is BucketKind.MINUTE:
                    parts[SketchKey(project, kind, start, "", "")].append(of_places["", ""])
                    continue
                has_products = kind is BucketKind.DAY or level > HOUR_WITHOUT_PRODUCTS
                for (dimension, value), persons in chain(
                    of_places.items(), of_products.items() if has_products else ()
                ):
                    parts[SketchKey(project, kind, start, dimension, value)].append(persons)
        return {key: sets[0] if len(sets) == 1 else set[bytes]().union(*sets) for key, sets in parts.items()}


def _coarsen(starts: BucketStarts, level: int, server_s: int) -> tuple[int, int]:
    """One minute and level for all events of the same hour or day: the store has no minute buckets of them."""
    if expires_at_s(BucketKind.HOUR, starts.hour) > server_s:
        return starts.hour, min(level, HOUR)
    return starts.day, DAY


def _add_buyer(event: DecodedEvent, commerce: EventCommerce, tally: MinuteTally) -> None:
    tally.buyers.setdefault(event.dimensions, set()).add(event.person)
    for product in commerce.person_products:
        tally.buyers_by_product.setdefault(product, set()).add(event.person)
