"""The oracle: recounts raw records by docs/reference/rules.md, with plain dicts.

Promise: it shares no code with the workers, so one mistake cannot make both of them wrong in the same way.
Input: records in the order of their offsets within each partition. Partitions may be mixed in any way, because every
decision depends only on the stream time of the record's own partition (a dedup partition lies in one partition). Only
the question which of two equal orders in several partitions is the repeat depends on how they are mixed.
Limits: it keeps every id and every person in memory. 300,000 records take seconds; it is not made for days of traffic.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from rtaplatform.simulate.oracle.oracle_calendar import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    find_bucket_starts,
    is_kept,
    keeps_persons_by_product,
)
from rtaplatform.simulate.oracle.oracle_counting import Gain, compute_gain, count
from rtaplatform.simulate.oracle.oracle_erased import OracleErased
from rtaplatform.simulate.oracle.oracle_event import (
    OracleEvent,
    describe_visit,
    make_visit,
    read_dimension,
    read_event,
    show_dimension,
)
from rtaplatform.simulate.oracle.oracle_json import UnreadableRecord, read_record
from rtaplatform.simulate.oracle.oracle_murmur2 import hash_to_positive
from rtaplatform.simulate.oracle.oracle_orders import OracleOrders, OracleReport
from rtaplatform.simulate.oracle.oracle_people import OraclePersonRules
from rtaplatform.simulate.oracle.oracle_truth import ProjectTruth, Truth
from rtaplatform.simulate.oracle.origins.oracle_properties import DeclaredEvent, read_declared
from rtaplatform.simulate.oracle.origins.oracle_sessions import OracleOrder
from rtaplatform.simulate.oracle.origins.oracle_traits import OracleTraitEvent, TraitTruth, read_traits

_DEDUP_PARTITIONS = 16
_BLOCK_LIFE_MS = DAY_MS


class ConsumedRecord(NamedTuple):
    """A record as a consumer has it. `timestamp`: milliseconds since 1970, None if Kafka has none."""

    topic: str
    partition: int
    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] | None = None


CountsBucket = Callable[[str, int], bool]


class OracleRules(NamedTuple):
    """The settings of a project that its numbers depend on.

    An IANA time zone, a currency code, a day of the week, and the names of the properties and traits that it declares.
    """

    zone: str
    currency: str
    week_start: str = "monday"
    event_properties: Sequence[str] = ()
    user_traits: Sequence[str] = ()


@dataclass
class _OracleBlock:
    ids: set[str] = field(default_factory=set)
    written_at: int = 0


def recount(records: Iterable[ConsumedRecord], *, projects: Mapping[str, Mapping[str, Any]]) -> Truth:
    """Return the true numbers of these records. `projects`: slug → the fields of `OracleRules`."""
    oracle = Oracle(projects)
    for record in records:
        oracle.add(record)
    return oracle.truth


class Oracle:
    """Counts one record at a time. `truth` is correct after each."""

    def __init__(self, projects: Mapping[str, Mapping[str, Any]], *, counts: CountsBucket | None = None) -> None:
        """`counts` tells whether a bucket, by kind and start, is wanted. All events are remembered nevertheless."""
        self.truth = Truth()
        self._counts: CountsBucket = counts or (lambda _kind, _start: True)
        self._set_aside: set[str] = set()
        self._erasures: dict[str, OracleErased] = defaultdict(OracleErased)
        self._rules = {slug: OracleRules(**rules) for slug, rules in projects.items()}
        for slug, rules in self._rules.items():
            self.truth.rules[slug] = OraclePersonRules(rules.zone, rules.week_start)
            if rules.user_traits:
                self.truth.traits[slug] = TraitTruth(rules.user_traits)
        self._stream_times: dict[tuple[str, int], int] = defaultdict(int)
        self._blocks: dict[tuple[Any, ...], _OracleBlock] = defaultdict(_OracleBlock)
        self._loose_ids: dict[tuple[Any, ...], int] = {}  # id outside any block → stream time at which it was written
        self._orders = OracleOrders()

    def set_aside(self, origin: str) -> None:
        """Count the record at `topic:partition:offset` as dead: a worker of the platform could not count it."""
        self._set_aside.add(origin)

    def erase(self, project: str, user: str, anonymous: Iterable[str]) -> None:
        """Forget a person from now on: their events count, but no longer for a person (rule 7)."""
        self._erasures[project].add(user, anonymous)
        if project in self.truth.traits:
            self.truth.traits[project].erased |= {("u", user), *(("a", text) for text in anonymous)}

    def add(self, record: ConsumedRecord) -> None:
        """Count one record as applied, duplicate, late or dead."""
        place = (record.topic, record.partition)
        self.truth.consumed[place] += 1
        self._stream_times[place] = max(self._stream_times[place], record.timestamp or 0)
        now = self._stream_times[place]
        project = ""
        try:
            data = read_record(record.value, collected=_was_collected(record))
            project = self._read_project(data)
            event = read_event(data, topic=record.topic, timestamp=record.timestamp, stream_time=now)
            if self._set_aside and f"{record.topic}:{record.partition}:{record.offset}" in self._set_aside:
                raise UnreadableRecord("internal")
        except UnreadableRecord as error:
            self._quarantine(record, project, error.reason, now)
        else:
            rules = self._rules[project]
            values = read_declared(data.get("properties"), rules.event_properties, show_dimension)
            traits = read_traits(data, rules.user_traits, read_dimension)
            self._decide(event, record, now, DeclaredEvent(project, event.name, event.is_bot, values, traits))

    def _read_project(self, data: dict[str, Any]) -> str:
        slug = data.get("projectId")
        if not isinstance(slug, str) or not slug:
            raise UnreadableRecord("missing_project")
        if slug not in self._rules:
            raise UnreadableRecord("unknown_project")
        return slug

    def _quarantine(self, record: ConsumedRecord, project: str, reason: str, now: int) -> None:
        self.truth.dead[f"{record.topic}:{record.partition}:{record.offset}"] = reason
        self.truth.projects[project].dead_by_reason[reason] += 1
        self._count_outcome(project, "dead", now)

    def _decide(self, event: OracleEvent, record: ConsumedRecord, now: int, values: DeclaredEvent) -> None:
        project = values.project
        if "made_id" in event.marks or not event.message_id:
            self._count_outcome(project, "unchecked", now)
        elif self._check_duplicate(event, record, project, now):
            self._count_outcome(project, "duplicate", now)
            return
        if event.unreadable_time:
            self._count_outcome(project, "unreadable_time", now)
        if event.unreadable_amounts:
            self._count_outcome(project, "unreadable_amount", now)
        buckets = self._find_kept_buckets(event, project, now)
        if not buckets:
            self._count_outcome(project, "late", now)
            return
        self.truth.projects[project].totals["applied"] += 1
        buckets = [bucket for bucket in buckets if self._counts(*bucket)]
        by_product = [bucket for bucket in buckets if keeps_persons_by_product(*bucket, now)]
        report = OracleReport(event, (record.topic, record.partition), buckets, by_product, now)
        first = self._orders.find_first(project, report, now)
        if first is not None:
            self._count_outcome(project, "repeated_order", now)
            if first.place != report.place:
                pair = (self._count_alone(project, first, report), self._count_alone(project, report, first))
                self.truth.alternatives[project].append(pair)
        gain = compute_gain(event, self._rules[project].currency, is_repeat=first is not None)
        count(self.truth.projects[project], event, buckets, gain, by_product=by_product)
        self.truth.origins[project].count(describe_visit(event), buckets)
        self.truth.properties[project].count(values, buckets)
        if project in self.truth.traits:
            ids = [event.person, event.linked] if event.linked else [event.person]
            numbers = gain.numbers, buckets, by_product
            self.truth.traits[project].events.append(
                OracleTraitEvent(report.place, event.name, event.is_bot, event.time, ids, values.traits, *numbers)
            )
        if not event.is_bot:
            self._note_visit(project, event, gain)

    def _count_alone(self, project: str, report: OracleReport, repeat: OracleReport) -> ProjectTruth:
        """Return what the order adds where this report of it is the one that counts, and the other one the repeat."""
        truth = ProjectTruth()
        gain = compute_gain(report.event, self._rules[project].currency, is_repeat=False)
        numbers = {name: number for name, number in gain.numbers.items() if name != "count"}
        count(truth, report.event, report.buckets, gain._replace(numbers=numbers), by_product=report.by_product)
        for bucket in find_bucket_starts(repeat.now, self._rules[project].zone).items():
            if self._counts(*bucket):
                truth.quality[bucket]["repeated_order"] += 1
        return truth

    def _note_visit(self, project: str, event: OracleEvent, gain: Gain) -> None:
        visit = make_visit(event)
        if gain.numbers.get("orders"):
            numbers = (gain.numbers.get(name, 0) for name in OracleOrder._fields)
            visit = visit._replace(order=OracleOrder(*numbers))
        erasures = self._erasures[project]
        visit_left = erasures.without(visit)
        if visit_left is not None:
            erasures.note(visit_left)
            self.truth.visits[project].append(visit_left)
        elif visit.order:
            self.truth.origins[project].orders_of_nobody.append((event.time, visit.order))

    def _count_outcome(self, project: str, outcome: str, now: int) -> None:
        truth = self.truth.projects[project]
        truth.totals[outcome] += 1
        zone = self._rules[project].zone if project else "UTC"
        for bucket in find_bucket_starts(now, zone).items():
            if self._counts(*bucket):
                truth.quality[bucket][outcome] += 1

    def _check_duplicate(self, event: OracleEvent, record: ConsumedRecord, project: str, now: int) -> bool:
        """Return whether the id was seen before. If not, remember it (rule 3)."""
        partition_key = (project, record.topic, hash_to_positive(record.key or b"") % _DEDUP_PARTITIONS)
        own_time = event.own_time
        ahead_ms, minute = (inf, None) if own_time is None else (own_time - now, own_time // MINUTE_MS)
        if -72 * HOUR_MS <= ahead_ms <= 26 * HOUR_MS and self._has_seen(
            (*partition_key, minute), event.message_id, now
        ):
            return True
        if not -47 * HOUR_MS <= ahead_ms <= HOUR_MS:
            written_at = self._loose_ids.get((*partition_key, event.message_id))
            if written_at is not None and now - written_at < DAY_MS:
                return True
        if -48 * HOUR_MS <= ahead_ms <= 25 * HOUR_MS:
            self._remember((*partition_key, minute), event.message_id, now)
        else:
            self._loose_ids[(*partition_key, event.message_id)] = now
        return False

    def _has_seen(self, block_key: tuple[Any, ...], message_id: str, now: int) -> bool:
        block = self._blocks.get(block_key)
        return block is not None and now - block.written_at < _BLOCK_LIFE_MS and message_id in block.ids

    def _remember(self, block_key: tuple[Any, ...], message_id: str, now: int) -> None:
        block = self._blocks[block_key]
        if now - block.written_at >= _BLOCK_LIFE_MS:
            block.ids.clear()
        block.ids.add(message_id)
        block.written_at = now

    def _find_kept_buckets(self, event: OracleEvent, project: str, now: int) -> list[tuple[str, int]]:
        starts = find_bucket_starts(event.time, self._rules[project].zone)
        return [(kind, start) for kind, start in starts.items() if is_kept(kind, start, now)]


def _was_collected(record: ConsumedRecord) -> bool:
    return any(name == "rta-collected" for name, _ in record.headers or ())
