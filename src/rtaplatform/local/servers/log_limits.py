"""Limit the disk use of the embedded Kafka: one number for the whole log is divided among its partitions.

Kafka limits single partitions only, and keeps up to one segment more than the limit. Deleted segments are gone within
seconds. A reserve is not divided: for records between two checks, for indexes, and for Kafka's own topics.
"""

from __future__ import annotations

from typing import NamedTuple

RESERVE_PART = 8  # the reserve is one eighth
EVENT_WEIGHT, OTHER_WEIGHT = 4, 1  # there are few dead letters, refused events and control records
SEGMENTS = 4  # in the smallest share of a partition
SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX = 1 << 20, 1 << 30  # the maximum is Kafka's default


class TopicLimit(NamedTuple):
    """The limits of each partition of a topic."""

    retention_bytes: int
    segment_bytes: int


def divide_bytes(bytes_max: int, partitions: dict[str, int], events: frozenset[str]) -> dict[str, TopicLimit]:
    """Topic → limits that keep the whole log below `bytes_max`. `partitions`: topic → number of partitions."""
    weights = {topic: EVENT_WEIGHT if topic in events else OTHER_WEIGHT for topic in partitions}
    parts = sum(count * weights[topic] for topic, count in partitions.items())
    if not parts:
        return {}
    share = bytes_max * (RESERVE_PART - 1) // RESERVE_PART // parts
    segment = min(max(SEGMENT_BYTES_MIN, share // SEGMENTS), SEGMENT_BYTES_MAX)
    return {topic: TopicLimit(max(segment, share * weight - segment), segment) for topic, weight in weights.items()}
