"""The durable log in Kafka, as a worker reads it.   Stage 2 of 6: collect → [stream] → process.

A member of a consumer group, which only shares out the partitions: where to read from is the worker's
word, never the group's. A partition that was just assigned is held until the worker has sought.
Nothing is skipped: an offset out of range asks for a new seek. Bounded: librdkafka's queue, and one batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from rtaplatform import telemetry
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.events import COLLECTED_HEADER, EVENT_BYTES_MAX, EVENT_TOPICS
from rtaplatform.core.times import TIME_MS_MAX
from rtaplatform.settings import KafkaSettings, WorkerSettings
from rtaplatform.stream.broker import Broker
from rtaplatform.stream.kafka import consumer_config
from rtaplatform.stream.port import Batch, Extent, Partition, Record

# After these the positions must be found anew. All else passes by itself, and librdkafka goes on trying.
SEEK_AGAIN = frozenset(
    (
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._LOG_TRUNCATION,
        KafkaError._MAX_POLL_EXCEEDED,
    )
)

log_line = telemetry.logger("stream")


class KafkaLog:
    """`EventLog` over the event topics."""

    def __init__(self, kafka: KafkaSettings, worker: WorkerSettings) -> None:
        self._worker = worker
        self._broker = Broker(kafka)
        self._version = 0
        self._ours: frozenset[Partition] = frozenset()
        self._left: list[Record] = []  # read, but beyond the limit of the last batch
        self._ends: dict[Partition, int] = {}  # of what is in `_left`, or was in the last batch
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._consumer = Consumer(
            consumer_config(kafka, worker.group_id)
            | {"group.protocol": worker.group_protocol, "max.poll.interval.ms": 1_800_000, "error_cb": say_trouble}
        )
        self._consumer.subscribe(
            list(EVENT_TOPICS), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        self._consumer.close()

    # the port --------------------------------------------------------------------------------------------------

    def poll(self) -> Batch:
        if not self._left:
            self._left = self._read()
        size = 0
        for number, record in enumerate(self._left):
            size += len(record.value or b"") + len(record.key)
            if size > self._worker.batch_bytes_max and number:
                batch, self._left = self._left[:number], self._left[number:]
                return Batch(batch)
        batch, self._left = self._left, []
        ends, self._ends = self._ends, {}
        return Batch(batch, ends)

    def assignment(self) -> tuple[int, frozenset[Partition]]:
        return self._version, self._ours

    def extents(self, partitions: Iterable[Partition]) -> dict[Partition, Extent]:
        return self._broker.extents(partitions)

    def seek(self, positions: Mapping[Partition, int]) -> None:
        self._left, self._ends = [], {}
        held = [_spot(p) for p in self._ours if p not in positions]
        try:
            self._consumer.pause(held)
            for partition, offset in positions.items():
                self._consumer.seek(TopicPartition(partition.topic, partition.number, offset))
            self._consumer.resume([_spot(p) for p in positions])
        except KafkaException as error:
            raise Unavailable("kafka", error.args[0].str()) from error

    def commit(self, positions: Mapping[Partition, int]) -> None:
        spots = [TopicPartition(p.topic, p.number, offset) for p, offset in positions.items() if p in self._ours]
        if spots:
            try:
                self._consumer.commit(offsets=spots, asynchronous=True)
            except KafkaException as error:
                log_line.info("offsets not committed", error=error.args[0].str())

    # inside ----------------------------------------------------------------------------------------------------

    def _read(self) -> list[Record]:
        messages = self._consumer.consume(self._worker.batch_events_max, self._worker.batch_wait_ms_max / 1000)
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(read_record(self._partition(message), message))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._ends[self._partition(message)] = message.offset() or 0
            elif error.code() in SEEK_AGAIN:
                log_line.warning("seek again", error=error.str())
                self._version += 1
            elif error.fatal():
                raise Unavailable("kafka", error.str())
        return records

    def _partition(self, message: Message) -> Partition:
        place: Any = (message.topic(), message.partition())
        return self._partitions.get(place) or self._partitions.setdefault(place, Partition(*place))

    def _assigned(self, consumer: Consumer, spots: list[TopicPartition]) -> None:
        # A plain offset: the answer to a logical one (END) may come after our seek, and undo it.
        consumer.incremental_assign([TopicPartition(s.topic, s.partition, 0) for s in spots])
        consumer.pause(spots)
        self._change(self._ours | {Partition(s.topic, s.partition) for s in spots})

    def _revoked(self, consumer: Consumer, spots: list[TopicPartition]) -> None:
        consumer.incremental_unassign(spots)
        self._change(self._ours - {Partition(s.topic, s.partition) for s in spots})

    def _change(self, ours: frozenset[Partition]) -> None:
        self._ours = ours
        self._version += 1


def read_record(partition: Partition, message: Message) -> Record:
    value = message.value()
    kind, timestamp_ms = message.timestamp()
    epoch = message.leader_epoch()
    return Record(
        partition,
        message.offset() or 0,
        timestamp_ms if kind and timestamp_ms < TIME_MS_MAX else -1,
        _bytes(message.key()),
        None if value is None else _bytes(value),
        -1 if epoch is None else epoch,
        value is not None and len(value) > EVENT_BYTES_MAX and _was_collected(message),
    )


def _spot(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)


def _bytes(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _was_collected(message: Message) -> bool:
    headers: Any = message.headers() or ()
    return any(name == COLLECTED_HEADER for name, _ in headers)


def say_trouble(error: KafkaError) -> None:
    """Of a broker that is away librdkafka speaks many times a second: once all are away is enough."""
    if error.code() != KafkaError._TRANSPORT:
        log_line.warning("kafka", error=error.str())
