"""What errors of the Kafka client ask of its consumers.   Stage 2 of 6."""

from __future__ import annotations

from confluent_kafka import KafkaError

from rtaplatform import telemetry
from rtaplatform.core.errors import SetupError

# After these the positions must be found anew. All else passes by itself, and librdkafka goes on trying.
SEEK_AGAIN = frozenset(
    (
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._LOG_TRUNCATION,
        KafkaError._MAX_POLL_EXCEEDED,
    )
)

log_line = telemetry.logger("stream")


def log_error(error: KafkaError) -> None:
    """Of a broker that is away librdkafka speaks many times a second: once all are away is enough."""
    if error.code() != KafkaError._TRANSPORT:
        log_line.warning("kafka", error=error.str())


def client_has_failed(detail: str) -> SetupError:
    """A fatal error of the Kafka client: no call of it will ever succeed, so the process ends and is started again."""
    return SetupError(
        f"The Kafka client has failed for good: {detail}",
        "It is started again by its supervisor. If it fails again, see Kafka's log, and the version of the brokers.",
    )
