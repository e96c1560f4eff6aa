"""The event topics, read by a group that commits its offsets in Kafka.   Stage 2 of 6: collect → [stream].

It is for readers whose work may be repeated without harm, such as profiles; never for counting, whose position is in
the ledger. The topic's id and the stream time are committed with each offset. So a topic that was made again is read
from its start, and stream time goes on where it was. Records that the log no longer has are skipped, with a line in the
log.
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
from rtaplatform.stream.kafka.client_errors import SEEK_AGAIN, explain_failed_client, log_error
from rtaplatform.stream.kafka.config import REQUEST_SECONDS_MAX, make_consumer_config, seek, to_topic_partition
from rtaplatform.stream.kafka.membership import Membership
from rtaplatform.stream.port import LogRecord, OffsetRange, Partition

LEAVING_SECONDS_MAX = 5.0
# A member that was too slow has lost its partitions, so it must not seek them before they are assigned again.
SEEK_COMMITTED_AGAIN = SEEK_AGAIN - {KafkaError._MAX_POLL_EXCEEDED}

log_line = telemetry.make_logger("stream")


class CommittingConsumer:
    """Call `poll`, then `commit` once the records have been processed. Not thread-safe."""

    def __init__(self, kafka: KafkaSettings, settings: ProfilesSettings) -> None:
        self._settings = settings
        self._broker = Broker(kafka)
        self._partitions_to_seek: set[Partition] = set()  # assigned and paused, but not yet sought
        self._ids: dict[Partition, str] = {}
        self._next: dict[Partition, int] = {}
        self._positions_committed: dict[Partition, int] = {}
        self._stream_times_ms: dict[Partition, int] = {}
        self._membership = Membership(settings.group_protocol)
        self._config = make_consumer_config(kafka, settings.group_id) | {
            "max.poll.interval.ms": 1_800_000,
            "queued.max.messages.kbytes": 16_384,
            "error_cb": log_error,
        }
        self._consumer = self._join()

    def close(self) -> None:
        """Leave the group, so that others take over at once. If this takes too long, the group times the member out."""
        _close_in_thread(self._consumer).join(LEAVING_SECONDS_MAX)

    def poll(self) -> Sequence[tuple[LogRecord, int]]:
        """The next records, each with its partition's stream time; bounded in number and time. Raises `Unavailable`."""
        if self._membership.is_refused:
            self._membership.fall_back(self._settings.group_id)
            _close_in_thread(self._consumer)
            self._consumer = self._join()
        if self._partitions_to_seek:
            self._seek_committed()
        records = []
        settings = self._settings
        for message in self._consumer.consume(settings.batch_events_max, settings.batch_wait_ms_max / 1000):
            error = message.error()
            if error is None:
                records.append(self._take(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._skip_to_end(message)
            elif error.code() in SEEK_COMMITTED_AGAIN:
                log_line.warning("seek required", reason=error.str())
                self._partitions_to_seek |= self._next.keys()
            elif error.fatal():
                raise explain_failed_client(error.str())
        return records

    def commit(self) -> None:
        """Commit all that was polled. If this is lost, the records are read again."""
        offsets = [
            TopicPartition(p.topic, p.number, offset, f"{self._ids[p]}|{self._stream_times_ms[p]}")
            for p, offset in self._next.items()
            if offset != self._positions_committed.get(p)
        ]
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=False)
                self._positions_committed |= self._next
            except KafkaException as error:
                log_line.info("offsets not committed", reason=error.args[0].str())

    # inside ----------------------------------------------------------------------------------------------------

    def _join(self) -> Consumer:
        consumer = Consumer(self._config | self._membership.make_config())
        consumer.subscribe(
            list(EVENT_TOPICS), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )
        return consumer

    def _take(self, message: Message) -> tuple[LogRecord, int]:
        place: Any = (message.topic(), message.partition())
        partition = Partition(*place)
        record = _record(partition, message)
        stream_time_ms = max(self._stream_times_ms.get(partition, -1), record.timestamp_ms)
        if partition in self._next:  # else it was revoked while this batch was read
            self._next[partition], self._stream_times_ms[partition] = record.offset + 1, stream_time_ms
        return record, stream_time_ms

    def _skip_to_end(self, end: Message) -> None:
        """Skip what lies between the last record and the end: transaction markers."""
        place: Any = (end.topic(), end.partition())
        partition = Partition(*place)
        if partition in self._next:
            self._next[partition] = max(self._next[partition], end.offset() or 0)

    def _seek_committed(self) -> None:
        """Seek the new partitions to their committed offsets, as far as the log still has those."""
        partitions = sorted(self._partitions_to_seek)
        extents = self._broker.read_extents(partitions)
        partitions_there = [to_topic_partition(p) for p in partitions if p in extents]
        try:
            for position in self._consumer.committed(partitions_there, REQUEST_SECONDS_MAX) if partitions_there else ():
                self._seek(position, extents[Partition(position.topic, position.partition)])
        except KafkaException as error:
            raise Unavailable("kafka", error.args[0].str()) from error

    def _seek(self, position: TopicPartition, extent: OffsetRange) -> None:
        if position.error:
            raise KafkaException(position.error)
        partition = Partition(position.topic, position.partition)
        topic_id, _, time_text = (position.metadata or "").partition("|")
        offset, stream_time_ms = extent.low, -1
        if topic_id == extent.place.topic_id:
            offset, stream_time_ms = position.offset, int(time_text)
        if topic_id and not (topic_id == extent.place.topic_id and extent.low <= offset <= extent.high):
            log_line.warning(
                "records skipped",
                partition=str(partition),
                committed=position.offset,
                low=extent.low,
                high=extent.high,
            )
            offset = extent.low
        seek(self._consumer, *partition, offset)
        self._consumer.resume([to_topic_partition(partition)])
        self._ids[partition], self._next[partition] = extent.place.topic_id, offset
        self._stream_times_ms[partition] = stream_time_ms
        self._partitions_to_seek.discard(partition)

    def _on_assign(self, consumer: Consumer, assignment: list[TopicPartition]) -> None:
        # Assign with a number as offset: the answer to a logical one may come after our seek, and undo it.
        consumer.incremental_assign([TopicPartition(a.topic, a.partition, 0) for a in assignment])
        consumer.pause(assignment)
        self._partitions_to_seek |= {Partition(a.topic, a.partition) for a in assignment}

    def _on_revoke(self, consumer: Consumer, revocation: list[TopicPartition]) -> None:
        consumer.incremental_unassign(revocation)
        for partition in (Partition(r.topic, r.partition) for r in revocation):
            self._partitions_to_seek.discard(partition)
            self._next.pop(partition, None)
            self._positions_committed.pop(partition, None)


def _close_in_thread(consumer: Consumer) -> threading.Thread:
    """Close the consumer in a thread: closing may wait for a coordinator that does not know the member."""
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
        _to_bytes(key),
        None if value is None else _to_bytes(value),
        -1,
        any(name == COLLECTED_HEADER for name, _ in headers or ()),
    )


def _to_bytes(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
