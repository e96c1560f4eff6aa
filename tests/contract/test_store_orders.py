"""The contract of the store, of orders that count once: one suite, run on every adapter."""

from __future__ import annotations

import pytest

from rtaplatform.core.ledger import LedgerRow
from rtaplatform.store.port import Advance, Applied, Conflicted, Delta, OrderWrite
from tests.contract.conftest import Parts
from tests.contract.test_store import CELLS, NOW_MS, PLACE, advance, read_cells

DAY_MS = 86_400_000
ONE, TWO = b"\x00\xff\r\n\x00\x80:{", b"2" * 8


def make_orders(*ids: tuple[bytes, int, int], project: str = "demo") -> OrderWrite:
    """Of (id, expected, written)."""
    return OrderWrite(project, [id for id, _, _ in ids], [at for _, at, _ in ids], [at for _, _, at in ids])


def make_conflict(**stored: int) -> Conflicted:
    names = {"one": ONE, "two": TWO}
    return Conflicted([], [], [], False, [], {("demo", names[name]): at for name, at in stored.items()})


def read_stored(parts: Parts, *ids: bytes, project: str = "demo") -> list[int]:
    """What a comparison with what nobody would write is told."""
    question = Delta([], orders=[make_orders(*((id, 1, -1) for id in ids), project=project)])
    outcome = parts.store.apply(0, "g1", question)
    assert isinstance(outcome, Conflicted)
    return [outcome.orders[(project, id)] for id in ids]


async def test_orders_are_remembered_with_their_stream_time(parts: Parts) -> None:
    writes = [make_orders((ONE, -1, NOW_MS), (TWO, -1, -1)), make_orders((TWO, -1, 0), project="other")]
    assert parts.store.apply(0, "g1", advance(0, 1, orders=writes)) == Applied()
    assert read_stored(parts, ONE, TWO) == [NOW_MS, -1]
    assert read_stored(parts, ONE, TWO, project="other") == [-1, 0]
    again = make_orders((ONE, NOW_MS, NOW_MS + 7 * DAY_MS))
    assert parts.store.apply(0, "g1", advance(1, 2, orders=[again])) == Applied()
    assert read_stored(parts, ONE) == [NOW_MS + 7 * DAY_MS]


@pytest.mark.parametrize(
    ("stale", "conflict"),
    [
        (make_orders((ONE, -1, NOW_MS)), make_conflict(one=NOW_MS)),
        (make_orders((ONE, NOW_MS - 1, -1)), make_conflict(one=NOW_MS)),
        (make_orders((ONE, NOW_MS, -1), (TWO, NOW_MS, -1)), make_conflict(two=-1)),
        (make_orders((TWO, 5, NOW_MS), (ONE, -1, NOW_MS)), make_conflict(one=NOW_MS, two=-1)),
    ],
)
async def test_an_order_that_is_not_as_it_was_taken_for_is_a_conflict(
    parts: Parts, stale: OrderWrite, conflict: Conflicted
) -> None:
    assert parts.store.apply(0, "g1", advance(0, 1, orders=[make_orders((ONE, -1, NOW_MS))])) == Applied()
    well = make_orders((b"3" * 8, -1, NOW_MS), project="other")
    delta = advance(1, 2, orders=[well, stale], cells={CELLS: {"count": 1}})
    assert parts.store.apply(0, "g1", delta) == conflict
    assert await read_cells(parts) == {}
    assert read_stored(parts, b"3" * 8, project="other") == [-1]


async def test_a_comparison_of_orders_alone_writes_nothing(parts: Parts) -> None:
    assert parts.store.apply(0, "g1", Delta([], orders=[make_orders((ONE, -1, -1))])) == Applied()
    assert read_stored(parts, ONE) == [-1]


async def test_thousands_of_orders_are_compared_and_written_in_one_call(parts: Parts) -> None:
    ids = [n.to_bytes(8, "little") for n in range(5_500)]
    many = make_orders(*((id, -1, NOW_MS) for id in ids))
    assert parts.store.apply(0, "g1", advance(0, 1, orders=[many])) == Applied()
    assert parts.store.apply(0, "g1", advance(1, 2, orders=[many])) == Conflicted(
        [], [], [], False, [], {("demo", id): NOW_MS for id in ids}
    )


def make_advance(after: Advance | None, place_number: int, at_ms: int) -> Advance:
    """The place's row with that stream time, after another one."""
    offset = 1 if after is None else int(after.to_row.split("|")[0]) + 1
    place = PLACE._replace(partition=place_number)
    return Advance(place, "" if after is None else after.to_row, LedgerRow(offset, 0, at_ms, "ff", 0, at_ms).to_text())


async def test_orders_go_once_no_partition_can_meet_them_within_seven_days(parts: Parts) -> None:
    """Judged by the rows before the call: of all partitions, but those that are 28 days behind the first."""
    old, new, apply = make_orders((ONE, -1, NOW_MS)), make_orders((TWO, -1, NOW_MS + 1)), parts.store.apply
    first, second = make_advance(None, 0, NOW_MS), make_advance(None, 1, NOW_MS)
    assert apply(0, "g1", Delta([first, second], orders=[old, new])) == Applied()

    ahead = make_advance(first, 0, NOW_MS + 20 * DAY_MS)
    assert apply(0, "g1", Delta([ahead])) == Applied()
    clean = make_orders((b"3" * 8, -1, -1), project="demo")
    assert apply(0, "g1", Delta([make_advance(ahead, 0, NOW_MS + 20 * DAY_MS)], orders=[clean])) == Applied()
    assert read_stored(parts, ONE, TWO) == [NOW_MS, NOW_MS + 1], "the second partition may still read it"

    follows = make_advance(second, 1, NOW_MS + 7 * DAY_MS)
    assert apply(0, "g1", Delta([follows])) == Applied()
    assert apply(0, "g1", Delta([make_advance(follows, 1, NOW_MS + 7 * DAY_MS)], orders=[clean])) == Applied()
    assert read_stored(parts, ONE, TWO) == [-1, NOW_MS + 1]


async def test_a_partition_that_stands_still_keeps_orders_for_five_weeks(parts: Parts) -> None:
    old, apply = make_orders((ONE, -1, NOW_MS), (TWO, -1, NOW_MS + 1)), parts.store.apply
    first, still = make_advance(None, 0, NOW_MS), make_advance(None, 1, NOW_MS - 9 * DAY_MS)
    assert apply(0, "g1", Delta([first, still], orders=[old])) == Applied()
    far = make_advance(first, 0, NOW_MS + 35 * DAY_MS)
    assert apply(0, "g1", Delta([far])) == Applied()
    clean = make_orders((b"3" * 8, -1, -1))
    assert apply(0, "g1", Delta([make_advance(far, 0, NOW_MS + 35 * DAY_MS)], orders=[clean])) == Applied()
    assert read_stored(parts, ONE, TWO) == [-1, NOW_MS + 1]
