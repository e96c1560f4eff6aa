"""Positions: where reading begins, and when a partition or shard must stop."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rtaplatform.core.errors import Stopped
from rtaplatform.core.ledger import PartitionId, read_row
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.worker.positions import Positions, hash_record, make_row_after
from rtaplatform.store.port import ShardState
from rtaplatform.stream.port import LogRecord, OffsetRange, Partition, make_columns

WEB, PLACE = Partition("rta.events.web", 0), PartitionId("id-1", 0)
NOW = 1_795_000_000_000


def record(offset: int, value: bytes = b"{}", partition: Partition = WEB) -> LogRecord:
    return LogRecord(partition, offset, NOW + offset, b"k", value, 0, False)


def make_row(last: int) -> str:
    return make_row_after(record(last), NOW + last).to_text()


def make_state(ledger: dict[PartitionId, str] | None = None, **other: Any) -> ShardState:
    usual = ShardState(
        "g1", "1", 1, {"rta.events.web": "id-1"}, {}, ledger or {}, False, "v1", {"demo": ProjectSettings("demo")}
    )
    return msgspec.structs.replace(usual, **other)


def find(*states: ShardState | None, low: int = 0, high: int = 100) -> Positions:
    return Positions.find([WEB], dict(enumerate(states)), {WEB: OffsetRange(PLACE, low, high, 1)})


def test_reading_begins_at_the_last_record_that_was_counted() -> None:
    at = find(make_state({PLACE: make_row(9)}))
    assert (at.starts, at.stops) == ({WEB: 9}, {})
    assert at.find_next_read_offset(WEB) == 10
    assert at.find_stream_time_ms(WEB) == NOW + 9
    assert at.find_next_uncounted_offset(0, WEB) == 10


def test_an_absent_row_begins_where_the_generation_does() -> None:
    assert find(make_state()).starts == {WEB: 0}
    assert find(make_state(starts={PLACE: 40}), low=40).starts == {WEB: 40}
    assert find(make_state()).find_stream_time_ms(WEB) == 0


def test_reading_begins_at_the_shard_that_is_furthest_behind() -> None:
    at = find(make_state({PLACE: make_row(9)}, shards=2), make_state({PLACE: make_row(4)}, shards=2))
    assert at.starts == {WEB: 4}
    assert at.find_stream_time_ms(WEB) == NOW + 4
    assert at.find_next_uncounted_offset(0, WEB) > 7 >= at.find_next_uncounted_offset(1, WEB)


def test_a_record_deleted_by_retention_is_not_compared() -> None:
    assert find(make_state({PLACE: make_row(9)}), low=10).starts == {WEB: 10}


@pytest.mark.parametrize(
    ("states", "low", "high", "word"),
    [
        ((make_state({PLACE: make_row(9)}),), 0, 9, "truncated"),
        ((make_state({PLACE: make_row(9)}),), 0, 0, "truncated"),
        ((make_state({PLACE: make_row(9)}),), 11, 20, "retention"),
        ((make_state(),), 1, 20, "retention"),
        ((make_state(topics={"rta.events.web": "id-0"}),), 0, 20, "recreated"),
        ((make_state({PLACE: make_row(3)}, shards=2), make_state({PLACE: make_row(9)}, shards=2)), 0, 8, "truncated"),
    ],
)
def test_a_log_that_is_not_the_one_that_was_counted_stops_the_partition(
    states: tuple[ShardState, ...], low: int, high: int, word: str
) -> None:
    at = find(*states, low=low, high=high)
    assert at.starts == {}
    assert at.stops[str(WEB)].startswith(word)


def test_positions_at_the_ends_of_the_log_stop_nothing() -> None:
    assert find(make_state({PLACE: make_row(9)}), high=10).stops == {}
    assert find(make_state({PLACE: make_row(9)}), low=10, high=10).stops == {}


def test_a_missing_partition_stops_alone() -> None:
    other = Partition("rta.events.web", 1)
    at = Positions.find([WEB, other], {0: make_state()}, {WEB: OffsetRange(PLACE, 0, 5, 1)})
    assert at.starts == {WEB: 0}
    assert at.stops[str(other)].startswith("gone")


def test_a_lost_shard_stops_and_the_others_go_on() -> None:
    at = find(make_state({PLACE: make_row(9)}, shards=2), None)
    assert list(at.shards) == [0]
    assert at.starts == {WEB: 9}
    assert at.stops["shard 1"].startswith("lost")


def test_a_torn_shard_and_one_without_projects_stop() -> None:
    at = find(make_state({PLACE: make_row(9)}, shards=2, torn=True), make_state(shards=2, projects_version=""))
    assert at.stops["shard 0"].startswith("torn")
    assert at.stops["shard 1"].startswith("no_projects")
    assert at.starts == {}


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ((None,), "no_manifest"),
        ((None, None), "no_manifest"),
        ((make_state(schema="2"),), "version"),
        ((make_state(shards=2),), "version"),
    ],
)
def test_a_store_of_another_version_is_refused(states: tuple[ShardState | None, ...], reason: str) -> None:
    with pytest.raises(Stopped) as stopped:
        find(*states)
    assert stopped.value.reason == reason


def test_the_record_that_was_counted_last_is_recognised() -> None:
    at = find(make_state({PLACE: make_row(9)}))
    assert at.find_mismatch(make_columns([record(9), record(10)])) is None
    assert at.find_mismatch(make_columns([record(11)])) is None  # looked at once


def test_another_record_at_the_counted_offset_is_noticed() -> None:
    at = find(make_state({PLACE: make_row(9)}))
    assert at.find_mismatch(make_columns([record(9, b"another"), record(10)])) == 9
    assert (
        find(make_state({PLACE: make_row(9)})).find_mismatch(make_columns([record(10)])) == 9
    )  # it is no longer there


def test_each_shards_last_record_is_compared_when_it_is_read() -> None:
    at = find(make_state({PLACE: make_row(4)}, shards=2), make_state({PLACE: make_row(9)}, shards=2))
    assert at.find_mismatch(make_columns([record(4), record(5)])) is None
    assert at.find_mismatch(make_columns([record(8), record(9, b"another")])) == 9


def test_a_fingerprint_is_of_timestamp_key_and_value() -> None:
    base = record(1)
    others = [
        LogRecord(WEB, 1, NOW + 2, b"k", b"{}", 0, False),
        LogRecord(WEB, 1, NOW + 1, b"l", b"{}", 0, False),
        LogRecord(WEB, 1, NOW + 1, b"k", b"[]", 0, False),
        LogRecord(WEB, 1, NOW + 1, b"k{", b"}", 0, False),
        LogRecord(WEB, 1, -1, b"k", b"{}", 0, False),
    ]
    assert len({hash_record(log_record) for log_record in (base, *others)}) == 6
    assert hash_record(LogRecord(WEB, 7, NOW + 1, b"k", b"{}", 3, True)) == hash_record(base)


def test_a_move_starts_at_the_shards_row() -> None:
    at = find(make_state({PLACE: make_row(9)}))
    move = at.move_past(0, WEB, record(12), NOW + 12)
    assert (move.place, move.from_row, read_row(move.to_row).next_offset) == (PLACE, make_row(9), 13)
    at.accept(0, [move])
    assert at.move_past(0, WEB, record(20), NOW).from_row == move.to_row
    assert at.find_next_uncounted_offset(0, WEB) > 12


def test_quiet_shards_follow_and_those_ahead_stay() -> None:
    at = find(make_state({PLACE: make_row(4)}, shards=2), make_state({PLACE: make_row(9)}, shards=2))
    at.advance({WEB: make_columns([record(5), record(6)])})
    behind, ahead = at.list_all_moves(0)[0], at.list_all_moves(1)[0]
    assert (behind.from_row, read_row(behind.to_row).next_offset) == (make_row(4), 7)
    assert ahead.from_row == ahead.to_row == make_row(9)
    assert at.list_offsets_to_commit() == {WEB: 7}
    assert find(make_state()).list_all_moves(0) == []


def test_a_recreated_topic_and_another_number_of_partitions_are_changes() -> None:
    at = find(make_state())
    assert not at.is_changed({WEB: OffsetRange(PLACE, 5, 50, 1)})
    assert at.is_changed({WEB: OffsetRange(PartitionId("id-2", 0), 0, 100, 1)})
    assert at.is_changed({WEB: OffsetRange(PLACE, 0, 100, 2)})
    assert at.is_changed({})


@pytest.mark.parametrize("partitions", [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32])
def test_a_topic_is_read_only_where_its_partitions_divide_the_dedup_partitions(partitions: int) -> None:
    at = Positions.find([WEB], {0: make_state()}, {WEB: OffsetRange(PLACE, 0, 100, partitions)})
    assert (WEB in at.starts) == (16 % partitions == 0)
    assert all("partitions: rta.events.web has" in why for why in at.stops.values())
    assert bool(at.stops) != (WEB in at.starts)
