"""The dead letters of a batch are written to Kafka once, before the first of its calls; and what becomes a signal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from unittest.mock import Mock

import pytest

from rtaplatform import telemetry
from rtaplatform.cli.recent_records import sum_recent_records
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.events import PersonNote, Reason
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.timestamps import format_iso_utc
from rtaplatform.process.worker.in_flight import BatchDeadLetters
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import Applied
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import DeadLetter, LogRecord, Partition

NOW_MS = 1_795_000_000_000
DEAD_LETTER = DeadLetter(
    LogRecord(Partition("rta.events.web", 0), 7, 0, b"k", b"x", -1, False), "", Reason.NOT_JSON, ""
)


class Kafka:
    def __init__(self, is_away: bool) -> None:
        self.is_away, self.attempts = is_away, 0

    def quarantine(self, dead_letters: Sequence[DeadLetter]) -> None:
        assert list(dead_letters) == [DEAD_LETTER]
        self.attempts += 1
        if self.is_away:
            raise Unavailable("kafka", "away")


def test_dead_letters_are_written_once_before_any_call() -> None:
    kafka = Kafka(is_away=False)
    dead_letters, asked_before = BatchDeadLetters([DEAD_LETTER], kafka), []

    def apply() -> Applied:
        asked_before.append(kafka.attempts)
        return Applied()

    assert [dead_letters.write_before(apply) for _ in range(3)] == [Applied()] * 3
    assert asked_before == [1, 1, 1]


def test_if_dead_letters_fail_no_call_is_made_and_kafka_is_waited_for_once() -> None:
    kafka = Kafka(is_away=True)
    dead_letters = BatchDeadLetters([DEAD_LETTER], kafka)
    for _ in range(3):
        with pytest.raises(Unavailable):
            dead_letters.write_before(lambda: pytest.fail("a ledger would move past what is not quarantined"))
    assert kafka.attempts == 1


def test_while_kafka_takes_no_dead_letters_a_worker_waits_longer_each_time() -> None:
    """Its turn may have ended well before the dead letters are found to be missing."""
    broker, store, waits = MemoryBroker({"rta.events.web": 1}), MemoryStore(1), list[float]()
    store.begin(0, expected="", generation="g1", topics=dict(broker.ids), starts={})
    store.set_projects([ProjectSettings("demo")], "v1")
    broker.append(DEAD_LETTER.record.partition, 0, b"k", b"x")
    log = MemoryLog(broker)
    log.assign(broker.list_partitions())
    dead_letters = Kafka(is_away=True)
    dead_letters.quarantine = Mock(side_effect=Unavailable("kafka", "away"))  # type: ignore[method-assign]
    worker = Worker(
        log, dead_letters, store, shards=1, start_call=lambda call: call, sleep=waits.append, clock=lambda: 0.0
    )
    while len(waits) < 6:
        worker.turn()
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]


def test_what_persons_owe_to_the_order_of_reading_is_a_signal() -> None:
    """A link unites two persons who were both counted; an event is older than what the person's value takes."""
    broker, store = MemoryBroker({"rta.events.web": 1}), MemoryStore(1)
    store.begin(0, expected="", generation="g1", topics=dict(broker.ids), starts={})
    store.set_projects([ProjectSettings("demo", "UTC", "EUR")], "v1")
    log, before = MemoryLog(broker), _read_person_notes()
    log.assign(broker.list_partitions())
    worker = Worker(log, log, store, shards=1, sleep=Mock())
    linked_ids = {"userId": "u", "anonymousId": "a"}
    for ids, days in (({"userId": "u"}, 0), ({"anonymousId": "a"}, 0), (linked_ids, 0), ({"userId": "u"}, 40)):
        time_ms = NOW_MS - days * 86_400_000
        event = {"projectId": "demo", "type": "track", "event": "e", "timestamp": format_iso_utc(time_ms), **ids}
        broker.append(Partition("rta.events.web", 0), NOW_MS, b"k", json.dumps(event).encode())
        worker.turn()
        worker.turn()
    changes = {note: n - before[note] for note, n in _read_person_notes().items()}
    assert changes == {"late_links": 1, "late_state": 1, "identity_conflicts": 0}
    assert store.shards[0].totals.counts["demo|late_links"] == 1


def test_dead_letters_are_counted_by_reason_and_among_the_recent_records() -> None:
    broker, store = MemoryBroker({"rta.events.web": 1}), MemoryStore(2)
    for shard in range(2):
        store.begin(shard, expected="", generation="g1", topics=dict(broker.ids), starts={})
        store.set_projects([ProjectSettings("demo")], "v1")
    log, before = MemoryLog(broker), _read_dead_letters()
    log.assign(broker.list_partitions())
    worker = Worker(log, log, store, shards=2, sleep=Mock())
    event = {"projectId": "demo", "type": "track", "event": "e", "anonymousId": "a"}
    for value in (b"{", b"[]", b"{", json.dumps(event).encode(), json.dumps(event | {"projectId": "nope"}).encode()):
        broker.append(Partition("rta.events.web", 0), NOW_MS, b"k", value)
    for _ in range(4):
        worker.turn()
    changes = {reason: n - before[reason] for reason, n in _read_dead_letters().items() if n != before[reason]}
    assert changes == {"not_json": 2, "not_an_object": 1, "unknown_project": 1}
    recent = sum_recent_records({"worker-1": telemetry.render_exposition().decode()})
    assert recent is not None
    assert (recent.consumed, recent.dead_letters) == (5, 4)


def _read_dead_letters() -> dict[str, float]:
    return {str(reason): telemetry.WORKER_DEAD_LETTERS.labels(str(reason))._value.get() for reason in Reason}


def _read_person_notes() -> dict[str, float]:
    return {str(note): telemetry.WORKER_PERSON_NOTES.labels(note)._value.get() for note in PersonNote}
