"""Adoption: the move of the ledger row, and the gap that is recorded."""

from __future__ import annotations

from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.process.rebuild.adoption import adopt, find_last_counted_offset
from rtaplatform.store.port import SCHEMA, ShardState
from rtaplatform.stream.port import OffsetRange, Partition

PARTITION, PLACE = Partition("rta.events.web", 0), PartitionId("one", 0)
STANDING = LedgerRow(100, 99, 5, "ff", 0, 1_000).to_text()


def make_state(row: str = STANDING) -> ShardState:
    return ShardState("g", SCHEMA, 1, {"rta.events.web": "one"}, {}, {PLACE: row}, False, "v", {})


def make_extent(low: int, high: int, topic_id: str = "one") -> OffsetRange:
    return OffsetRange(PartitionId(topic_id, 0), low, high, 1)


def test_a_healthy_partition_is_left_alone() -> None:
    assert adopt(PARTITION, make_extent(0, 200), make_state()) is None
    assert adopt(PARTITION, make_extent(100, 100), make_state()) is None


def test_a_truncated_log_goes_on_at_its_end() -> None:
    adoption = adopt(PARTITION, make_extent(0, 80), make_state())
    assert adoption is not None
    assert adoption.move.from_row == STANDING
    assert adoption.move.to_row == LedgerRow(80, -1, -1, "", -1, 1_000).to_text()
    assert adoption.origin == "rta.events.web:0:80"


def test_records_deleted_by_retention_are_a_gap() -> None:
    adoption = adopt(PARTITION, make_extent(130, 200), make_state())
    assert adoption is not None
    assert adoption.move.to_row.startswith("130|")
    assert "100 to 129" in adoption.gap


def test_a_log_with_other_records_goes_on_after_the_counted_offset() -> None:
    adoption = adopt(PARTITION, make_extent(0, 200), make_state(), {99: "another"})
    assert adoption is not None
    assert adoption.move.to_row == LedgerRow(100, -1, -1, "", -1, 1_000).to_text()
    assert "record 99" in adoption.gap
    assert adopt(PARTITION, make_extent(0, 200), make_state(), {99: ""}) is not None, "nor need there be one"
    assert adopt(PARTITION, make_extent(0, 200), make_state(), {99: "ff"}) is None


def test_a_record_is_compared_only_if_log_and_ledger_have_it() -> None:
    assert find_last_counted_offset(make_extent(0, 200), make_state()) == 99
    assert find_last_counted_offset(make_extent(100, 200), make_state()) is None
    assert (
        find_last_counted_offset(make_extent(0, 200), make_state(LedgerRow(100, -1, -1, "", -1, 1_000).to_text()))
        is None
    )
    assert find_last_counted_offset(make_extent(0, 200, "two"), make_state()) is None


def test_a_topic_made_again_is_counted_from_its_beginning() -> None:
    adoption = adopt(PARTITION, make_extent(0, 7, "two"), make_state())
    assert adoption is not None
    assert adoption.move.place == PartitionId("two", 0)
    assert adoption.move.from_row == ""
    assert adoption.move.to_row.startswith("0|")
