"""Fold a batch of events into a delta.   Stage 3 of 6: stream → [process] → store.

Pure: no clock, no IO; the ids that were seen before have been fetched. Increments merge in any order, so splitting a
batch cannot change a total. Every decision uses stream time, which depends on the log alone. Each record becomes
exactly one of applied, duplicate, late, dead.

The per-event path is kept as short as possible. Equal events are first counted together (`MinuteTally`), and only
their sums are spread over rollups and buckets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from rtaplatform.core.events import RecordOutcome
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import (
    ACTIVITY,
    EVENTS,
    PRODUCTS,
    QUALITY,
    SALES,
)
from rtaplatform.core.time.buckets import (
    MINUTE_MS,
    BucketKind,
    BucketStarts,
    compute_expiry_s,
    find_bucket_starts,
)
from rtaplatform.process.decode.commerce import EventCommerce
from rtaplatform.process.decode.declared import without_values
from rtaplatform.process.decode.fast import DecodedEvent
from rtaplatform.process.fold.decode_run import DecodedRecord
from rtaplatform.process.fold.dedup import RepeatFilter
from rtaplatform.process.fold.known_orders import NO_ORDERS, HeldOrders, MinuteKey
from rtaplatform.process.fold.minute_tally import (
    MinuteTally,
    add_visitor,
    list_sketches,
    list_trait_events,
    make_tally,
)
from rtaplatform.process.fold.outcome_counts import OutcomeCounts
from rtaplatform.process.fold.person_state import PersonNames, find_ids_in_minute
from rtaplatform.process.fold.retention_levels import (
    ALL,
    DAY,
    HOUR,
    NEW_MS,
    NONE,
    find_level,
    find_oldest_minute_ms,
    list_kept_buckets,
)
from rtaplatform.process.fold.tally import (
    merge_fields,
    sum_activity_and_events,
    sum_declared_properties,
    sum_declared_traits,
    sum_products_and_sales,
    sum_visits_and_pages,
)
from rtaplatform.store.port import CellsKey, Delta, SketchKey
from rtaplatform.stream.port import DeadLetter


class EventFold:
    """The sums of one batch in one shard. `add` the records of each partition in order, then call `make_delta`.

    If the store refuses the delta because of orders, `take_back` and take it again.
    """

    def __init__(
        self,
        projects: Mapping[str, ProjectSettings],
        repeats: RepeatFilter,
        server_s: int = 0,
        *,
        keeps_online: bool = True,
    ) -> None:
        """`keeps_online`: events say who is online; else the names that `rename` is given say it."""
        self._projects, self._server_s, self._keeps_online = projects, server_s, keeps_online
        self._minutes_from_ms = find_oldest_minute_ms(server_s)
        self._repeats = repeats
        self._minutes: dict[MinuteKey, MinuteTally] = {}
        self._orders = HeldOrders()
        self._with_traits: dict[MinuteKey, list[tuple[DecodedEvent, EventCommerce]]] = {}  # where traits are declared
        self._outcomes = OutcomeCounts()
        self._names = PersonNames()

    @property
    def dead_letters(self) -> list[DeadLetter]:
        return self._outcomes.dead_letters

    def add(self, place: str, records: Sequence[DecodedRecord]) -> list[DecodedRecord]:
        """Fold records of a partition (`topic id:number`). Returns those that count: not duplicate, late or dead."""
        counts_applied: dict[str, int] = {}
        records_counted: list[DecodedRecord] = []
        for record in records:
            event = record.event
            if event is None:
                self._outcomes.add_dead_letter(place, record)
            elif (record.replay_of and self._repeats.replays.is_repeat(record.replay_of, self._outcomes.dead)) or (
                event.is_checked and self._repeats.is_repeat(record.lookup, event.id, record.stream_time_ms)
            ):
                self._outcomes.add_uncounted(place, event.project, RecordOutcome.DUPLICATE, record.stream_time_ms)
            elif self._count(event, record):
                counts_applied[event.project] = counts_applied.get(event.project, 0) + 1
                records_counted.append(record)
            else:
                self._outcomes.add_uncounted(place, event.project, RecordOutcome.LATE, record.stream_time_ms)
        for project, n in counts_applied.items():
            self._outcomes.add_applied(place, project, n)
        return records_counted

    def _count(self, event: DecodedEvent, record: DecodedRecord) -> bool:
        """Count the event of the record; return False if it is late."""
        project, time_ms, dimensions = event.project, event.time_ms, event.dimensions
        commerce, stream_time_ms = record.commerce, record.stream_time_ms
        if not event.is_checked or event.is_time_unreadable or commerce.has_unreadable:
            self._note_flaws(event, commerce, stream_time_ms)
        minute, level = time_ms // MINUTE_MS, ALL
        if stream_time_ms - time_ms >= NEW_MS:
            level = find_level(find_bucket_starts(minute, self._projects[project].zone), stream_time_ms)
            if level == NONE:
                return False
        if time_ms < self._minutes_from_ms:
            starts = find_bucket_starts(minute, self._projects[project].zone)
            minute, level = _coarsen(starts, level, self._server_s)
        key = (project, minute, level)
        tally = self._minutes.get(key)
        if tally is None:
            tally = self._minutes[key] = make_tally()
        if commerce.orders:
            self._orders.add(key, event, commerce, stream_time_ms)
        else:
            counts, counts_key = tally.counts, (dimensions, commerce)
            counts[counts_key] = counts.get(counts_key, 0) + 1
        visits, visits_key = tally.visits, (dimensions, event.visit)
        visits[visits_key] = visits.get(visits_key, 0) + 1
        if dimensions.is_page_view:
            pages, pages_key = tally.pages, (dimensions, event.page)
            pages[pages_key] = pages.get(pages_key, 0) + 1
        if record.declared:
            declared_counts, declared_key = tally.declared, (dimensions, record.declared)
            declared_counts[declared_key] = declared_counts.get(declared_key, 0) + 1
        if record.traits is not None:
            self._with_traits.setdefault(key, []).append((event, commerce))
        if not dimensions.is_bot:
            add_visitor(event, commerce, tally)
            if self._keeps_online:
                self._note_online(event)
        return True

    def _note_flaws(self, event: DecodedEvent, commerce: EventCommerce, stream_time_ms: int) -> None:
        if not event.is_checked:
            self._outcomes.note(event.project, "unchecked", stream_time_ms)
        if event.is_time_unreadable:
            self._outcomes.note(event.project, "unreadable_time", stream_time_ms)
        if commerce.has_unreadable:
            self._outcomes.note(event.project, "unreadable_amount", stream_time_ms)

    def _note_online(self, event: DecodedEvent) -> None:
        person, time_ms = event.person, event.time_ms
        online = self._names.online.get(event.project)
        if online is None:
            online = self._names.online[event.project] = {}
        if time_ms > online.get(person, -1):
            online[person] = time_ms

    def rename(self, names: PersonNames) -> None:
        """Count persons under these ids. The names alone say who is online."""
        self._names = names

    def take_back(self) -> None:
        """The delta was refused: orders are known as they were before it."""
        self._orders.take_back()
        self._repeats.take_back_orders()

    def decide_orders(self) -> Sequence[tuple[DecodedEvent, EventCommerce]]:
        """The orders of persons that count, as far as the store agrees."""
        self._orders.decide(self._repeats.orders)
        return self._orders.counted

    def make_delta(self) -> Delta:
        """What the batch adds. The worker adds positions and what else is compared."""
        cells: dict[CellsKey, dict[str, int]] = {}
        minutes = self._settle_minutes()
        self._spread_events(minutes, cells)
        self._spread_quality(cells)
        return Delta(
            moves=[],
            cells=cells,
            sketches=self._unite_sketches(minutes),
            online=self._names.online,
            left_online=self._names.left_online,
            blocks=self._repeats.make_writes(),
            loose=self._repeats.make_loose_writes(),
            orders=self._repeats.orders.make_writes(),
            dead=self._outcomes.dead,
            replayed=self._repeats.replays.list_origins(),
            counts=self._outcomes.count_outcomes(self._orders.repeats),
        )

    def _settle_minutes(self) -> dict[MinuteKey, MinuteTally]:
        """The sums with orders and buyers, and persons under the ids that are counted. `_minutes` stay as they are."""
        orders = self._orders.decide(self._repeats.orders)
        with_traits = {
            key: list_trait_events(
                events, self._names, self._orders.repeated, without_values(self._projects[key[0]].user_traits)
            )
            for key, events in self._with_traits.items()
        }
        return {
            key: tally.settle(
                orders.get(key, NO_ORDERS), find_ids_in_minute(self._names, *key[:2]), with_traits.get(key, ())
            )
            for key, tally in self._minutes.items()
        }

    def _list_buckets(self, project: str, minute: int, level: int) -> list[tuple[BucketKind, int]]:
        """The buckets that the store still keeps. It writes nothing to buckets that its own clock has expired."""
        buckets = list_kept_buckets(find_bucket_starts(minute, self._projects[project].zone), level)
        return buckets if self._server_s == 0 else [b for b in buckets if compute_expiry_s(*b) > self._server_s]

    def _spread_events(self, minutes: Mapping[MinuteKey, MinuteTally], cells: dict[CellsKey, dict[str, int]]) -> None:
        """Add the sums by dimensions and by product to each bucket of their rollups."""
        for (project, minute, level), tally in minutes.items():
            products, sales = sum_products_and_sales(tally.counts)
            activity, events = sum_activity_and_events(tally.counts)
            lasting = sum_visits_and_pages(tally.visits, tally.pages) | sum_declared_properties(tally.declared)
            if tally.by_traits:
                lasting |= sum_declared_traits(tally.by_traits)
            for kind, start in self._list_buckets(project, minute, level):
                merge_fields(cells, CellsKey(project, ACTIVITY.name, kind, start), activity)
                merge_fields(cells, CellsKey(project, EVENTS.name, kind, start), events)
                if products:
                    merge_fields(cells, CellsKey(project, PRODUCTS.name, kind, start), products)
                if kind is BucketKind.MINUTE:
                    continue
                if sales:
                    merge_fields(cells, CellsKey(project, SALES.name, kind, start), sales)
                for rollup, fields in lasting.items():
                    merge_fields(cells, CellsKey(project, rollup, kind, start), fields)

    def _spread_quality(self, cells: dict[CellsKey, dict[str, int]]) -> None:
        for (project, minute, measure), n in self._outcomes.count_quality(self._orders.repeats).items():
            for kind, start in self._list_buckets(project, minute, ALL):
                merge_fields(cells, CellsKey(project, QUALITY.name, kind, start), {measure: n})

    def _unite_sketches(self, minutes: Mapping[MinuteKey, MinuteTally]) -> dict[SketchKey, set[bytes]]:
        parts: defaultdict[SketchKey, list[set[bytes]]] = defaultdict(list)
        for (project, minute, level), tally in minutes.items():
            buckets = self._list_buckets(project, minute, level) if tally.persons else []
            if buckets:
                for kind, start, name, persons in list_sketches(tally, buckets, level):
                    parts[SketchKey(project, kind, start, *name)].append(persons)
        return {key: sets[0] if len(sets) == 1 else set[bytes]().union(*sets) for key, sets in parts.items()}


def _coarsen(starts: BucketStarts, level: int, server_s: int) -> tuple[int, int]:
    """One minute and level for all events of the same hour or day: the store has no minute buckets of them."""
    if compute_expiry_s(BucketKind.HOUR, starts.hour) > server_s:
        return starts.hour, min(level, HOUR)
    return starts.day, DAY
