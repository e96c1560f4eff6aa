"""The log as `rta reconcile` reads it: in order of stream time, up to the ledger's positions, with erasures between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rtaplatform.core.control_records import ErasureRecord, encode_erasure
from rtaplatform.core.ledger import PartitionId
from rtaplatform.operate.reconcile.log_in_order import LogExtent, LogInOrder
from rtaplatform.simulate.oracle.oracle import ConsumedRecord
from rtaplatform.stream.memory import MemoryBroker, MemoryPartitions
from rtaplatform.stream.port import Partition

WEB, MOBILE, CONTROL = "rta.events.web", "rta.events.mobile", "rta.control"
FIRST, SECOND = Partition(WEB, 0), Partition(MOBILE, 0)


def make_broker(*times: tuple[str, int]) -> MemoryBroker:
    broker = MemoryBroker({WEB: 1, MOBILE: 1, CONTROL: 1})
    for topic, time_ms in times:
        value = encode_erasure(ErasureRecord("erase", "r", "demo", f"u-{time_ms}")) if topic == CONTROL else b"{}"
        broker.append(Partition(topic, 0), time_ms, b"k", value)
    return broker


def make_log(broker: MemoryBroker) -> LogInOrder:
    return LogInOrder(MemoryPartitions(broker, 2), _find_nothing_older)


def _find_nothing_older(partitions: Sequence[Partition], _time_ms: int) -> Mapping[Partition, int]:
    return dict.fromkeys(partitions, 1)


def place(broker: MemoryBroker, topic: str) -> PartitionId:
    return PartitionId(broker.ids[topic], 0)


def read(
    broker: MemoryBroker, ends: dict[str, int], starts: dict[str, int] | None = None
) -> list[tuple[str, int | None]]:
    log = make_log(broker)
    begin = {place(broker, topic): offset for topic, offset in (starts or {}).items()}
    extents = log.find_extents(begin, {place(broker, topic): offset for topic, offset in ends.items()}, None)
    return [
        (record.topic, record.timestamp) if isinstance(record, ConsumedRecord) else ("erased", int(record.user_id[2:]))
        for record in log.read_records(extents)
    ]


def test_partitions_are_merged_by_stream_time_up_to_the_positions() -> None:
    broker = make_broker((WEB, 10), (WEB, 30), (WEB, 20), (WEB, 40), (MOBILE, 15), (MOBILE, 35), (MOBILE, 36))
    assert read(broker, {WEB: 3, MOBILE: 2}) == [(WEB, 10), (MOBILE, 15), (WEB, 30), (WEB, 20), (MOBILE, 35)]


def test_erasures_come_at_their_time() -> None:
    broker = make_broker((WEB, 10), (WEB, 30), (CONTROL, 20))
    assert read(broker, {WEB: 2}) == [(WEB, 10), ("erased", 20), (WEB, 30)]


def test_reading_begins_where_the_totals_do_and_what_is_gone_is_lost() -> None:
    broker = make_broker((WEB, 10), (WEB, 20), (WEB, 30), (MOBILE, 5))
    assert read(broker, {WEB: 3}, starts={WEB: 1}) == [(WEB, 20), (WEB, 30)]
    broker.expire(FIRST, 2)
    extents = make_log(broker).find_extents({}, {place(broker, WEB): 3, PartitionId("old", 0): 7}, None)
    assert [(e.begin, e.end, e.lost) for e in extents if e.end or e.lost] == [(2, 3, 2), (0, 0, 7)]


def test_a_time_may_bound_how_far_back_is_read() -> None:
    broker = make_broker((WEB, 10), (WEB, 20), (WEB, 30), (MOBILE, 5))
    ends = {place(broker, WEB): 3, place(broker, MOBILE): 1}
    assert make_log(broker).find_extents({}, ends, 15) == [LogExtent(SECOND, 1, 1), LogExtent(FIRST, 1, 3)]
