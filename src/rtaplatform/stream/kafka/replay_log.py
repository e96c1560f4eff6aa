"""Write dead letters into their topics of origin again.   Stage 2 of 6.

A replay goes to the partition of its origin, with the key and the timestamp that the record had. So it is judged as
late or early as the record itself would be now. Errors: `Unavailable`.
"""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.events import REPLAY_HEADER, REPLAY_MARK
from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka.config import make_producer_config
from rtaplatform.stream.port import Replay

DELIVERY_SECONDS_MAX = 6.0


class KafkaReplays:
    """`ReplayLog` in Kafka. The producer is made for each call: replays are rare."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._config = make_producer_config(settings) | {"delivery.timeout.ms": int(DELIVERY_SECONDS_MAX * 1000)}

    def append(self, replays: Sequence[Replay]) -> None:
        producer, errors = Producer(self._config), list[KafkaError]()

        def note_delivery(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                errors.append(error)

        try:
            for replay in replays:
                producer.produce(
                    replay.partition.topic,
                    partition=replay.partition.number,
                    key=replay.key,
                    value=REPLAY_MARK + replay.value,
                    timestamp=max(replay.timestamp_ms, 0),  # 0: now
                    headers={REPLAY_HEADER: replay.origin.encode(), **replay.headers},
                    on_delivery=note_delivery,
                )
                producer.poll(0)
            unsent_count = producer.flush(DELIVERY_SECONDS_MAX + 1)
        except (KafkaException, BufferError) as error:
            raise Unavailable("kafka", str(error)) from error
        if errors or unsent_count:
            raise Unavailable("kafka", errors[0].str() if errors else "replays were not acknowledged in time")
