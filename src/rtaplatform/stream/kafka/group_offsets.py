"""How far a consumer group has come, asked again and again from outside of it.   Stage 2 of 6.

A reader that hangs says nothing of itself; its group's committed offsets do. One consumer is kept for the question. It
never joins the group and is assigned nothing, so it costs a request a time. Errors: `Unavailable`.
"""

from __future__ import annotations

import threading

from confluent_kafka import Consumer, KafkaException

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import REQUEST_SECONDS_MAX, client_config, topic_partition
from rtaplatform.stream.port import GroupPosition, OffsetRange, Partition


class GroupOffsets:
    """Of one group that commits as `group_consumer.py` does. Any thread may ask; one question is answered at a time."""

    def __init__(self, kafka: KafkaSettings, group_id: str, broker: Broker) -> None:
        self._config, self._broker = client_config(kafka) | {"group.id": group_id}, broker
        self._consumer: Consumer | None = None
        self._one_question = threading.Lock()

    def look(self) -> GroupPosition:
        """Where the group stands in the event topics, and how many records it has still to read."""
        with self._one_question:
            topics = self._broker.topics()
            partitions = [Partition(name, n) for name, (_, count) in topics.items() for n in range(count)]
            extents = self._broker.extents(partitions)
            offsets = self._committed(extents)
        there = extents.values()
        behind = (max(0, extent.readable - max(offsets.get(extent.place, 0), extent.low)) for extent in there)
        return GroupPosition(offsets, sum(behind))

    def _committed(self, extents: dict[Partition, OffsetRange]) -> dict[PartitionId, int]:
        """What was committed for a topic that has been made again since is left out."""
        asked = [topic_partition(partition) for partition in extents]
        if self._consumer is None:
            # An admin client would do, but a coordinator that has just moved ends the whole process (librdkafka 2.16).
            self._consumer = Consumer(self._config)
        try:
            spots = self._consumer.committed(asked, REQUEST_SECONDS_MAX) if asked else []
        except KafkaException as error:
            self._consumer = None
            raise Unavailable("kafka", error.args[0].str()) from error
        found = {}
        for spot in spots:
            place = extents[Partition(spot.topic, spot.partition)].place
            if spot.error is None and spot.offset >= 0 and (spot.metadata or "").startswith(f"{place.topic_id}|"):
                found[place] = spot.offset
        return found
