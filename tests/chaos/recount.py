"""The oracle over everything that Kafka holds, and how many events of any beginning of the log count."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from rtaplatform.core.ledger import PartitionId
from rtaplatform.simulate.oracle.oracle import Oracle
from rtaplatform.simulate.oracle.oracle_truth import Truth
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import DEAD_LETTERS, make_client_config
from tests.integration.chaos import PROJECT, Stack


class Recount:
    """`truth` of the whole log; `count_until(ends)`: how many of the records before these ends are applied."""

    def __init__(self, stack: Stack) -> None:
        oracle = Oracle({PROJECT.slug: {"zone": PROJECT.zone, "currency": PROJECT.currency}})
        ids = {name: topic_id for name, (topic_id, _) in Broker(stack.kafka_settings).describe_topics().items()}
        self.truth: Truth = oracle.truth
        self._applied: dict[PartitionId, array[int]] = {}
        totals = oracle.truth.projects[PROJECT.slug].totals
        for record in stack.read_records():
            sums = self._applied.setdefault(PartitionId(ids[record.topic], record.partition), array("Q", [0]))
            # Without a record at an offset (a marker of a transaction) the sum stays what it was.
            sums.extend(sums[-1:] * (record.offset + 1 - len(sums)))
            before = totals["applied"]
            oracle.add(record)
            sums.append(sums[-1] + totals["applied"] - before)

    def count_until(self, ends: Mapping[PartitionId, int]) -> int:
        return sum(self._count_place(place, end) for place, end in ends.items())

    def _count_place(self, place: PartitionId, end: int) -> int:
        sums = self._applied.get(place)
        return 0 if sums is None else sums[min(end, len(sums) - 1)]


def read_dead_letter_origins(stack: Stack) -> set[str]:
    """The origins of all dead letters in Kafka."""
    config: dict[str, Any] = {"group.id": "letters", "auto.offset.reset": "error", "enable.partition.eof": True}
    consumer = Consumer(make_client_config(stack.kafka_settings) | config)
    try:
        partitions = range(Broker(stack.kafka_settings).describe_topics([DEAD_LETTERS])[DEAD_LETTERS][1])
        consumer.assign([TopicPartition(DEAD_LETTERS, number, 0) for number in partitions])
        origins, unfinished_partitions = set[str](), set(partitions)
        while unfinished_partitions:
            for message in consumer.consume(10_000, 1.0):
                error, key = message.error(), message.key()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    unfinished_partitions.discard(message.partition() or 0)
                    continue
                assert error is None, error
                origins.add(key.decode() if isinstance(key, bytes) else str(key))
        return origins
    finally:
        consumer.close()
