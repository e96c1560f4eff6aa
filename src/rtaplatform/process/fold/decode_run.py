"""Records of one partition → what each is, and where its id may be found.   Stage 3 of 6: stream → [process] → store.

Pure. Each record becomes an event, or a dead letter with its reason. Stream time goes on with each of them.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping

from msgspec import Struct

from rtaplatform.core.errors import Quarantined
from rtaplatform.core.events import COMMERCE_EVENTS, EVENT_TOPICS, FUTURE_MS_MAX, Reason
from rtaplatform.core.ledger import DEDUP_PARTITIONS
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.sharding import shard_of
from rtaplatform.core.values.murmur2 import buckets_of
from rtaplatform.process.decode.commerce import NOTHING, EventCommerce, read_commerce
from rtaplatform.process.decode.fast import DecodedEvent, read_event
from rtaplatform.process.decode.lenient import project_of
from rtaplatform.process.fold.dedup import NOWHERE, Lookup, lookup
from rtaplatform.stream.port import DeadLetter, RecordColumns

BEFORE_PROJECT = frozenset(list(Reason)[: list(Reason).index(Reason.UNKNOWN_PROJECT)])


_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class DecodedRecord(Struct, gc=False):
    """A record, read: its event or why there is none, the stream time at it, and where its id may be found.

    `shard` counts it: that of the project it names, known or not; the first for those that name none.
    """

    shard: int
    stream_time_ms: int
    event: DecodedEvent | None
    commerce: EventCommerce
    dead: DeadLetter | None
    where: Lookup


class EventRun(Struct, frozen=True):
    """A run of records and what was understood of each, in order."""

    run: RecordColumns
    items: list[DecodedRecord]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def stream_time_ms(self) -> int:
        """Stream time at its end."""
        return self.items[-1].stream_time_ms

    def since(self, offset: int) -> EventRun:
        """Those from this offset on; often all, and perhaps none."""
        first = bisect_left(self.run.offsets, offset)
        return EventRun(self.run.part(first, len(self.items)), self.items[first:]) if first else self

    def of(self, shard: int, shards: int) -> list[DecodedRecord]:
        return self.items if shards == 1 else [item for item in self.items if item.shard == shard]

    def unknown_projects(self) -> set[str]:
        """The projects that are named in vain, as far as a project may have such a name."""
        dead_letters = (item.dead for item in self.items if item.dead is not None)
        unknown = (
            dead_letter.record.value for dead_letter in dead_letters if dead_letter.reason is Reason.UNKNOWN_PROJECT
        )
        return {project for value in unknown if _SLUG.fullmatch(project := project_of(value))}


def decode_run(
    run: RecordColumns, stream_time_ms: int, projects: Mapping[str, ProjectSettings], shards: int
) -> EventRun:
    """Read the records of one partition; `stream_time_ms` is the stream time before the first of them."""
    topic = run.partition.topic
    source = EVENT_TOPICS[topic]
    understood = []
    dedup_partitions = buckets_of(run.keys, DEDUP_PARTITIONS)
    for number, (dedup_partition, value, at) in enumerate(
        zip(dedup_partitions, run.values, run.timestamps_ms, strict=True)
    ):
        if at > stream_time_ms:
            stream_time_ms = at
        try:
            event = read_event(
                value,
                topic_source=source,
                record_timestamp_ms=at if at >= 0 else stream_time_ms,
                was_collected=number in run.collected,
            )
            project = projects.get(event.project)
            if project is None:
                raise Quarantined(Reason.UNKNOWN_PROJECT, "There is no project of that projectId.")
            understood.append(_decode_record(event, project, topic, dedup_partition, stream_time_ms, shards))
        except Quarantined as why:
            understood.append(_quarantine(run, number, stream_time_ms, why, projects, shards))
    return EventRun(run, understood)


def _decode_record(
    event: DecodedEvent, project: ProjectSettings, topic: str, dedup_partition: int, stream_time_ms: int, shards: int
) -> DecodedRecord:
    slug, name, commerce, where = project.slug, event.dimensions.name, NOTHING, NOWHERE
    event.project = slug  # the same text for all, whose hash is known
    if name in COMMERCE_EVENTS:
        commerce = read_commerce(name, event.properties, project.currency)
    if event.time_ms > stream_time_ms + FUTURE_MS_MAX:
        raise Quarantined(Reason.TIME_IN_FUTURE, "The event's time is more than 5 minutes ahead of the record's.")
    if event.is_checked:
        where = lookup(slug, topic, dedup_partition, event.own_ms, stream_time_ms)
    return DecodedRecord(shard_of(slug, shards) if shards > 1 else 0, stream_time_ms, event, commerce, None, where)


def _quarantine(
    run: RecordColumns,
    number: int,
    stream_time_ms: int,
    why: Quarantined,
    projects: Mapping[str, ProjectSettings],
    shards: int,
) -> DecodedRecord:
    record = run.record(number)
    project = "" if why.reason in BEFORE_PROJECT else project_of(record.value)
    shard = shard_of(project, shards) if project else 0
    if not project or project in projects:
        dead_letter = DeadLetter(record, project, why.reason, why.detail)
    else:
        dead_letter = DeadLetter(record, "", Reason.UNKNOWN_PROJECT, "There is no project of that projectId.")
    return DecodedRecord(shard, stream_time_ms, None, NOTHING, dead_letter, NOWHERE)
