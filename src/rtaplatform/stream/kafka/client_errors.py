"""How consumers handle errors of the Kafka client.   Stage 2 of 6."""

from __future__ import annotations

from confluent_kafka import KafkaError

from rtaplatform import telemetry
from rtaplatform.core.errors import SetupError

# After these errors positions must be found again. After all others librdkafka retries by itself.
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

log_line = telemetry.make_logger("stream")


def log_error(error: KafkaError) -> None:
    """Log an error, but not of a single broker: librdkafka repeats it many times a second while a broker is away."""
    if error.code() != KafkaError._TRANSPORT:
        log_line.warning("kafka error", reason=error.str())


def explain_failed_client(detail: str) -> SetupError:
    """The error to raise after a fatal error of the client: it will never work again, so the process must restart."""
    return SetupError(
        f"The Kafka client has failed for good: {detail}",
        "It is started again by its supervisor. If it fails again, see Kafka's log, and the version of the brokers.",
    )
