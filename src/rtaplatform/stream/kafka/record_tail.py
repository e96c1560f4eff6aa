"""The newest records of some topics in Kafka, for one who only looks on.   Stage 2 of 6: collect → [stream].

It joins no group and commits nothing. It never holds a worker up, and may miss records: a reader that falls behind, or
whose offset is gone, begins again near the end. Errors: `Unavailable`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.client_errors import SEEK_AGAIN, log_error
from rtaplatform.stream.kafka.config import make_consumer_config
from rtaplatform.stream.port import Partition, TailPortion, TailRecord

READ_MAX = 2_000  # records at once
BEHIND_FACTOR = 4  # so many times as far behind as it began, it skips ahead
_CONFIG = {
    "group.protocol": "classic",  # only this protocol allows a consumer without a group
    "queued.min.messages": 1_000,
    "queued.max.messages.kbytes": 4_096,
    "fetch.message.max.bytes": 1 << 20,
    "error_cb": log_error,
}


class KafkaTail:
    """`RecordTail` over topics; those that do not exist are left out."""

    def __init__(self, settings: KafkaSettings, topics: Iterable[str], read_max: int = READ_MAX) -> None:
        """`read_max`: records at once; few where they are large."""
        self._config = make_consumer_config(settings, "rta-feed") | _CONFIG
        self._broker, self._topics, self._read_max = Broker(settings), tuple(topics), read_max
        self._consumer: Consumer | None = None
        self._last = 0
        self._next: dict[Partition, int] = {}
        self._at_end: set[Partition] = set()

    def open(self, last: int) -> None:
        self.close()
        topics = self._broker.describe_topics(self._topics)
        partitions = [Partition(name, number) for name, (_, count) in topics.items() for number in range(count)]
        extents = self._broker.read_extents(partitions)
        if not extents:
            raise Unavailable("kafka", "has none of the topics")
        self._last, self._at_end = last, set()
        self._next = {partition: max(e.low, e.readable - last) for partition, e in extents.items()}
        self._consumer = Consumer(self._config)
        with _translating_errors():
            self._consumer.assign([TopicPartition(*p, offset) for p, offset in self._next.items()])

    def poll(self, seconds: float) -> TailPortion:
        assert self._consumer is not None
        with _translating_errors():
            messages = self._consumer.consume(self._read_max, seconds)
        records = self._read(messages)
        skip_count = self._skip_ahead(self._consumer) if len(messages) == self._read_max else 0
        return TailPortion(records, skip_count, len(self._at_end) == len(self._next))

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _read(self, messages: Sequence[Message]) -> list[TailRecord]:
        records = []
        for message in messages:
            partition = Partition(message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                record = read_record(partition, message)
                self._next[partition] = record.offset + 1
                records.append(record)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._at_end.add(partition)
            elif error.fatal() or error.code() in SEEK_AGAIN:
                raise Unavailable("kafka", error.str())
        return records

    def _skip_ahead(self, consumer: Consumer) -> int:
        """Seek near the end of partitions that are far behind; return how many records were passed over."""
        skip_count = 0
        for partition, offset in self._next.items():
            _, high = consumer.get_watermark_offsets(TopicPartition(*partition), cached=True) or (0, 0)
            if high - offset > self._last * BEHIND_FACTOR:
                with _translating_errors():
                    consumer.seek(TopicPartition(*partition, high - self._last))
                skip_count += high - self._last - offset
                self._next[partition] = high - self._last
        return skip_count


def read_record(partition: Partition, message: Message) -> TailRecord:
    headers: Any = message.headers() or ()
    _kind, timestamp_ms = message.timestamp()
    return TailRecord(
        partition,
        message.offset() or 0,
        timestamp_ms,
        message.key() or b"",
        message.value() or b"",
        {name: value or b"" for name, value in headers},
    )


@contextlib.contextmanager
def _translating_errors() -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise Unavailable("kafka", error.args[0].str()) from error
