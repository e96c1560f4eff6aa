"""Send records to Kafka.   simulate: traffic → [sender].

Promise: records are acknowledged by all replicas, in order, once each. While a broker is away the sender waits, and
says so once. Any error that waiting does not solve ends the run. Limits: the queue is bounded, so a slow broker slows
the run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from rtaplatform.core.errors import SetupError, Unavailable
from rtaplatform.settings import KafkaSettings
from rtaplatform.simulate.shop.records import TOPICS, SimulatedRecord
from rtaplatform.stream.kafka.config import make_client_config, make_producer_config

Notify = Callable[[str], None]
_QUEUE_MESSAGES_MAX = 50_000
_QUEUE_KBYTES_MAX = 65_536
_FIRST_ANSWER_SECONDS_MAX = 30
_FULL_QUEUE_WAIT_SECONDS = 0.1
_FLUSH_STEP_SECONDS = 0.25
_FLUSH_SECONDS_STOPPED = 3.5


def read_partition_counts(settings: KafkaSettings, *, is_stopped: Callable[[], bool]) -> dict[str, int]:
    """Return the number of partitions of each event topic. Raises Unavailable, SetupError."""
    topics = _list_topics(
        AdminClient(make_client_config(settings), logger=make_silent_logger()), settings.bootstrap_servers, is_stopped
    )
    missing_topics = [topic for topic in TOPICS if topic not in topics]
    if missing_topics:
        raise SetupError(f"Kafka has no topic {', '.join(missing_topics)}.", "Create the topics with `rta migrate`.")
    return {topic: len(topics[topic].partitions) for topic in TOPICS}


def _list_topics(client: AdminClient, servers: str, is_stopped: Callable[[], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + _FIRST_ANSWER_SECONDS_MAX
    while True:
        try:
            return client.list_topics(timeout=1.0).topics
        except KafkaException as error:
            if is_stopped() or time.monotonic() > deadline:
                raise Unavailable("kafka", f"{servers} does not answer: {error.args[0].str()}") from error


def make_silent_logger() -> logging.Logger:
    """Return a logger that drops librdkafka's messages: one per second while a broker is away. We report it once."""
    logger = logging.getLogger("rtaplatform.simulate.librdkafka")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger


class Sender:
    """One producer. When `is_stopped` returns True, it no longer waits for anything."""

    def __init__(self, settings: KafkaSettings, *, say: Notify, is_stopped: Callable[[], bool]) -> None:
        self._say, self._is_stopped = say, is_stopped
        self._failure: str | None = None
        self._is_away = False
        self._producer = Producer(self._make_configuration(settings), logger=make_silent_logger())

    def send(self, record: SimulatedRecord) -> bool:
        """Queue one record, waiting while the queue is full. Returns False if the run was stopped meanwhile."""
        while True:
            self._raise_failure()
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    timestamp=record.timestamp,
                    headers=list(record.headers) or None,
                    on_delivery=self._on_delivery,
                )
            except BufferError:
                if self._is_stopped():
                    return False
                self._producer.poll(_FULL_QUEUE_WAIT_SECONDS)
            else:
                return True

    def serve(self) -> None:
        """Handle librdkafka's reports; call it often. Raises SetupError if sending has failed for good."""
        self._producer.poll(0)
        self._raise_failure()

    def finish(self) -> int:
        """Wait for the records in flight. Returns how many were given up because the run was stopped."""
        give_up_at = None
        while events_left := self._producer.flush(_FLUSH_STEP_SECONDS):
            self._raise_failure()
            if self._is_stopped():
                give_up_at = give_up_at or time.monotonic() + _FLUSH_SECONDS_STOPPED
            if give_up_at and time.monotonic() > give_up_at:
                self._producer.purge()
                self._producer.flush(_FLUSH_STEP_SECONDS)
                return int(events_left)
        self._raise_failure()
        return 0

    def _make_configuration(self, settings: KafkaSettings) -> dict[str, Any]:
        return make_producer_config(settings) | {
            "message.timeout.ms": 0,  # wait for a broker however long it is away
            "linger.ms": 5,
            "batch.size": 262_144,
            "queue.buffering.max.messages": _QUEUE_MESSAGES_MAX,
            "queue.buffering.max.kbytes": _QUEUE_KBYTES_MAX,
            "error_cb": self._on_error,
        }

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._failure = error.str()
        elif error.code() == KafkaError._ALL_BROKERS_DOWN and not self._is_away:
            self._is_away = True
            self._say("Kafka is away; waiting for it.")

    def _on_delivery(self, error: KafkaError | None, _message: object) -> None:
        if error is None:
            if self._is_away:
                self._is_away = False
                self._say("Kafka is back.")
        elif error.code() != KafkaError._PURGE_QUEUE:
            self._failure = error.str()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise SetupError(f"Kafka refused a record: {self._failure}", "Look at the broker's log, then run it again.")
