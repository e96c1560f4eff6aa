"""The embedded log's limit: one number, shared out so that all partitions together stay below it."""

from __future__ import annotations

import pytest

from rtaplatform.local.servers.log_limits import SEGMENT_BYTES_MIN, divide_bytes

EVENTS = frozenset({"rta.events.web", "rta.events.mobile", "rta.events.server"})
OTHERS = ("rta.dead-letters", "rta.rejected", "rta.control")
GIB = 1 << 30


@pytest.mark.parametrize("bytes_max", [GIB, 4 * GIB, 64 * GIB])
@pytest.mark.parametrize("count", [1, 4, 16])
def test_all_partitions_together_stay_below_the_limit(bytes_max: int, count: int) -> None:
    partitions = dict.fromkeys((*EVENTS, *OTHERS), count)
    limits = divide_bytes(bytes_max, partitions, EVENTS)
    # Kafka keeps up to a segment more than it is told.
    bytes_kept = sum(
        (limit.retention_bytes + limit.segment_bytes) * partitions[topic] for topic, limit in limits.items()
    )
    assert bytes_max * 3 // 4 < bytes_kept <= bytes_max * 7 // 8
    assert all(limit.retention_bytes >= limit.segment_bytes >= SEGMENT_BYTES_MIN for limit in limits.values())


def test_events_take_most_of_it() -> None:
    limits = divide_bytes(4 * GIB, dict.fromkeys((*EVENTS, *OTHERS), 4), EVENTS)
    events = sum(4 * limit.retention_bytes for topic, limit in limits.items() if topic in EVENTS)
    assert events > 2.5 * GIB


def test_without_topics_there_is_nothing_to_limit() -> None:
    assert divide_bytes(GIB, {}, EVENTS) == {}


def test_no_segment_is_larger_than_kafka_takes() -> None:
    """Benchmarks and large disks have limits of hundreds of gigabytes."""
    limits = divide_bytes(1024 * GIB, dict.fromkeys((*EVENTS, *OTHERS), 1), EVENTS)
    assert max(limit.segment_bytes for limit in limits.values()) == GIB
