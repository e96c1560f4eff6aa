"""Append to `rta.control`, the platform's own records; and read how long topics keep records.   Stage 2 of 6.

The format of the records is in docs/reference/control.md. Errors: `Unavailable`.
"""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not listed in __all__
    AdminClient,
    ConfigResource,
    ResourceType,
)

from rtaplatform.core.errors import Unavailable
from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka.config import (
    CONTROL,
    REQUEST_SECONDS_MAX,
    TOPICS,
    make_client_config,
    make_producer_config,
)

DELIVERY_SECONDS_MAX = 5.0


class ControlLog:
    """Clients are made when they are first needed."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: Producer | None = None
        self._admin: AdminClient | None = None

    def append(self, key: bytes, value: bytes) -> None:
        """Append a record; return once all replicas have it. After an error it may be there or not: append it again."""
        producer = self._producer = self._producer or Producer(
            make_producer_config(self._settings)
            | {"delivery.timeout.ms": int(DELIVERY_SECONDS_MAX * 1000), "linger.ms": 0}
        )
        errors: list[KafkaError] = []

        def note_delivery(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                errors.append(error)

        try:
            producer.produce(CONTROL, key=key, value=value, on_delivery=note_delivery)
            unsent_count = producer.flush(DELIVERY_SECONDS_MAX + 1)
        except (KafkaException, BufferError) as error:
            raise Unavailable("kafka", str(error)) from error
        if errors or unsent_count:
            self._producer = None
            raise Unavailable("kafka", errors[0].str() if errors else "the record was not acknowledged in time")

    def read_retention(self) -> dict[str, tuple[int, int]]:
        """Topic → how many milliseconds and bytes each partition keeps; -1: no limit."""
        self._admin = self._admin or AdminClient(make_client_config(self._settings))
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in TOPICS]
        try:
            answers = self._admin.describe_configs(resources, request_timeout=REQUEST_SECONDS_MAX)
            configs = {resource.name: future.result() for resource, future in answers.items()}
        except KafkaException as error:
            raise Unavailable("kafka", error.args[0].str()) from error
        return {
            topic: (int(config["retention.ms"].value), int(config["retention.bytes"].value))
            for topic, config in configs.items()
        }
