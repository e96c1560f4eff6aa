"""How much of the disk the embedded Kafka's log may take: one number for all of it, shared out over partitions.

Kafka knows limits of a partition only, and keeps up to a segment more than such a limit; what is deleted is gone within
seconds. A part stays unshared, for what comes between two looks, for indexes and Kafka's own topics.
"""

from __future__ import annotations

from typing import NamedTuple

UNSHARED = 8  # one part in so many
WEIGHT_OF_EVENTS, WEIGHT_OF_OTHERS = 4, 1  # dead letters, refused events and our own records are few
SEGMENTS = 4  # in the share of a partition with the smallest
SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX = 1 << 20, 1 << 30  # the greatest is Kafka's own default


class TopicLimit(NamedTuple):
    """Of each partition of a topic."""

    retention_bytes: int
    segment_bytes: int


def share_out(bytes_max: int, partitions: dict[str, int], events: frozenset[str]) -> dict[str, TopicLimit]:
    """Topic → its limit, so that all of them together stay below `bytes_max`. `partitions`: topic → how many."""
    weights = {topic: WEIGHT_OF_EVENTS if topic in events else WEIGHT_OF_OTHERS for topic in partitions}
    parts = sum(count * weights[topic] for topic, count in partitions.items())
    if not parts:
        return {}
    share = bytes_max * (UNSHARED - 1) // UNSHARED // parts
    segment = min(max(SEGMENT_BYTES_MIN, share // SEGMENTS), SEGMENT_BYTES_MAX)
    return {topic: TopicLimit(max(segment, share * weight - segment), segment) for topic, weight in weights.items()}
