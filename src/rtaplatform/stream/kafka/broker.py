"""What the brokers say of our topics: which incarnation, how many partitions, from where to where.   Stage 2 of 6.

Also makes the topics. Errors: `Unavailable`. Asked, never cached: a stale answer would hide a re-created topic.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, but not listed in __all__
    AdminClient,
    NewTopic,
    OffsetSpec,
)

from rtaplatform.core.errors import SetupError, Unavailable
from rtaplatform.core.events import EVENT_TOPICS, FUTURE_MS_MAX
from rtaplatform.core.ledger import PartitionId
from rtaplatform.settings import KafkaSettings, TopicSettings
from rtaplatform.stream.kafka.config import CONTROL, DEAD_LETTERS, REQUEST_SECONDS_MAX, TOPICS, client_config
from rtaplatform.stream.port import OffsetRange, Partition

TOLD_SECONDS_MAX = 30.0
TIMES_AHEAD = "message.timestamp.after.max.ms"
EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # untyped there
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_GONE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)


class Broker:
    """Questions to the cluster; the connection is made with the first. Any thread may ask."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._config, self._servers = client_config(settings), settings.bootstrap_servers
        self._client: AdminClient | None = None
        self._one_question = threading.Lock()  # a client that is let go takes the answers to others' with it

    def topics(self, names: Iterable[str] = EVENT_TOPICS) -> dict[str, tuple[str, int]]:
        """Topic → its id and its number of partitions; what does not exist is left out."""
        with self._asking():
            asked = TopicCollection(sorted(set(names)))
            found = {}
            for name, future in self._admin().describe_topics(asked, request_timeout=REQUEST_SECONDS_MAX).items():
                with _unless_gone():
                    topic = future.result()
                    found[name] = (str(topic.topic_id), len(topic.partitions))
            return found

    def extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        """A partition that is not there is left out."""
        partitions = list(partitions)
        topics = self.topics({p.topic for p in partitions}) if partitions else {}
        there = [p for p in partitions if p.topic in topics and p.number < topics[p.topic][1]]
        low, high = self._offsets(there, EARLIEST), self._offsets(there, LATEST)
        stable = self._offsets(there, LATEST, IsolationLevel.READ_COMMITTED)
        return {
            p: OffsetRange(PartitionId(topics[p.topic][0], p.number), low[p], high[p], topics[p.topic][1], stable[p])
            for p in there
            if p in low and p in high and p in stable
        }

    def ends(self) -> dict[PartitionId, int]:
        """Where the event topics end: place → the offset that comes next. All of a topic's partitions, or none.

        These are high watermarks. The last stable offset would stand where readers stand while a transaction is open,
        and what is acknowledged behind it would be taken for counted.
        """
        topics = self.topics()
        partitions = [Partition(name, n) for name, (_, count) in topics.items() for n in range(count)]
        ends = self._offsets(partitions, LATEST)
        if len(ends) < len(partitions):  # by a broker that has just come back, or of a topic that has just gone
            raise Unavailable("kafka", "lists partitions that it does not have")
        return {PartitionId(topics[p.topic][0], p.number): offset for p, offset in ends.items()}

    def committed(self, group_id: str) -> dict[PartitionId, int]:
        """The offsets that the group has committed: how far it once was, at least."""
        topics = self.topics()
        asked = [TopicPartition(name, number) for name, (_, count) in topics.items() for number in range(count)]
        # A consumer that never joins: asked through an admin client, a coordinator that has just moved, as in a new
        # cluster, ends the whole process (librdkafka 2.16).
        consumer = Consumer(self._config | {"group.id": group_id})
        try:
            with self._as_unavailable():
                spots = consumer.committed(asked, REQUEST_SECONDS_MAX) if asked else []
        finally:
            consumer.close()
        return {
            PartitionId(topics[s.topic][0], s.partition): s.offset for s in spots if s.error is None and s.offset >= 0
        }

    def create_topics(self, settings: TopicSettings) -> list[str]:
        """Make what is missing; what is there is left as it is. Returns the names of the new ones.

        They are there for every question that follows: a busy broker makes a topic, and tells of it a while later.
        """
        missing = [name for name in TOPICS if name not in self.topics(TOPICS)]
        wanted = [
            NewTopic(name, settings.partitions, settings.replication_factor, config=_config(name, settings))
            for name in missing
        ]
        for is_rehearsal in (True, False) if wanted else ():  # all of them, or none
            with self._as_unavailable(), _known_to_the_broker():
                for future in self._admin().create_topics(wanted, validate_only=is_rehearsal).values():
                    with _unless_there():
                        future.result()
        if missing:
            self._wait_for_topics()
        return missing

    def _wait_for_topics(self) -> None:
        deadline = time.monotonic() + TOLD_SECONDS_MAX
        while not self._tells_of_all():
            if time.monotonic() > deadline:
                raise Unavailable("kafka", f"has made topics and does not tell of them (asked: {self._servers})")
            time.sleep(0.1)

    def _tells_of_all(self) -> bool:
        try:
            topics = self.topics(TOPICS)
            partitions = [Partition(name, n) for name, (_, count) in topics.items() for n in range(count)]
            return len(topics) == len(TOPICS) and len(self.extents(partitions)) == len(partitions)
        except Unavailable:  # as where a partition has no leader yet
            return False

    def _offsets(
        self,
        partitions: Sequence[Partition],
        spec: OffsetSpec,
        isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> dict[Partition, int]:
        if not partitions:
            return {}
        asked = {TopicPartition(p.topic, p.number): spec for p in partitions}
        found = {}
        with self._asking():
            answers = self._admin().list_offsets(asked, isolation_level=isolation, request_timeout=REQUEST_SECONDS_MAX)
            for one, future in answers.items():
                with _unless_gone():
                    found[Partition(one.topic, one.partition)] = future.result().offset
        unknown = sorted(str(partition) for partition, offset in found.items() if offset < 0)
        if unknown:  # -1001: a broker that has just come back; taken for an offset, the log would seem to be cut
            raise Unavailable("kafka", f"does not say where {unknown[0]} begins or ends")
        return found

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """What gets no answer in time is asked again by another client.

        After a broker has hung and lost its session, one may never again find the controller (librdkafka 2.16).
        """
        with self._one_question:
            try:
                with self._as_unavailable():
                    yield
            except Unavailable as trouble:
                cause = trouble.__cause__
                if isinstance(cause, KafkaException) and cause.args[0].code() == KafkaError._TIMED_OUT:
                    self._client = None
                raise

    @contextlib.contextmanager
    def _as_unavailable(self) -> Iterator[None]:
        """The brokers are named: "timed out" alone tells nobody where to look."""
        try:
            yield
        except KafkaException as error:
            raise Unavailable("kafka", f"{error.args[0].str()} (asked: {self._servers})") from error

    def _admin(self) -> AdminClient:
        if self._client is None:
            self._client = AdminClient(self._config)
        return self._client


def _config(name: str, settings: TopicSettings) -> dict[str, Any]:
    common = {"message.timestamp.type": "CreateTime"}
    if name == DEAD_LETTERS:
        hours = settings.dead_letter_retention_hours
        return common | {"cleanup.policy": "compact,delete", "retention.ms": str(hours * 3_600_000)}
    # No limit of time: one would delete imported history at once. No time ahead of ours: stream time would jump.
    kept = {"retention.ms": "-1", TIMES_AHEAD: str(FUTURE_MS_MAX)}
    if name != CONTROL:
        kept["retention.bytes"] = str(settings.retention_bytes_per_partition)
    return common | kept


@contextlib.contextmanager
def _known_to_the_broker() -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        if error.args[0].code() != KafkaError.INVALID_CONFIG or TIMES_AHEAD not in error.args[0].str():
            raise
        raise SetupError(
            f"This Kafka does not know the topic setting {TIMES_AHEAD}: it is older than 3.6. Without it one record of "
            "next year would make all that follow late.",
            "Use Kafka 3.6 or newer. Nothing was made.",
        ) from error


@contextlib.contextmanager
def _unless(*codes: int) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        if error.args[0].code() not in codes:
            raise


def _unless_gone() -> contextlib.AbstractContextManager[None]:
    return _unless(*_GONE)


def _unless_there() -> contextlib.AbstractContextManager[None]:
    return _unless(KafkaError.TOPIC_ALREADY_EXISTS)
