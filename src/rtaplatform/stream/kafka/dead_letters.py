"""The topic of dead letters, where records are quarantined.   Stage 2 of 6.

A dead letter is the record's own bytes under the key topic:partition:offset, so that quarantining it again overwrites
it. Its headers have the reason, the project, and the record's key and timestamp. Only values and keys that are larger
than any event's are cut to their beginning: with the headers they could exceed what Kafka accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.events import COLLECTED_HEADER
from rtaplatform.settings import KafkaSettings
from rtaplatform.stream.kafka.config import DEAD_LETTERS, make_producer_config
from rtaplatform.stream.port import DeadLetter

DELIVERY_SECONDS_MAX = 6.0  # a worker that is stopped waits for it, and has 10 seconds in all
# Together with all headers, this stays below the million bytes that producers and brokers accept by default.
VALUE_BYTES_KEPT = 512_000
KEY_BYTES_KEPT = 256_000
Delivered = Callable[[KafkaError | None, Message], None]


class KafkaDeadLetters:
    """`DeadLetters` in Kafka. The producer is made at the start: Kafka takes half a second to accept a new one."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._config = make_producer_config(settings) | {
            "delivery.timeout.ms": int(DELIVERY_SECONDS_MAX * 1000),
            "queue.buffering.max.kbytes": 32_768,
            "linger.ms": 1,
        }
        self._producer: Producer | None = Producer(self._config)

    def quarantine(self, dead_letters: Sequence[DeadLetter]) -> None:
        producer = self._producer = self._producer or Producer(self._config)
        errors: list[KafkaError] = []

        def note_delivery(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                errors.append(error)

        try:
            for dead_letter in dead_letters:
                self._produce(producer, dead_letter, note_delivery)
            unsent_count = producer.flush(DELIVERY_SECONDS_MAX + 1)
        except KafkaException as error:
            errors.append(error.args[0])
            unsent_count = 0
        if errors or unsent_count:
            # What this producer has delivered is unknown; a new producer starts with a clean sequence.
            self._producer = None
            raise Unavailable("kafka", errors[0].str() if errors else "dead letters were not acknowledged in time")

    def _produce(self, producer: Producer, dead_letter: DeadLetter, note_delivery: Delivered) -> None:
        record = dead_letter.record
        value = record.value or b""
        headers: dict[str, str | bytes | None] = {
            "rta-origin": dead_letter.origin,
            "rta-reason": str(dead_letter.reason),
            "rta-detail": dead_letter.detail,
            "rta-project": dead_letter.project,
            "rta-timestamp": str(record.timestamp_ms),
            "rta-key": record.key[:KEY_BYTES_KEPT],
        }
        if record.was_collected:
            headers[COLLECTED_HEADER] = b"1"
        if len(value) > VALUE_BYTES_KEPT or len(record.key) > KEY_BYTES_KEPT:
            headers["rta-cut"] = f"key {len(record.key)}, value {len(value)} bytes"
        while True:
            try:
                producer.produce(
                    DEAD_LETTERS,
                    key=dead_letter.origin.encode(),
                    value=value[:VALUE_BYTES_KEPT],
                    headers=headers,
                    on_delivery=note_delivery,
                )
                producer.poll(0)
                return
            except BufferError:
                producer.poll(0.1)
