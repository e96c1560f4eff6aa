"""Asks the brokers about our topics (incarnation, partitions, offsets), and makes the topics.   Stage 2 of 6.

Errors: `Unavailable`. Answers are never cached: a stale answer would hide a re-created topic.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    ListOffsetsResultInfo,
    NewTopic,
    OffsetSpec,
)

from rtaplatform.core.errors import SetupError, Unavailable
from rtaplatform.core.events import EVENT_TOPICS, FUTURE_MS_MAX
from rtaplatform.core.ledger import PartitionId
from rtaplatform.settings import KafkaSettings, TopicSettings
from rtaplatform.stream.kafka.config import (
    CONTROL,
    DEAD_LETTERS,
    REJECTED,
    REQUEST_SECONDS_MAX,
    TOPICS,
    make_client_config,
)
from rtaplatform.stream.port import OffsetRange, Partition, TimedOffset

TOPICS_VISIBLE_SECONDS_MAX = 30.0
REJECTED_RETENTION_MS = 7 * 86_400_000
TIMES_AHEAD = "message.timestamp.after.max.ms"
EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # untyped there
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)


class Broker:
    """Requests to the cluster. It connects with the first request. Thread-safe."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._config, self._servers = make_client_config(settings), settings.bootstrap_servers
        self._client: AdminClient | None = None
        self._one_request = threading.Lock()  # dropping a client would lose the answers to requests of other threads

    def describe_topics(self, names: Iterable[str] = EVENT_TOPICS) -> dict[str, tuple[str, int]]:
        """Topic → its id and its number of partitions; topics that do not exist are left out."""
        with self._request():
            collection = TopicCollection(sorted(set(names)))
            topics = {}
            for name, future in (
                self._open_admin().describe_topics(collection, request_timeout=REQUEST_SECONDS_MAX).items()
            ):
                with _ignore_missing():
                    topic = future.result()
                    topics[name] = (str(topic.topic_id), len(topic.partitions))
            return topics

    def read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        """The offsets of each partition; partitions that do not exist are left out."""
        partitions = list(partitions)
        topics = self.describe_topics({p.topic for p in partitions}) if partitions else {}
        known_partitions = [p for p in partitions if p.topic in topics and p.number < topics[p.topic][1]]
        low, high = self._read_offsets(known_partitions, EARLIEST), self._read_offsets(known_partitions, LATEST)
        stable = self._read_offsets(known_partitions, LATEST, IsolationLevel.READ_COMMITTED)
        return {
            p: OffsetRange(PartitionId(topics[p.topic][0], p.number), low[p], high[p], topics[p.topic][1], stable[p])
            for p in known_partitions
            if p in low and p in high and p in stable
        }

    def read_next_times(self, after_ms: Mapping[Partition, int]) -> dict[Partition, TimedOffset]:
        """The first record in each partition whose timestamp is later than this, where there is one."""
        specs = {p: OffsetSpec.for_timestamp(max(0, time_ms + 1)) for p, time_ms in after_ms.items()}
        return {
            p: TimedOffset(record.offset, record.timestamp)
            for p, record in self._list_offsets(specs, IsolationLevel.READ_UNCOMMITTED).items()
            if record.offset >= 0
        }

    def find_offsets(self, partitions: Sequence[Partition], time_ms: int) -> dict[Partition, int]:
        """The first offset of each partition whose record is not older; the end if there is none."""
        spec: OffsetSpec = OffsetSpec.for_timestamp(time_ms)
        offsets, ends = self._read_offsets(partitions, spec), self._read_offsets(partitions, LATEST)
        return {p: offset if offset >= 0 else ends[p] for p, offset in offsets.items() if p in ends}

    def read_ends(self) -> dict[PartitionId, int]:
        """The end of each partition of the event topics: the next offset. All of a topic's partitions, or none.

        The ends are high watermarks. While a transaction is open, the last stable offset is where readers stop, so
        acknowledged records beyond it would seem to be counted.
        """
        topics = self.describe_topics()
        partitions = [Partition(name, n) for name, (_, count) in topics.items() for n in range(count)]
        ends = self._read_offsets(partitions, LATEST)
        if len(ends) < len(partitions):  # a broker has just come back, or a topic was just deleted
            raise Unavailable("kafka", "lists partitions that it does not have")
        return {PartitionId(topics[p.topic][0], p.number): offset for p, offset in ends.items()}

    def read_committed(self, group_id: str) -> dict[PartitionId, int]:
        """The offsets that the group has committed: it has read at least up to them."""
        topics = self.describe_topics()
        partitions = [TopicPartition(name, number) for name, (_, count) in topics.items() for number in range(count)]
        # Use a consumer that never joins. An admin client ends the whole process if the coordinator has just moved, as
        # in a new cluster (librdkafka 2.16).
        consumer = Consumer(self._config | {"group.id": group_id})
        try:
            with self._translating_errors():
                positions = consumer.committed(partitions, REQUEST_SECONDS_MAX) if partitions else []
        finally:
            consumer.close()
        return {
            PartitionId(topics[c.topic][0], c.partition): c.offset
            for c in positions
            if c.error is None and c.offset >= 0
        }

    def create_topics(self, settings: TopicSettings) -> list[str]:
        """Make missing topics, and leave existing ones as they are. Returns the names of the new topics.

        It waits until all brokers answer with the new topics, which may take a busy broker a while.
        """
        missing_topics = [name for name in TOPICS if name not in self.describe_topics(TOPICS)]
        new_topics = [
            NewTopic(name, settings.partitions, settings.replication_factor, config=_make_config(name, settings))
            for name in missing_topics
        ]
        for is_rehearsal in (True, False) if new_topics else ():  # all of them, or none
            with self._translating_errors(), _require_time_limit_setting():
                for future in self._open_admin().create_topics(new_topics, validate_only=is_rehearsal).values():
                    with _ignore_existing():
                        future.result()
        if missing_topics:
            self._wait_for_topics()
        return missing_topics

    def _wait_for_topics(self) -> None:
        deadline = time.monotonic() + TOPICS_VISIBLE_SECONDS_MAX
        while not self._are_all_visible():
            if time.monotonic() > deadline:
                raise Unavailable("kafka", f"has made topics and does not tell of them (asked: {self._servers})")
            time.sleep(0.1)

    def _are_all_visible(self) -> bool:
        try:
            topics = self.describe_topics(TOPICS)
            partitions = [Partition(name, n) for name, (_, count) in topics.items() for n in range(count)]
            return len(topics) == len(TOPICS) and len(self.read_extents(partitions)) == len(partitions)
        except Unavailable:  # for example, a partition has no leader yet
            return False

    def _read_offsets(
        self,
        partitions: Sequence[Partition],
        spec: OffsetSpec,
        isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> dict[Partition, int]:
        offsets = {
            p: record.offset for p, record in self._list_offsets(dict.fromkeys(partitions, spec), isolation).items()
        }
        unknown = sorted(str(partition) for partition, offset in offsets.items() if offset < 0)
        if unknown:  # -1001: a broker has just come back; taken as an offset, the log would seem to be truncated
            raise Unavailable("kafka", f"does not say where {unknown[0]} begins or ends")
        return offsets

    def _list_offsets(
        self, specs: Mapping[Partition, OffsetSpec], isolation: IsolationLevel
    ) -> dict[Partition, ListOffsetsResultInfo]:
        if not specs:
            return {}
        results = {}
        with self._request():
            answers = self._open_admin().list_offsets(
                {TopicPartition(*partition): spec for partition, spec in specs.items()},
                isolation_level=isolation,
                request_timeout=REQUEST_SECONDS_MAX,
            )
            for topic_partition, future in answers.items():
                with _ignore_missing():
                    results[Partition(topic_partition.topic, topic_partition.partition)] = future.result()
        return results

    @contextlib.contextmanager
    def _request(self) -> Iterator[None]:
        """Drop the client after a timeout, so that the next request makes another one.

        After a broker has hung and lost its session, a client may never find the controller again (librdkafka 2.16).
        """
        with self._one_request:
            try:
                with self._translating_errors():
                    yield
            except Unavailable as error:
                cause = error.__cause__
                if isinstance(cause, KafkaException) and cause.args[0].code() == KafkaError._TIMED_OUT:
                    self._client = None
                raise

    @contextlib.contextmanager
    def _translating_errors(self) -> Iterator[None]:
        """Turn client errors into `Unavailable`, and name the brokers, so that operators know where to look."""
        try:
            yield
        except KafkaException as error:
            raise Unavailable("kafka", f"{error.args[0].str()} (asked: {self._servers})") from error

    def _open_admin(self) -> AdminClient:
        if self._client is None:
            self._client = AdminClient(self._config)
        return self._client


def _make_config(name: str, settings: TopicSettings) -> dict[str, Any]:
    common = {"message.timestamp.type": "CreateTime"}
    if name == DEAD_LETTERS:
        hours = settings.dead_letter_retention_hours
        return common | {"cleanup.policy": "compact,delete", "retention.ms": str(hours * 3_600_000)}
    if name == REJECTED:
        return common | {"cleanup.policy": "delete", "retention.ms": str(REJECTED_RETENTION_MS)}
    # No limit of age: it would delete imported history at once. No timestamps ahead of time: stream time would jump.
    config = {"retention.ms": "-1", TIMES_AHEAD: str(FUTURE_MS_MAX)}
    if name != CONTROL:
        config["retention.bytes"] = str(settings.retention_bytes_per_partition)
    return common | config


@contextlib.contextmanager
def _require_time_limit_setting() -> Iterator[None]:
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
def _ignore(*codes: int) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        if error.args[0].code() not in codes:
            raise


def _ignore_missing() -> contextlib.AbstractContextManager[None]:
    return _ignore(*_MISSING)


def _ignore_existing() -> contextlib.AbstractContextManager[None]:
    return _ignore(KafkaError.TOPIC_ALREADY_EXISTS)
