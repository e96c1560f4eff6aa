"""How far a consumer group has read, by its committed offsets, as seen from outside the group.   Stage 2 of 6.

A reader that hangs reports nothing itself, but its group's committed offsets show it. One consumer is kept to read
them. It never joins the group and has no partitions, so each look costs one request. Errors: `Unavailable`.
"""

from __future__ import annotations

import threading

from confluent_kafka import Consumer, KafkaException

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import REQUEST_SECONDS_MAX, make_client_config, to_topic_partition
from rtaplatform.stream.port import GroupPosition, OffsetRange, Partition


class GroupOffsets:
    """The offsets of a group that commits as `group_consumer.py` does. Thread-safe; one look at a time."""

    def __init__(self, kafka: KafkaSettings, group_id: str, broker: Broker) -> None:
        self._config, self._broker = make_client_config(kafka) | {"group.id": group_id}, broker
        self._consumer: Consumer | None = None
        self._one_look = threading.Lock()

    def look(self) -> GroupPosition:
        """The group's offsets in the event topics, and how many records it has still to read."""
        with self._one_look:
            topics = self._broker.describe_topics()
            partitions = [Partition(name, n) for name, (_, count) in topics.items() for n in range(count)]
            extents = self._broker.read_extents(partitions)
            offsets = self._read_committed(extents)
        lags = (max(0, e.readable - max(offsets.get(e.place, 0), e.low)) for e in extents.values())
        return GroupPosition(offsets, sum(lags))

    def _read_committed(self, extents: dict[Partition, OffsetRange]) -> dict[PartitionId, int]:
        """The committed offsets, without those of topics that have been made again since."""
        partitions = [to_topic_partition(partition) for partition in extents]
        if self._consumer is None:
            # An admin client would end the whole process if the coordinator has just moved (librdkafka 2.16).
            self._consumer = Consumer(self._config)
        try:
            positions = self._consumer.committed(partitions, REQUEST_SECONDS_MAX) if partitions else []
        except KafkaException as error:
            self._consumer = None
            raise Unavailable("kafka", error.args[0].str()) from error
        offsets = {}
        for c in positions:
            place = extents[Partition(c.topic, c.partition)].place
            if c.error is None and c.offset >= 0 and (c.metadata or "").startswith(f"{place.topic_id}|"):
                offsets[place] = c.offset
        return offsets
