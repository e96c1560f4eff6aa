"""The durable log in Kafka, as a worker reads it.   Stage 2 of 6: collect → [stream] → process.

A member of a consumer group, which only shares out the partitions: where to read from is the worker's
word, never the group's. A partition that was just assigned is held until the worker has sought.
Nothing is skipped: an offset out of range asks for a new seek. Bounded: librdkafka's queue, and one batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from rtaplatform import telemetry
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.events import COLLECTED_HEADER, EVENT_BYTES_MAX, EVENT_TOPICS
from rtaplatform.core.times import TIME_MS_MAX
from rtaplatform.settings import KafkaSettings, WorkerSettings
from rtaplatform.stream.broker import Broker
from rtaplatform.stream.kafka import consumer_config
from rtaplatform.stream.port import Batch, Extent, Partition, Run

# After these the positions must be found anew. All else passes by itself, and librdkafka goes on trying.
_SEEK_AGAIN = frozenset(
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
    """`EventLog` over the event topics, shared out by the group; or, without a group, over the partitions given."""

    def __init__(self, kafka: KafkaSettings, worker: WorkerSettings, given: Sequence[Partition] = ()) -> None:
        self._worker = worker
        self._broker = Broker(kafka)
        self._version = 0
        self._ours: frozenset[Partition] = frozenset()
        self._left: list[Run] = []  # read, but beyond the limit of the last batch
        self._ends: dict[Partition, int] = {}  # of what is in `_left`, or was in the last batch
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._consumer = Consumer(
            consumer_config(kafka, worker.group_id)
            | {"group.protocol": worker.group_protocol, "max.poll.interval.ms": 1_800_000, "error_cb": _say}
        )
        self._topics = list(dict.fromkeys(p.topic for p in given)) or list(EVENT_TOPICS)
        spots = [TopicPartition(p.topic, p.number, 0) for p in given]
        if spots:
            self._consumer.assign(spots)
            self._consumer.pause(spots)
            self._change(frozenset(given))
        else:
            self._consumer.subscribe(
                self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        self._consumer.close()

    # the port --------------------------------------------------------------------------------------------------

    def poll(self) -> Batch:
        if not self._left:
            self._left = self._read()
        room = self._worker.batch_bytes_max
        for number, run in enumerate(self._left):
            fitting = _fitting(run, room, at_least=0 if number else 1)
            if fitting < len(run):
                head = [run.part(0, fitting)] if fitting else []
                batch = self._left[:number] + head
                self._left = [run.part(fitting, len(run)), *self._left[number + 1 :]]
                return Batch(batch)
            room -= _bytes_of(run)
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

    def _read(self) -> list[Run]:
        messages = self._consumer.consume(self._worker.batch_events_max, self._worker.batch_wait_ms_max / 1000)
        keys: list[Any] = list(map(Message.key, messages))
        if None in keys:
            messages = [m for m in messages if m.error() is None or self._heed(m)]
            keys = [m.key() or b"" for m in messages]
        return list(self._runs(messages, keys))

    def _runs(self, messages: list[Message], keys: list[bytes]) -> Iterator[Run]:
        """A run a partition; there are few of them, so each is picked out by itself."""
        places: list[Any] = list(map(Message.partition, messages))
        if len(self._topics) > 1:
            places = list(zip(map(Message.topic, messages), places, strict=True))
        for place in dict.fromkeys(places):
            mine = [found == place for found in places]
            whole = place if len(self._topics) > 1 else (self._topics[0], place)
            yield self._run(self._partition(whole), list(compress(messages, mine)), list(compress(keys, mine)))

    def _heed(self, message: Message) -> bool:
        """What is no record: an end, a reason to seek again, or trouble. Always False."""
        error = message.error()
        assert error is not None
        if error.code() == KafkaError._PARTITION_EOF:
            self._ends[self._partition((message.topic(), message.partition()))] = message.offset() or 0
        elif error.code() in _SEEK_AGAIN:
            log_line.warning("seek again", error=error.str())
            self._version += 1
        elif error.fatal():
            raise Unavailable("kafka", error.str())
        return False

    def _run(self, partition: Partition, messages: list[Message], keys: list[bytes]) -> Run:
        values: list[Any] = list(map(Message.value, messages))
        offsets: list[Any] = list(map(Message.offset, messages))
        times = [at for _kind, at in map(Message.timestamp, messages)]  # -1 where there is none
        if max(times) >= TIME_MS_MAX:
            times = [at if at < TIME_MS_MAX else -1 for at in times]
        epoch = messages[-1].leader_epoch()
        large = [i for i, value in enumerate(values) if value is not None and len(value) > EVENT_BYTES_MAX]
        collected = frozenset(i for i in large if _was_collected(messages[i]))
        return Run(partition, offsets, times, keys, values, -1 if epoch is None else epoch, collected)

    def _partition(self, place: Any) -> Partition:
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


def _spot(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)


def _bytes_of(run: Run) -> int:
    values = run.values if None not in run.values else filter(None, run.values)
    return sum(map(len, values))  # type: ignore[arg-type]  # without None


def _fitting(run: Run, room: int, *, at_least: int) -> int:
    """How many of its first records have at most `room` bytes together."""
    if _bytes_of(run) <= room:
        return len(run)
    for number, value in enumerate(run.values):
        room -= len(value or b"")
        if room < 0 and number >= at_least:
            return number
    return len(run)


def _was_collected(message: Message) -> bool:
    headers: Any = message.headers() or ()
    return any(name == COLLECTED_HEADER for name, _ in headers)


def _say(error: KafkaError) -> None:
    """Of a broker that is away librdkafka speaks many times a second: once all are away is enough."""
    if error.code() != KafkaError._TRANSPORT:
        log_line.warning("kafka", error=error.str())
