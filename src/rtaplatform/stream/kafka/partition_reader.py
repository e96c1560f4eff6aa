"""Read partitions in Kafka one by one, from any offset: a rebuild merges them.   Stage 2 of 6: collect → [stream].

There is one consumer per partition, each with its own small queue, so that waiting for one partition is not delayed by
records already fetched from others. No group is joined and nothing is committed. Errors: `Unavailable`.
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.events import EVENT_TOPICS
from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.client_errors import SEEK_AGAIN, explain_failed_client, log_error
from rtaplatform.stream.kafka.config import CONTROL, make_consumer_config
from rtaplatform.stream.kafka.consumer import make_message_columns
from rtaplatform.stream.port import OffsetRange, Partition, PollResult

READ_MAX = 2_000  # records at once
QUEUE_KBYTES = 8_192  # what a consumer fetches ahead

_QUEUE = {
    "group.protocol": "classic",  # only this protocol allows a consumer without a group
    "queued.min.messages": 10_000,
    "queued.max.messages.kbytes": QUEUE_KBYTES,
    "error_cb": log_error,
}


class KafkaPartitions:
    """`PartitionReader` over the event topics and `rta.control`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._config = make_consumer_config(settings, "rta-rebuild") | _QUEUE
        self._broker = Broker(settings)
        self._consumers: dict[Partition, Consumer] = {}

    def close(self) -> None:
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()

    # the port --------------------------------------------------------------------------------------------------

    def list_partitions(self) -> list[Partition]:
        topics = self._broker.describe_topics((*EVENT_TOPICS, CONTROL))
        return [Partition(name, number) for name, (_, count) in topics.items() for number in range(count)]

    def read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        return self._broker.read_extents(partitions)

    def seek(self, partition: Partition, offset: int) -> None:
        consumer = self._consumers.get(partition)
        if consumer is None:
            consumer = self._consumers[partition] = Consumer(self._config)
        try:
            # What was fetched before is dropped with the old assignment.
            consumer.assign([TopicPartition(partition.topic, partition.number, offset)])
        except KafkaException as error:
            raise Unavailable("kafka", error.args[0].str()) from error

    def read(self, partition: Partition, wait_seconds: float) -> PollResult:
        consumer = self._consumers[partition]
        messages = consumer.consume(READ_MAX, 0.0)
        if not messages and wait_seconds:
            messages = consumer.consume(1, wait_seconds)
        records: list[Message] = []
        ends: dict[Partition, int] = {}
        for message in messages:
            if message.error() is None:
                records.append(message)
                ends.clear()
            else:
                ends |= _read_end(partition, message)
        runs = (
            [make_message_columns(partition, records, [message.key() or b"" for message in records])] if records else []
        )
        return PollResult(runs, ends)


def _read_end(partition: Partition, message: Message) -> dict[Partition, int]:
    """The partition's end, if the message reports it. Raises `Unavailable` if the partition must be sought again."""
    error = message.error()
    assert error is not None
    if error.code() == KafkaError._PARTITION_EOF:
        return {partition: message.offset() or 0}
    if error.fatal():
        raise explain_failed_client(error.str())
    if error.code() in SEEK_AGAIN:
        raise Unavailable("kafka", error.str())
    return {}
