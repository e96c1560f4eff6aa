"""The durable log in Kafka, as a worker reads it.   Stage 2 of 6: collect → [stream] → process.

The consumer joins a group, which only assigns partitions. The worker decides where to read from, never the group. A
newly assigned partition is paused until the worker has called `seek`. Nothing is skipped: after an offset out of range,
the worker must seek again. Limits: librdkafka's queue, and one portion.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from itertools import compress
from operator import itemgetter
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from rtaplatform import telemetry
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.events import COLLECTED_HEADER, EVENT_BYTES_MAX, EVENT_TOPICS, REPLAY_HEADER, REPLAY_MARK
from rtaplatform.core.time.timestamps import TIME_MS_MAX
from rtaplatform.settings import KafkaSettings, WorkerSettings
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.client_errors import SEEK_AGAIN, explain_failed_client, log_error
from rtaplatform.stream.kafka.config import make_consumer_config, seek, to_topic_partition
from rtaplatform.stream.kafka.membership import Membership
from rtaplatform.stream.port import PORTION, OffsetRange, Partition, PollResult, RecordColumns, TimedOffset, is_origin

log_line = telemetry.make_logger("stream")


class OpenPoll:
    """A batch that is being read: what it still has room for, and how long it still waits for records."""

    def __init__(self, worker: WorkerSettings) -> None:
        self.room, self._bytes_left = worker.batch_events_max, worker.batch_bytes_max
        self.wait_s = worker.batch_wait_ms_max / 1000

    def add(self, records: int, size: int) -> None:
        self.room -= records
        self._bytes_left -= size

    @property
    def is_full(self) -> bool:
        return self.room <= 0 or self._bytes_left <= 0


class KafkaConsumer:
    """`EventLog` over the event topics, assigned by the group; or, without a group, over the given partitions."""

    def __init__(self, kafka: KafkaSettings, worker: WorkerSettings, partitions: Sequence[Partition] = ()) -> None:
        self._worker = worker
        self._broker = Broker(kafka)
        self._version = 0
        self._partition_set: frozenset[Partition] = frozenset()
        self._ends: dict[Partition, int] = {}
        self._held_back: frozenset[Partition] = frozenset()
        self._membership = Membership(worker.group_protocol)
        self._config = make_consumer_config(kafka, worker.group_id) | {
            "max.poll.interval.ms": 1_800_000,
            "error_cb": log_error,
        }
        self._consumer = self._make_consumer()
        self._batch = OpenPoll(worker)
        self._topics = list(dict.fromkeys(p.topic for p in partitions)) or list(EVENT_TOPICS)
        assignment = [TopicPartition(p.topic, p.number, 0) for p in partitions]
        if assignment:
            self._consumer.assign(assignment)
            self._consumer.pause(assignment)
            self._set_partitions(frozenset(partitions))
        else:
            self._subscribe()

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        self._consumer.close()

    # the port --------------------------------------------------------------------------------------------------

    def poll(self, at_most: int | None = None) -> PollResult:
        if self._membership.is_refused:
            self._membership.fall_back(self._worker.group_id)
            self.rejoin()
        count_max = min(PORTION, self._batch.room, at_most or PORTION)
        messages = self._consumer.consume(count_max, 0.0)
        if len(messages) < count_max:
            messages += self._wait_for(count_max - len(messages))
        is_whole = len(messages) < count_max or self._batch.wait_s <= 0
        runs = self._make_runs(messages)
        ends, self._ends = self._ends, {}
        self._batch.add(len(messages), sum(map(_measure_run, runs)))
        if is_whole or self._batch.is_full:
            self._batch = OpenPoll(self._worker)
            return PollResult(runs, ends)
        return PollResult(runs, ends, is_whole=False)

    def read_assignment(self) -> tuple[int, frozenset[Partition]]:
        return self._version, self._partition_set

    def read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        return self._broker.read_extents(partitions)

    def seek(self, positions: Mapping[Partition, int]) -> None:
        self._batch = OpenPoll(self._worker)
        self._ends, self._held_back = {}, frozenset()
        pauses = [to_topic_partition(p) for p in self._partition_set if p not in positions]
        try:
            self._consumer.pause(pauses)
            for partition, offset in positions.items():
                seek(self._consumer, *partition, offset)
            self._consumer.resume([to_topic_partition(p) for p in positions])
        except KafkaException as error:
            raise Unavailable("kafka", error.args[0].str()) from error

    def hold_back(self, partitions: Collection[Partition]) -> None:
        """Pause these. The client drops what it has fetched of them, and fetches it again once they are let go."""
        partitions_to_hold = self._partition_set & frozenset(partitions)
        try:
            self._consumer.pause([to_topic_partition(p) for p in partitions_to_hold - self._held_back])
            self._consumer.resume(
                [to_topic_partition(p) for p in self._partition_set & self._held_back - partitions_to_hold]
            )
        except KafkaException as error:
            raise Unavailable("kafka", error.args[0].str()) from error
        self._held_back = partitions_to_hold

    def read_next_times(self, after_ms: Mapping[Partition, int]) -> dict[Partition, TimedOffset]:
        return self._broker.read_next_times(after_ms)

    def rejoin(self) -> None:
        old_consumer, self._consumer = self._consumer, self._make_consumer()
        self._set_partitions(frozenset())
        self._subscribe()
        # Closing may wait for a coordinator that does not know the member.
        threading.Thread(target=old_consumer.close, name="leaving", daemon=True).start()

    def commit(self, positions: Mapping[Partition, int]) -> None:
        offsets = [
            TopicPartition(p.topic, p.number, offset) for p, offset in positions.items() if p in self._partition_set
        ]
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            except KafkaException as error:
                log_line.info("offsets not committed", reason=error.args[0].str())

    # inside ----------------------------------------------------------------------------------------------------

    def _make_consumer(self) -> Consumer:
        return Consumer(self._config | self._membership.make_config())

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def _wait_for(self, count_max: int) -> list[Message]:
        """Wait for messages; for a whole batch no longer than the settings say."""
        started_at = time.monotonic()
        messages = self._consumer.consume(count_max, max(0.0, self._batch.wait_s))
        self._batch.wait_s -= time.monotonic() - started_at
        return messages

    def _make_runs(self, messages: list[Message]) -> list[RecordColumns]:
        """One run for each partition. A portion has few partitions, so the messages are scanned once for each."""
        keys: list[Any] = list(map(Message.key, messages))
        if not all(keys):  # messages that are no records have no key; a record may have none too, or an empty one
            messages = [m for m in messages if m.error() is None or self._handle_error(m)]
            keys = [m.key() or b"" for m in messages]
        places: list[Any] = list(map(Message.partition, messages))
        if len(self._topics) > 1:
            places = list(zip(map(Message.topic, messages), places, strict=True))
        runs = []
        for place in dict.fromkeys(places):
            partition = _intern_partition(place if len(self._topics) > 1 else (self._topics[0], place))
            if places.count(place) == len(places):
                return [make_message_columns(partition, messages, keys)]
            is_here = [message_place == place for message_place in places]
            run = make_message_columns(partition, list(compress(messages, is_here)), list(compress(keys, is_here)))
            runs.append(run)
        return runs

    def _handle_error(self, message: Message) -> bool:
        """Handle a message that is no record: an end, a reason to seek again, or an error. Always False."""
        error = message.error()
        assert error is not None
        if error.code() == KafkaError._PARTITION_EOF:
            self._ends[_intern_partition((message.topic(), message.partition()))] = message.offset() or 0
        elif error.code() in SEEK_AGAIN:
            log_line.warning("seek required", reason=error.str())
            self._version += 1
        elif error.fatal():
            raise explain_failed_client(error.str())
        return False

    def _on_assign(self, consumer: Consumer, assignment: list[TopicPartition]) -> None:
        # Assign with a number as offset: the answer to a logical one (END) may come after our seek, and undo it.
        consumer.incremental_assign([TopicPartition(a.topic, a.partition, 0) for a in assignment])
        consumer.pause(assignment)
        self._set_partitions(self._partition_set | {Partition(a.topic, a.partition) for a in assignment})

    def _on_revoke(self, consumer: Consumer, revocation: list[TopicPartition]) -> None:
        consumer.incremental_unassign(revocation)
        if consumer is self._consumer:  # not one that is leaving
            self._set_partitions(self._partition_set - {Partition(r.topic, r.partition) for r in revocation})

    def _set_partitions(self, partitions: frozenset[Partition]) -> None:
        self._partition_set = partitions
        self._version += 1


@cache
def _intern_partition(place: Any) -> Partition:
    return Partition(*place)


def make_message_columns(partition: Partition, messages: list[Message], keys: list[bytes]) -> RecordColumns:
    values: list[Any] = list(map(Message.value, messages))
    times_ms = list(map(itemgetter(1), map(Message.timestamp, messages)))  # -1 if a message has none
    if max(times_ms) >= TIME_MS_MAX:
        times_ms = [time_ms if time_ms < TIME_MS_MAX else -1 for time_ms in times_ms]
    epoch = messages[-1].leader_epoch()
    large = [i for i, value in enumerate(values) if value is not None and len(value) > EVENT_BYTES_MAX]
    collected_indexes = frozenset(i for i in large if _was_collected(messages[i]))
    return RecordColumns(
        partition,
        _read_offsets(messages),
        times_ms,
        keys,
        values,
        -1 if epoch is None else epoch,
        collected_indexes,
        _find_replays(messages, values),
    )


def _find_replays(messages: list[Message], values: list[Any]) -> dict[int, str]:
    """The origins of the replays, by their indexes."""
    marked_indexes = [i for i, value in enumerate(values) if value and value[0] == REPLAY_MARK[0]]
    origins = {i: _read_replay_origin(messages[i]) for i in marked_indexes}
    return {i: origin for i, origin in origins.items() if origin}


def _read_replay_origin(message: Message) -> str:
    headers: Any = message.headers() or ()
    origin = next((value for name, value in headers if name == REPLAY_HEADER), None) or b""
    return origin.decode() if is_origin(origin) else ""


def _read_offsets(messages: list[Message]) -> Sequence[int]:
    """The offsets of the messages; a range if none is missing between the first and the last."""
    first, last = messages[0].offset() or 0, messages[-1].offset() or 0
    if last - first + 1 == len(messages):
        return range(first, last + 1)
    offsets: list[Any] = list(map(Message.offset, messages))
    return offsets


def _measure_run(run: RecordColumns) -> int:
    return sum(map(len, run.values if all(run.values) else filter(None, run.values)))  # type: ignore[arg-type]  # no None


def _was_collected(message: Message) -> bool:
    headers: Any = message.headers() or ()
    return any(name == COLLECTED_HEADER for name, _ in headers)
