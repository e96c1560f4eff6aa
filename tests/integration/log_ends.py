"""The end of a partition, also of a broker that has just started."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

LEADER_SECONDS_MAX = 30.0


def read_end(consumer: Consumer, place: TopicPartition) -> int:
    """The offset after the last record. A broker that has just started does not know yet who leads a partition."""
    deadline = time.monotonic() + LEADER_SECONDS_MAX
    while True:
        try:
            return int(consumer.get_watermark_offsets(place, timeout=10)[1])
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
