"""All partitions as one log: in order of stream time, in few runs, waiting only for records that must come first."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtaplatform.process.rebuild.time_ordered_log import TimeOrderedLog
from rtaplatform.stream.memory import MemoryBroker, MemoryPartitions
from rtaplatform.stream.port import Partition, RecordColumns

A, B = Partition("rta.events.web", 0), Partition("rta.events.web", 1)
CONTROL = Partition("rta.control", 0)
TOPICS = {"rta.events.web": 2, "rta.control": 1}
Times = dict[Partition, list[int]]


def make_log(times: Times, *, read_max: int = 100, batch_max: int = 5_000) -> TimeOrderedLog:
    broker = MemoryBroker(TOPICS)
    for partition, of_it in times.items():
        for at in of_it:
            broker.append(partition, at, b"key", b"{}")
    log = TimeOrderedLog(MemoryPartitions(broker, read_max), batch_max=batch_max)
    log.refresh_partitions()
    events = log.read_assignment()[1]
    log.read_extents(events)
    log.seek(dict.fromkeys(events, 0))
    return log


def read_portions(log: TimeOrderedLog, at_most: int | None = None) -> list[list[RecordColumns]]:
    """Until all that was there is handed out; records of rta.control are passed."""
    batches = []
    for _ in range(1_000):
        if log.control_record is not None:
            batches.append(
                [
                    RecordColumns(
                        CONTROL, [log.control_record.offset], [log.control_record.timestamp_ms], [b""], [None], 0
                    )
                ]
            )
            log.skip_control_record()
        elif log.is_caught_up:
            return batches
        else:
            runs = list(log.poll(at_most).runs)
            batches += [runs] if runs else []
    raise AssertionError("it never comes to its end")


def stream_times(of_it: list[int]) -> list[int]:
    return [max(of_it[: number + 1]) for number in range(len(of_it))]


few_times = st.lists(st.integers(0, 20), max_size=30)


@given(few_times, few_times, few_times, st.integers(1, 9), st.integers(1, 40))
def test_portions_are_in_order_of_stream_time(
    a: list[int], b: list[int], control: list[int], read_max: int, at_most: int
) -> None:
    times = {A: a, B: b, CONTROL: control}
    batches = read_portions(make_log(times, read_max=read_max), at_most)
    at = {partition: stream_times(of_it) for partition, of_it in times.items()}
    spans = [[at[run.partition][offset] for run in runs for offset in run.offsets] for runs in batches]
    assert all(max(before) <= min(after) for before, after in pairwise(spans))
    assert all(len(span) <= at_most for span in spans)
    for partition, of_it in times.items():
        offsets = [offset for runs in batches for run in runs if run.partition == partition for offset in run.offsets]
        assert offsets == list(range(len(of_it)))


def test_a_portion_has_one_run_a_partition() -> None:
    log = make_log({A: list(range(0, 100, 2)), B: list(range(1, 100, 2))})
    assert [[len(run) for run in runs] for runs in read_portions(log)] == [[50, 50]]


def test_a_batch_ends_when_it_is_full_or_no_record_is_available() -> None:
    log = make_log({A: list(range(30))}, read_max=10, batch_max=20)
    polled = [log.poll() for _ in range(4)]
    assert [sum(map(len, batch.runs)) for batch in polled] == [10, 10, 10, 0]
    assert [batch.is_whole for batch in polled] == [False, True, False, True]


def test_a_record_of_control_comes_alone_before_events_of_its_time() -> None:
    log = make_log({A: [1, 5, 9], CONTROL: [5]})
    assert [run.offsets[-1] for run in log.poll().runs] == [0]
    assert not log.poll().runs
    assert log.control_record is not None
    assert not log.poll().runs  # it waits to be taken
    log.skip_control_record()
    assert [list(run.offsets) for run in log.poll().runs] == [[1, 2]]
    assert log.is_control_read()


@pytest.mark.parametrize("ahead", [A, B])
def test_records_after_the_first_end_are_not_waited_for(ahead: Partition) -> None:
    broker = MemoryBroker(TOPICS)
    broker.append(ahead, 1, b"key", b"{}")
    log = TimeOrderedLog(MemoryPartitions(broker))
    log.refresh_partitions()
    events = log.read_assignment()[1]
    log.read_extents(events)
    log.seek(dict.fromkeys(events, 0))
    log.poll()
    assert log.is_caught_up
    broker.append(ahead, 7, b"key", b"{}")
    batches = [log.poll() for _ in range(2)]  # the batch that was open ends first
    assert [list(run.offsets) for batch in batches for run in batch.runs] == [[1]]
