"""A login leaves one visitor in each sketch, unless both of its ids were counted before it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.core.values.ids import hash_persons
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.stream.memory import MemoryBroker
from rtaplatform.stream.port import Partition
from tests.unit.process.decode.odd_records import NOW, PROJECTS, TOPICS, count_by_a_worker

PROJECT = PROJECTS[0].slug
PLACES = {"": "", "source": "web", "country": "DE", "device": "phone"}
SKETCHES = {("m", "", "")} | {(kind, dimension, value) for kind in "hd" for dimension, value in PLACES.items()}


def count_events(*events: dict[str, Any], batch_max: int) -> MemoryStore:
    """The store after a worker has read these: all of one moment, so of one minute, hour and day."""
    broker, context = MemoryBroker(TOPICS), {"location": {"country": "DE"}, "device": {"type": "phone"}}
    for number, event in enumerate(events):
        sent = {"projectId": PROJECT, "messageId": str(number), "timestamp": format_iso_utc(NOW), "context": context}
        broker.append(Partition("rta.events.web", 0), NOW, b"k", json.dumps(sent | event).encode())
    return count_by_a_worker(broker, batch_max=batch_max)


def read_sketches(store: MemoryStore) -> dict[tuple[str, str, str], set[bytes]]:
    sketches = store.shards[0].totals.sketches
    return {(key.kind.value, key.dimension, key.value): set(members) for key, members in sketches.items()}


@pytest.mark.parametrize("batch_max", [1, 100])
def test_a_login_on_one_device_leaves_one_visitor(batch_max: int) -> None:
    store = count_events(
        {"type": "page", "anonymousId": "a"},
        {"type": "identify", "userId": "u", "anonymousId": "a"},
        {"type": "page", "userId": "u"},
        batch_max=batch_max,
    )
    anonymous = hash_persons(None, ("a",))[0]
    assert read_sketches(store) == {name: {anonymous} for name in SKETCHES}
    assert f"{PROJECT}|late_links" not in store.shards[0].totals.counts


@pytest.mark.parametrize(("batch_max", "visitors"), [(1, 2), (100, 1)])
def test_a_user_who_was_seen_elsewhere_before_the_login_stays_two_visitors(batch_max: int, visitors: int) -> None:
    """No sketch gives an id back, so only a link in the same batch comes in time. A late one is counted."""
    store = count_events(
        {"type": "page", "anonymousId": "a"},
        {"type": "page", "userId": "u", "anonymousId": "b"},
        {"type": "identify", "userId": "u", "anonymousId": "a"},
        {"type": "page", "userId": "u"},
        batch_max=batch_max,
    )
    sketches = read_sketches(store)
    assert {name: len(members) for name, members in sketches.items()} == dict.fromkeys(SKETCHES, visitors)
    assert store.shards[0].totals.counts.get(f"{PROJECT}|late_links", 0) == visitors - 1
