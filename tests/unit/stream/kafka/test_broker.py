"""How answers of the cluster are read; a stand-in gives answers that a real cluster gives only rarely."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from rtaplatform.core.errors import SetupError, Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.settings import KafkaSettings, TopicSettings
from rtaplatform.stream.kafka.broker import TIMES_AHEAD, Broker
from rtaplatform.stream.kafka.config import TOPICS
from rtaplatform.stream.port import Partition

TOPIC = "rta.events.web"


def make_future(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    (future.set_exception if isinstance(result, Exception) else future.set_result)(result)
    return future


class Cluster:
    """One topic of one partition, which ends at `end`; or `trouble` instead of answers."""

    def __init__(self, end: int = 7, trouble: Exception | None = None) -> None:
        self.end, self.trouble = end, trouble

    def describe_topics(self, _names: Any, **_options: Any) -> dict[str, Future[Any]]:
        return {TOPIC: make_future(self.trouble or SimpleNamespace(topic_id="id", partitions=[0]))}

    def list_offsets(self, partitions: Any, **_options: Any) -> dict[Any, Future[Any]]:
        return {partition: make_future(SimpleNamespace(offset=self.end)) for partition in partitions}


class Asked(Broker):
    """A broker whose clients are these, one after the other."""

    def __init__(self, *clusters: Cluster) -> None:
        super().__init__(KafkaSettings(bootstrap_servers="nowhere:9092"))
        self._clusters: Any = list(clusters)

    def _open_admin(self) -> Any:
        if self._client is None:
            self._client = self._clusters.pop(0)
        return self._client


def test_an_unknown_end_is_not_taken_as_an_offset() -> None:
    assert Asked(Cluster(end=7)).read_ends() == {PartitionId("id", 0): 7}
    with pytest.raises(Unavailable, match="does not say where"):
        Asked(Cluster(end=-1001)).read_ends()
    with pytest.raises(Unavailable):
        Asked(Cluster(end=-1001)).read_extents([Partition(TOPIC, 0)])


@pytest.mark.parametrize(("code", "clients"), [(KafkaError._TIMED_OUT, 2), (KafkaError.NOT_LEADER_FOR_PARTITION, 1)])
def test_after_a_timeout_another_client_is_used(code: int, clients: int) -> None:
    first, second = Cluster(trouble=KafkaException(KafkaError(code))), Cluster()
    broker = Asked(first, second)
    with pytest.raises(Unavailable):
        broker.describe_topics()
    first.trouble = None
    assert broker.describe_topics() == {TOPIC: ("id", 1)}
    assert len(broker._clusters) == 2 - clients


class Making(Cluster):
    """Makes the topics that it is asked for, and tells of them after it was asked `slow` times."""

    def __init__(self, slow: int = 0, refusal: KafkaError | None = None) -> None:
        super().__init__(end=0)
        self.slow, self.refusal, self.created_topics, self.configs = slow, refusal, list[str](), list[Any]()

    def describe_topics(self, _names: Any, **_options: Any) -> dict[str, Future[Any]]:
        is_told = bool(self.created_topics) and self.slow <= 0
        self.slow -= bool(self.created_topics)
        unknown = KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        description = SimpleNamespace(topic_id="id", partitions=[0])
        return {name: make_future(description if is_told else unknown) for name in TOPICS}

    def create_topics(self, topics: Any, *, validate_only: bool) -> dict[str, Future[Any]]:
        if self.refusal is not None:
            return {topic.topic: make_future(KafkaException(self.refusal)) for topic in topics}
        if not validate_only:
            self.created_topics = [topic.topic for topic in topics]
        return {topic.topic: make_future(None) for topic in topics}


def test_new_topics_are_visible_to_every_later_request() -> None:
    cluster = Making(slow=2)
    broker = Asked(cluster)
    assert broker.create_topics(TopicSettings(partitions=1)) == list(TOPICS) == cluster.created_topics
    assert broker.describe_topics(TOPICS).keys() == set(TOPICS)


def test_a_kafka_before_3_6_is_refused_and_no_topic_is_made() -> None:
    refusal_text = f"Unknown topic config name: {TIMES_AHEAD}"
    cluster = Making(refusal=KafkaError(KafkaError.INVALID_CONFIG, refusal_text))
    with pytest.raises(SetupError, match=r"older than 3\.6") as refused:
        Asked(cluster).create_topics(TopicSettings(partitions=1))
    assert refused.value.remedy == "Use Kafka 3.6 or newer. Nothing was made."
    assert cluster.created_topics == []


def test_a_setting_that_kafka_refuses_is_reported_in_its_words() -> None:
    cluster = Making(refusal=KafkaError(KafkaError.INVALID_CONFIG, "Invalid value for retention.bytes"))
    with pytest.raises(Unavailable, match=r"retention\.bytes"):
        Asked(cluster).create_topics(TopicSettings(partitions=1))
