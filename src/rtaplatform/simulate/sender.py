"""Records to Kafka.   simulate: traffic → [sender].

Promise: acknowledged by all replicas, in order, once each. A broker that is away is waited for and said once;
anything that waiting does not mend ends the run. Limits: the queue is bounded, so a slow broker slows the run.
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
from rtaplatform.stream.kafka.config import client_config, producer_config

Say = Callable[[str], None]
_QUEUE_MESSAGES_MAX = 50_000
_QUEUE_KBYTES_MAX = 65_536
_FIRST_ANSWER_SECONDS_MAX = 30
_FULL_QUEUE_WAIT_SECONDS = 0.1
_FLUSH_STEP_SECONDS = 0.25
_FLUSH_SECONDS_STOPPED = 3.5


def partition_counts(settings: KafkaSettings, *, stopped: Callable[[], bool]) -> dict[str, int]:
    """Return the number of partitions of each event topic. Raises Unavailable, SetupError."""
    topics = _topics(AdminClient(client_config(settings), logger=silent_logger()), settings.bootstrap_servers, stopped)
    missing = [topic for topic in TOPICS if topic not in topics]
    if missing:
        raise SetupError(f"Kafka has no topic {', '.join(missing)}.", "Create the topics with `rta migrate`.")
    return {topic: len(topics[topic].partitions) for topic in TOPICS}


def _topics(client: AdminClient, servers: str, stopped: Callable[[], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + _FIRST_ANSWER_SECONDS_MAX
    while True:
        try:
            return client.list_topics(timeout=1.0).topics
        except KafkaException as error:
            if stopped() or time.monotonic() > deadline:
                raise Unavailable("kafka", f"{servers} does not answer: {error.args[0].str()}") from error


def silent_logger() -> logging.Logger:
    """Return a logger that drops what librdkafka says: a line a second while a broker is away; we say it once."""
    logger = logging.getLogger("rtaplatform.simulate.librdkafka")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger


class Sender:
    """One producer. `stopped` tells whether the run is to end: then nothing is waited for."""

    def __init__(self, settings: KafkaSettings, *, say: Say, stopped: Callable[[], bool]) -> None:
        self._say, self._stopped = say, stopped
        self._failure: str | None = None
        self._away = False
        self._producer = Producer(self._configuration(settings), logger=silent_logger())

    def send(self, record: SimulatedRecord) -> bool:
        """Hand one record over, waiting while the queue is full. False: the run was stopped meanwhile."""
        while True:
            self._check()
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
                if self._stopped():
                    return False
                self._producer.poll(_FULL_QUEUE_WAIT_SECONDS)
            else:
                return True

    def serve(self) -> None:
        """Take in what librdkafka reports; call it often. Raises SetupError when sending failed for good."""
        self._producer.poll(0)
        self._check()

    def finish(self) -> int:
        """Wait for what is under way; return how many records were given up, since the run was stopped."""
        give_up = None
        while unsent := self._producer.flush(_FLUSH_STEP_SECONDS):
            self._check()
            if self._stopped():
                give_up = give_up or time.monotonic() + _FLUSH_SECONDS_STOPPED
            if give_up and time.monotonic() > give_up:
                self._producer.purge()
                self._producer.flush(_FLUSH_STEP_SECONDS)
                return int(unsent)
        self._check()
        return 0

    def _configuration(self, settings: KafkaSettings) -> dict[str, Any]:
        return producer_config(settings) | {
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
        elif error.code() == KafkaError._ALL_BROKERS_DOWN and not self._away:
            self._away = True
            self._say("Kafka is away; waiting for it.")

    def _on_delivery(self, error: KafkaError | None, _message: object) -> None:
        if error is None:
            if self._away:
                self._away = False
                self._say("Kafka is back.")
        elif error.code() != KafkaError._PURGE_QUEUE:
            self._failure = error.str()

    def _check(self) -> None:
        if self._failure is not None:
            raise SetupError(f"Kafka refused a record: {self._failure}", "Look at the broker's log, then run it again.")
