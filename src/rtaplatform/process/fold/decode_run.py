"""Decode the records of one partition.   Stage 3 of 6: stream → [process] → store.   Pure.

Each record becomes an event, with the places where its id is looked up, or a dead letter with its reason. Each record
may advance stream time.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping

from msgspec import Struct

from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import BEFORE_PROJECT, CALL_NAMES, COMMERCE_EVENTS, EVENT_TOPICS, FUTURE_MS_MAX, Reason
from rtaplatform.core.ledger import DEDUP_PARTITIONS
from rtaplatform.core.projects import SLUG, ProjectSettings
from rtaplatform.core.sharding import find_shard
from rtaplatform.core.values.murmur2 import find_buckets
from rtaplatform.process.decode.commerce import NOTHING, EventCommerce, read_commerce
from rtaplatform.process.decode.declared import DeclaredValues, read_declared, read_declared_traits
from rtaplatform.process.decode.fast import DecodedEvent, read_event
from rtaplatform.process.decode.lenient import read_project
from rtaplatform.process.fold.dedup import NO_LOOKUP, Lookup, plan_lookup
from rtaplatform.stream.port import DeadLetter, RecordColumns

_SLUG = re.compile(SLUG)
IDENTIFY = CALL_NAMES["identify"]


class DecodedRecord(Struct, gc=False):
    """A decoded record: an event or a dead letter, and the stream time at it. `lookup`: where its id is looked up.

    `replay_of`: the origin of the dead letter that the record replays. `declared`: the values of the project's declared
    properties. `traits`: those of its declared traits that the event gives to its person; None if it declares none.
    `shard` is that of the project that the record names, known or not; shard 0 if it names none.
    """

    shard: int
    stream_time_ms: int
    event: DecodedEvent | None
    commerce: EventCommerce
    dead_letter: DeadLetter | None
    lookup: Lookup
    replay_of: str = ""
    declared: DeclaredValues = ()
    traits: DeclaredValues | None = None


class EventRun(Struct, frozen=True):
    """A decoded run: the records, and what each is, in order."""

    columns: RecordColumns
    items: list[DecodedRecord]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def stream_time_ms(self) -> int:
        """Stream time at the last record."""
        return self.items[-1].stream_time_ms

    def skip_to(self, offset: int) -> EventRun:
        """The records from this offset on; often all, and perhaps none."""
        first = bisect_left(self.columns.offsets, offset)
        return EventRun(self.columns.cut(first, len(self.items)), self.items[first:]) if first else self

    def select_items(self, shard: int, shards: int) -> list[DecodedRecord]:
        return self.items if shards == 1 else [item for item in self.items if item.shard == shard]

    def list_unknown_projects(self) -> set[str]:
        """The names of projects that were not found, as far as a project may have such a name."""
        letters = (item.dead_letter for item in self.items if item.dead_letter is not None)
        values = (letter.record.value for letter in letters if letter.reason is Reason.UNKNOWN_PROJECT)
        return {project for value in values if _SLUG.fullmatch(project := read_project(value))}


def decode_run(
    run: RecordColumns, stream_time_ms: int, projects: Mapping[str, ProjectSettings], shards: int
) -> EventRun:
    """Decode the records of one partition; `stream_time_ms` is the stream time before the first of them."""
    topic = run.partition.topic
    source = EVENT_TOPICS[topic]
    items = []
    dedup_partitions = find_buckets(run.keys, DEDUP_PARTITIONS)
    for index, (dedup_partition, value, timestamp_ms) in enumerate(
        zip(dedup_partitions, run.values, run.timestamps_ms, strict=True)
    ):
        if timestamp_ms > stream_time_ms:
            stream_time_ms = timestamp_ms
        try:
            event = read_event(
                value,
                topic_source=source,
                record_timestamp_ms=timestamp_ms if timestamp_ms >= 0 else stream_time_ms,
                was_collected=index in run.collected,
            )
            project = projects.get(event.project)
            if project is None:
                raise Quarantined(Reason.UNKNOWN_PROJECT, "There is no project of that projectId.")
            item = _decode_record(event, project, topic, dedup_partition, stream_time_ms, shards)
            if project.user_traits:
                is_identify = event.dimensions.name == IDENTIFY and value
                item.traits = read_declared_traits(value, project.user_traits) if is_identify and value else ()
            items.append(item)
        except Quarantined as error:
            items.append(_make_dead_letter(run, index, stream_time_ms, error, projects, shards))
    for index, origin in run.replays.items():
        items[index].replay_of = origin
    return EventRun(run, items)


def _decode_record(
    event: DecodedEvent, project: ProjectSettings, topic: str, dedup_partition: int, stream_time_ms: int, shards: int
) -> DecodedRecord:
    slug, dimensions, commerce, lookup = project.slug, event.dimensions, NOTHING, NO_LOOKUP
    event.project = slug  # one string object for all events, whose hash is computed already
    if dimensions.name in COMMERCE_EVENTS:
        commerce = read_commerce(dimensions.sent_name, event.properties, project.currency)
    if event.time_ms > stream_time_ms + FUTURE_MS_MAX:
        raise Quarantined(Reason.TIME_IN_FUTURE, "The event's time is more than 5 minutes ahead of the record's.")
    if event.is_checked:
        lookup = plan_lookup(slug, topic, dedup_partition, event.own_ms, stream_time_ms)
    shard = find_shard(slug, shards) if shards > 1 else 0
    record = DecodedRecord(shard, stream_time_ms, event, commerce, None, lookup)
    if project.event_properties:
        record.declared = read_declared(event.properties, project.event_properties)
    return record


def _make_dead_letter(
    run: RecordColumns,
    index: int,
    stream_time_ms: int,
    error: Quarantined,
    projects: Mapping[str, ProjectSettings],
    shards: int,
) -> DecodedRecord:
    record = run.record(index)
    project = "" if error.reason in BEFORE_PROJECT else read_project(record.value)
    shard = find_shard(project, shards) if project else 0
    if not project or project in projects:
        dead_letter = DeadLetter(record, project, error.reason, error.detail)
    else:
        dead_letter = DeadLetter(record, "", Reason.UNKNOWN_PROJECT, "There is no project of that projectId.")
    return DecodedRecord(shard, stream_time_ms, None, NOTHING, dead_letter, NO_LOOKUP)
