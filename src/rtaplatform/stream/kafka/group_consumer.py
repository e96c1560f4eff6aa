"""The event topics, read by a group that keeps its place in Kafka.   Stage 2 of 6: collect → [stream].

For readers whose work may be repeated without harm, as profiles are; never for counting, whose place is in the
ledger. With each offset the topic's id and the stream time are committed: a topic that was made again is read from its
start, and stream time goes on where it was. What the log no longer has is skipped with a line that says so.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from rtaplatform import telemetry
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.events import COLLECTED_HEADER, EVENT_BYTES_MAX, EVENT_TOPICS
from rtaplatform.settings import KafkaSettings, ProfilesSettings
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.client_errors import SEEK_AGAIN, client_has_failed, log_error
from rtaplatform.stream.kafka.config import REQUEST_SECONDS_MAX, consumer_config, seek, topic_partition
from rtaplatform.stream.kafka.membership import Membership
from rtaplatform.stream.port import LogRecord, OffsetRange, Partition

LEAVING_SECONDS_MAX = 5.0
# A member that was too slow has lost its partitions: they are placed once they are assigned again.
PLACE_AGAIN = SEEK_AGAIN - {KafkaError._MAX_POLL_EXCEEDED}

log_line = telemetry.logger("stream")


class CommittingConsumer:
    """`poll`, then `commit` once what was read has been done. One thread at a time."""

    def __init__(self, kafka: KafkaSettings, settings: ProfilesSettings) -> None:
        self._settings = settings
        self._broker = Broker(kafka)
        self._unplaced: set[Partition] = set()  # assigned, but not yet sought; held meanwhile
        self._ids: dict[Partition, str] = {}
        self._next: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._stream_times_ms: dict[Partition, int] = {}
        self._membership = Membership(settings.group_protocol)
        self._config = consumer_config(kafka, settings.group_id) | {
            "max.poll.interval.ms": 1_800_000,
            "queued.max.messages.kbytes": 16_384,
            "error_cb": log_error,
        }
        self._consumer = self._join()

    def close(self) -> None:
        """Leave the group, so that others take over at once; whoever cannot leave in time is missed by it soon."""
        _leave(self._consumer).join(LEAVING_SECONDS_MAX)

    def poll(self) -> Sequence[tuple[LogRecord, int]]:
        """The next records, each with its partition's stream time; bounded in number and time. Raises `Unavailable`."""
        if self._membership.is_refused:
            self._membership.fall_back(self._settings.group_id)
            _leave(self._consumer)
            self._consumer = self._join()
        if self._unplaced:
            self._place()
        found = []
        settings = self._settings
        for message in self._consumer.consume(settings.batch_events_max, settings.batch_wait_ms_max / 1000):
            error = message.error()
            if error is None:
                found.append(self._taken(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._pass_by(message)
            elif error.code() in PLACE_AGAIN:
                log_line.warning("the place is looked up again", error=error.str())
                self._unplaced |= self._next.keys()
            elif error.fatal():
                raise client_has_failed(error.str())
        return found

    def commit(self) -> None:
        """Everything that was polled is done. May be lost: then it is read again."""
        spots = [
            TopicPartition(p.topic, p.number, offset, f"{self._ids[p]}|{self._stream_times_ms[p]}")
            for p, offset in self._next.items()
            if offset != self._committed.get(p)
        ]
        if spots:
            try:
                self._consumer.commit(offsets=spots, asynchronous=False)
                self._committed |= self._next
            except KafkaException as error:
                log_line.info("offsets not committed", error=error.args[0].str())

    # inside ----------------------------------------------------------------------------------------------------

    def _join(self) -> Consumer:
        consumer = Consumer(self._config | self._membership.config())
        consumer.subscribe(list(EVENT_TOPICS), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
        return consumer

    def _taken(self, message: Message) -> tuple[LogRecord, int]:
        place: Any = (message.topic(), message.partition())
        partition = Partition(*place)
        record = _record(partition, message)
        at = max(self._stream_times_ms.get(partition, -1), record.timestamp_ms)
        if partition in self._next:  # else it was revoked while this batch was read
            self._next[partition], self._stream_times_ms[partition] = record.offset + 1, at
        return record, at

    def _pass_by(self, end: Message) -> None:
        """What lies between the last record and the end is not for readers: markers of transactions."""
        place: Any = (end.topic(), end.partition())
        partition = Partition(*place)
        if partition in self._next:
            self._next[partition] = max(self._next[partition], end.offset() or 0)

    def _place(self) -> None:
        """Seek what was assigned to where the group has been, as far as the log still has that."""
        wanted = sorted(self._unplaced)
        extents = self._broker.extents(wanted)
        there = [topic_partition(p) for p in wanted if p in extents]
        try:
            for spot in self._consumer.committed(there, REQUEST_SECONDS_MAX) if there else ():
                self._go_to(spot, extents[Partition(spot.topic, spot.partition)])
        except KafkaException as error:
            raise Unavailable("kafka", error.args[0].str()) from error

    def _go_to(self, committed: TopicPartition, extent: OffsetRange) -> None:
        if committed.error:
            raise KafkaException(committed.error)
        partition = Partition(committed.topic, committed.partition)
        topic_id, _, at = (committed.metadata or "").partition("|")
        offset, stream_time_ms = extent.low, -1
        if topic_id == extent.place.topic_id:
            offset, stream_time_ms = committed.offset, int(at)
        if topic_id and not (topic_id == extent.place.topic_id and extent.low <= offset <= extent.high):
            log_line.warning("gap", partition=str(partition), wanted=committed.offset, low=extent.low, high=extent.high)
            offset = extent.low
        seek(self._consumer, *partition, offset)
        self._consumer.resume([topic_partition(partition)])
        self._ids[partition], self._next[partition] = extent.place.topic_id, offset
        self._stream_times_ms[partition] = stream_time_ms
        self._unplaced.discard(partition)

    def _assigned(self, consumer: Consumer, spots: list[TopicPartition]) -> None:
        # A plain offset: the answer to a logical one may come after our seek, and undo it.
        consumer.incremental_assign([TopicPartition(s.topic, s.partition, 0) for s in spots])
        consumer.pause(spots)
        self._unplaced |= {Partition(s.topic, s.partition) for s in spots}

    def _revoked(self, consumer: Consumer, spots: list[TopicPartition]) -> None:
        consumer.incremental_unassign(spots)
        for spot in spots:
            partition = Partition(spot.topic, spot.partition)
            self._unplaced.discard(partition)
            self._next.pop(partition, None)
            self._committed.pop(partition, None)


def _leave(consumer: Consumer) -> threading.Thread:
    """Beside us: it may wait for a coordinator that does not know it."""
    thread = threading.Thread(target=consumer.close, name="leaving", daemon=True)
    thread.start()
    return thread


def _record(partition: Partition, message: Message) -> LogRecord:
    value, key = message.value(), message.key()
    kind, timestamp_ms = message.timestamp()
    headers: Any = message.headers() if value is not None and len(value) > EVENT_BYTES_MAX else ()
    return LogRecord(
        partition,
        message.offset() or 0,
        timestamp_ms if kind else -1,
        _bytes(key),
        None if value is None else _bytes(value),
        -1,
        any(name == COLLECTED_HEADER for name, _ in headers or ()),
    )


def _bytes(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
