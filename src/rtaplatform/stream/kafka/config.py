"""The configuration of our Kafka clients, and the names of the topics.   Stage 2 of 6.

Promise: every producer waits for all replicas, is idempotent, keeps order, and chooses the same partition as Java's
default partitioner. No reader ever jumps: an offset reset is an error.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from rtaplatform.core.events import DEAD_LETTERS_TOPIC, EVENT_TOPICS, REJECTED_TOPIC
from rtaplatform.settings import CollectSettings, KafkaSettings
from rtaplatform.stream.port import Partition

DEAD_LETTERS = DEAD_LETTERS_TOPIC
REJECTED = REJECTED_TOPIC
CONTROL = "rta.control"
TOPICS = (*EVENT_TOPICS, DEAD_LETTERS, REJECTED, CONTROL)
REQUEST_SECONDS_MAX = 5.0  # for the answer to one request to the cluster


def make_client_config(settings: KafkaSettings) -> dict[str, Any]:
    """The settings with which every client reaches the cluster, under librdkafka's names."""
    secrets = {"sasl.password": settings.sasl_password, "ssl.key.password": settings.ssl_key_password}
    plain = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.sasl_username,
        "ssl.ca.location": settings.ssl_ca_location,
        "ssl.certificate.location": settings.ssl_certificate_location,
        "ssl.key.location": settings.ssl_key_location,
    }
    config: dict[str, Any] = {name: str(value) for name, value in plain.items() if value is not None}
    config |= {name: value.get_secret_value() for name, value in secrets.items() if value is not None}
    # With this, a broker that comes back is used again within a second.
    return config | {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 1_000, "log_level": 2}


def make_producer_config(settings: KafkaSettings) -> dict[str, Any]:
    return make_client_config(settings) | {
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
    }


def make_collector_config(kafka: KafkaSettings, collect: CollectSettings) -> dict[str, Any]:
    """The settings of a producer that waits a moment to fill a batch, and has a bounded queue."""
    return make_producer_config(kafka) | {
        "linger.ms": collect.linger_ms,
        "delivery.timeout.ms": collect.delivery_timeout_ms,
        "queue.buffering.max.kbytes": collect.queue_kbytes_max,
    }


def make_consumer_config(settings: KafkaSettings, group_id: str) -> dict[str, Any]:
    return make_client_config(settings) | {
        "group.id": group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "fetch.queue.backoff.ms": 2,  # librdkafka's default of a second costs more than half of the catch-up speed
        "fetch.wait.max.ms": 100,
        "queued.min.messages": 50_000,
        "queued.max.messages.kbytes": 65_536,
        "fetch.message.max.bytes": 4 << 20,
    }


def to_topic_partition(partition: Partition) -> TopicPartition:
    """The same partition as the client's type."""
    return TopicPartition(partition.topic, partition.number)


def seek(consumer: Consumer, topic: str, number: int, offset: int) -> None:
    """Read an assigned partition from this offset on. Raises KafkaException.

    If fetching of the partition has ended, for example because its offset is out of range, it is assigned again
    instead.
    """
    target = TopicPartition(topic, number, offset)
    try:
        consumer.seek(target)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._STATE:
            raise
        consumer.incremental_unassign([TopicPartition(topic, number)])
        consumer.incremental_assign([target])
