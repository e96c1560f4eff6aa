"""Records that wait are handed out in order, each once, up to a stream time."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.process.alignment.held_records import HeldRecords
from rtaplatform.stream.port import LogRecord, Partition, RecordColumns, make_columns

WEB = Partition("rta.events.web", 0)


def make_run(first: int, times_ms: list[int]) -> RecordColumns:
    return make_columns(
        [LogRecord(WEB, first + i, time_ms, b"k", b"v" * i, 0, False) for i, time_ms in enumerate(times_ms)]
    )


def test_a_record_behind_its_partitions_stream_time_waits_with_it() -> None:
    records = HeldRecords(50)
    records.put(make_run(0, [10, 60, 20]))
    assert records.head_ms == 50
    assert records.take(49, 10) is None
    first, second = records.take(59, 10), records.take(60, 10)
    assert first is not None
    assert second is not None
    assert (list(first.offsets), list(second.offsets)) == ([0], [1, 2])
    assert (records.count, records.bytes) == (0, 0)


def test_records_without_a_time_never_wait() -> None:
    records = HeldRecords(-1)
    records.put(make_run(0, [-1, -1]))
    taken = records.take(0, 10)
    assert taken is not None
    assert len(taken) == 2


@given(st.lists(st.lists(st.integers(-1, 99), min_size=1, max_size=9), min_size=1, max_size=5), st.data())
def test_whatever_is_taken_when_nothing_is_lost_or_repeated(runs: list[list[int]], data: st.DataObject) -> None:
    records, first = HeldRecords(-1), 0
    for times_ms in runs:
        records.put(make_run(first, times_ms))
        first += len(times_ms)
    taken: list[RecordColumns] = []
    while records.count:
        limit_ms, at_most = data.draw(st.integers(records.head_ms, 100)), data.draw(st.integers(1, 12))
        run = records.take(limit_ms, at_most)
        assert run is not None, "the first record is within the limit"
        assert len(run) <= at_most
        assert max(run.timestamps_ms) <= limit_ms
        taken.append(run)
    offsets = [offset for run in taken for offset in run.offsets]
    assert offsets == list(range(first))
    assert all(before < after for before, after in pairwise(offsets))
    assert records.bytes == 0
