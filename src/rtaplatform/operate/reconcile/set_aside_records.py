"""Records that workers set aside because a mistake of ours kept them from counting.   Names adapters.

The oracle would count them. They are dead letters with the reason `internal`; every other reason the oracle finds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.events import Reason
from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import DEAD_LETTERS, make_consumer_config, to_topic_partition
from rtaplatform.stream.port import Partition

_SILENT_SECONDS_MAX = 30.0


def read_set_aside(kafka: KafkaSettings) -> list[str]:
    """Return their origins, `topic:partition:offset`. Raises Unavailable."""
    broker = Broker(kafka)
    topics = broker.describe_topics([DEAD_LETTERS])
    partitions = [Partition(name, number) for name, (_, count) in topics.items() for number in range(count)]
    ends = {p: extent.readable for p, extent in broker.read_extents(partitions).items() if extent.readable > extent.low}
    consumer = Consumer(make_consumer_config(kafka, "rta-reconcile") | {"auto.offset.reset": "earliest"})
    try:
        consumer.assign([to_topic_partition(partition) for partition in ends])
        return [origin for message in _read_all(consumer, set(ends)) for origin in _read_origins(message)]
    except KafkaException as error:
        raise Unavailable("kafka", error.args[0].str()) from error
    finally:
        consumer.close()


def _read_all(consumer: Consumer, unread_partitions: set[Partition]) -> Iterator[Message]:
    heard_at = time.monotonic()
    while unread_partitions:
        for message in consumer.consume(2_000, 0.2):
            heard_at = time.monotonic()
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                unread_partitions.discard(Partition(str(message.topic()), message.partition() or 0))
        if time.monotonic() - heard_at > _SILENT_SECONDS_MAX:
            raise Unavailable("kafka", f"does not give the records of {DEAD_LETTERS}")


def _read_origins(message: Message) -> Iterable[str]:
    headers = dict(message.headers() or [])
    if _read_text(headers.get("rta-reason")) == Reason.INTERNAL:
        yield _read_text(headers.get("rta-origin"))


def _read_text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
