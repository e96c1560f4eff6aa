"""A replay of a dead letter counts once by its origin, however often and however late it is read."""

from __future__ import annotations

from unittest.mock import Mock

from msgspec.structs import replace

from rtaplatform.core.events import Reason
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.fold.decode_run import decode_run
from rtaplatform.process.fold.dedup import BlockCache, RepeatFilter
from rtaplatform.process.fold.fold import EventFold
from rtaplatform.process.fold.replays import ReplayFilter, SettledReplays
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import Delta
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import DeadLetter, LogRecord, is_origin, make_columns
from tests.unit.process.fold.test_fold import BERLIN, NOW, WEB, load, make_message, record

ORIGIN = "rta.events.web:0:7"


def replay(offset: int, **fields: object) -> LogRecord:
    return replace(record(b" " + make_message(**fields), offset=offset), replay_of=ORIGIN)


def fold(*records: LogRecord, settled: SettledReplays | None = None) -> tuple[dict[str, int], Delta, EventFold]:
    """How many records had each outcome, the delta and the fold."""
    cache = BlockCache(1_000)
    folding = EventFold(BERLIN, RepeatFilter(cache, settled_replays=settled))
    items = decode_run(make_columns(records), 0, BERLIN, 1).items
    load(cache, items)
    folding.add("web:0", items)
    delta = folding.make_delta()
    counts = {name.removeprefix("web:0|"): n for name, n in delta.counts.items() if name.startswith("web:0|")}
    return counts, delta, folding


def test_a_replay_counts_and_takes_its_origin() -> None:
    counts, delta, _ = fold(replay(9))
    assert (counts, delta.replayed, delta.dead) == ({"consumed": 1, "applied": 1}, [ORIGIN], {})


def test_a_second_replay_of_the_same_letter_is_a_repeat_even_with_another_id() -> None:
    counts, delta, _ = fold(replay(9), replay(10, messageId="other"))
    assert (counts, delta.replayed) == ({"consumed": 2, "applied": 1, "duplicate": 1}, [ORIGIN])


def test_a_replay_of_an_event_that_was_counted_otherwise_is_a_repeat_and_settles_the_letter() -> None:
    counts, delta, _ = fold(record(make_message(), offset=8), replay(9))
    assert (counts, delta.replayed) == ({"consumed": 2, "applied": 1, "duplicate": 1}, [ORIGIN])


def test_a_settled_letter_is_a_repeat() -> None:
    settled = SettledReplays()
    settled.learn([ORIGIN])
    counts, delta, _ = fold(replay(9), settled=settled)
    assert (counts, delta.replayed) == ({"consumed": 1, "duplicate": 1}, [])


def test_a_replay_that_is_dead_again_replaces_its_letter_and_leaves_its_origin_alone() -> None:
    counts, delta, folding = fold(replay(9, type="fax"))
    (letter,) = folding.dead_letters
    assert (counts, letter.origin, letter.reason) == ({"consumed": 1, "dead": 1}, ORIGIN, Reason.UNKNOWN_TYPE)
    assert (delta.dead, delta.replayed) == ({}, [])


def test_a_dead_record_and_its_replay_in_one_batch_count_once() -> None:
    counts, delta, _ = fold(record(make_message(type="fax"), offset=7), replay(9), replay(10, messageId="other"))
    assert counts["applied"] == 1
    assert counts["duplicate"] == 1
    assert (delta.dead, delta.replayed) == ({}, [])


def test_a_worker_counts_a_letter_once_after_its_project_was_made_however_often_it_is_replayed() -> None:
    broker, store = MemoryBroker({WEB.topic: 1}), MemoryStore(1)
    store.begin(0, expected="", generation="g1", topics=dict(broker.ids), starts={})
    store.set_projects([ProjectSettings("other")], "v1")
    log = MemoryLog(broker)
    log.assign(broker.list_partitions())
    worker = Worker(log, log, store, shards=1, start_call=lambda call: call, sleep=Mock())
    broker.append(WEB, NOW, b"k", make_message())
    _run(worker)
    assert store.shards[0].totals.dead == {f"{WEB}:0": NOW}
    store.set_projects([ProjectSettings("other"), ProjectSettings("demo")], "v2")
    for message_id in ("m", "n", "o"):
        again = broker.append(WEB, NOW, b"k", b" " + make_message(messageId=message_id))
        broker.records[WEB][-1] = replace(again, replay_of=f"{WEB}:0")
        broker.append(WEB, NOW, b"k", make_message(messageId=f"beside {message_id}"))
        _run(worker)
    counts = store.shards[0].totals.counts
    assert {name: counts[f"demo|{name}"] for name in ("applied", "duplicate")} == {"applied": 4, "duplicate": 2}
    assert store.shards[0].totals.dead == {}
    assert worker.is_settled


def _run(worker: Worker) -> None:
    for _ in range(12):
        worker.turn()


def test_what_is_known_of_settled_letters_is_bounded() -> None:
    settled = SettledReplays(2)
    settled.learn(["a", "b", "c"])
    assert ("a" in settled, "c" in settled) == (False, True)
    assert ReplayFilter(settled).is_repeat("c", {})


def test_an_origin_is_a_place_in_an_event_topic() -> None:
    assert is_origin(b"rta.events.web:0:7")
    for text in (b"", b"rta.control:0:7", b"rta.events.web:0:-1", b"rta.events.web:0", b"rta.events.web:0:7:8"):
        assert not is_origin(text)


def test_columns_keep_replays_when_they_are_cut() -> None:
    run = make_columns([record(make_message()), replay(1), replay(2)])
    assert [run.cut(1, 3).record(index).replay_of for index in (0, 1)] == [ORIGIN, ORIGIN]
    assert run.cut(0, 1).replays == {}
    assert run.record(-1).replay_of == ORIGIN
    assert DeadLetter(run.record(0), "demo", Reason.INTERNAL, "").origin == f"{WEB}:0"
