"""The contract of the store, of loose ids: one suite, run on every adapter."""

from __future__ import annotations

import pytest

from rtaplatform.store.port import Applied, Conflicted, Delta, LooseWrite
from tests.contract.conftest import Parts
from tests.contract.test_store import CELLS, NOW_MS, advance, read_cells

SET = "demo:rta.events.web:3"
DAY_MS = 86_400_000


def make_loose(*ids: tuple[bytes, int, int], name: str = SET) -> LooseWrite:
    """Of (id, expected, written)."""
    return LooseWrite(name, [id for id, _, _ in ids], [at for _, at, _ in ids], [at for _, _, at in ids])


async def test_loose_ids_are_remembered_with_the_time_of_their_write(parts: Parts) -> None:
    first, two, other = b"1" * 8, b"\x00\xff\r\n\x00\x80:{", "other:rta.events.web:3"
    writes = [make_loose((first, -1, NOW_MS), (two, -1, -1)), make_loose((two, -1, 0), name=other)]
    assert parts.store.apply(0, "g1", advance(0, 1, loose=writes)) == Applied()
    questions = [(SET, [two, first]), (other, [first, two]), ("demo:rta.events.web:4", [first])]
    assert parts.store.read_loose_ids(0, "g1", questions) == [[-1, NOW_MS], [-1, 0], [-1]]
    assert parts.store.read_loose_ids(0, "g0", [(SET, [first])]) == [[-1]]
    assert parts.store.read_loose_ids(0, "g1", []) == []
    rewritten = make_loose((first, NOW_MS, NOW_MS + DAY_MS))
    assert parts.store.apply(0, "g1", advance(1, 2, loose=[rewritten])) == Applied()
    assert parts.store.read_loose_ids(0, "g1", [(SET, [first])]) == [[NOW_MS + DAY_MS]]


@pytest.mark.parametrize(
    "stale",
    [make_loose((b"1" * 8, -1, NOW_MS)), make_loose((b"1" * 8, NOW_MS - 1, -1)), make_loose((b"2" * 8, NOW_MS, -1))],
)
async def test_a_loose_id_that_is_not_as_it_was_read_is_a_conflict(parts: Parts, stale: LooseWrite) -> None:
    assert parts.store.apply(0, "g1", advance(0, 1, loose=[make_loose((b"1" * 8, -1, NOW_MS))])) == Applied()
    well = make_loose((b"1" * 8, -1, NOW_MS), name="demo:rta.events.web:4")
    delta = advance(1, 2, loose=[well, stale], cells={CELLS: {"count": 1}})
    assert parts.store.apply(0, "g1", delta) == Conflicted([], [], [], False, [SET])
    assert await read_cells(parts) == {}
    assert parts.store.read_loose_ids(0, "g1", [(well.name, well.ids)]) == [[-1]]


async def test_a_comparison_of_loose_ids_alone_writes_nothing(parts: Parts) -> None:
    assert parts.store.apply(0, "g1", Delta([], loose=[make_loose((b"1" * 8, -1, -1))])) == Applied()
    assert parts.store.apply(0, "g1", Delta([], loose=[make_loose((b"1" * 8, 5, -1))])) == Conflicted(
        [], [], [], False, [SET]
    )
    assert parts.store.read_loose_ids(0, "g1", [(SET, [b"1" * 8])]) == [[-1]]


async def test_thousands_of_loose_ids_are_compared_and_written_in_one_call(parts: Parts) -> None:
    ids = [n.to_bytes(8, "little") for n in range(5_500)]
    assert parts.store.apply(0, "g1", advance(0, 1, loose=[make_loose(*((id, -1, NOW_MS) for id in ids))])) == Applied()
    assert parts.store.read_loose_ids(0, "g1", [(SET, ids)]) == [[NOW_MS] * len(ids)]
    last_differs = advance(1, 2, loose=[make_loose(*((id, NOW_MS, -1) for id in ids), (b"another.", 5, -1))])
    assert parts.store.apply(0, "g1", last_differs) == Conflicted([], [], [], False, [SET])


async def test_loose_ids_are_forgotten_by_stream_time(parts: Parts) -> None:
    ids = [(n.to_bytes(8, "little"), -1, NOW_MS + n) for n in range(10)]
    other = make_loose((b"1" * 8, -1, NOW_MS), name="other:rta.events.web:3")
    elsewhere = make_loose((b"1" * 8, -1, NOW_MS), name="demo:rta.events.web:4")
    parts.store.apply(0, "g1", advance(0, 1, loose=[make_loose(*ids), other, elsewhere]))
    for after, upto in (
        (1, 4),
        (2, 4),
        (3, 9),
        (4, 10),
    ):  # after 4 calls none is left; a call without a due one is none
        parts.store.apply(0, "g1", advance(after, after + 1, expired_blocks={"rta.events.web:3": NOW_MS + upto}))
        times = parts.store.read_loose_ids(0, "g1", [(SET, [id for id, _, _ in ids]), (other.name, other.ids)])
        assert times == [[at if at > NOW_MS + upto else -1 for _, _, at in ids], [-1]]
    assert parts.store.read_loose_ids(0, "g1", [(elsewhere.name, elsewhere.ids)]) == [[NOW_MS]]
    again = make_loose((b"1" * 8, -1, NOW_MS))
    assert parts.store.apply(0, "g1", advance(5, 6, loose=[again])) == Applied()
    parts.store.apply(0, "g1", advance(6, 7, expired_blocks={"rta.events.web:3": NOW_MS}))
    assert parts.store.read_loose_ids(0, "g1", [(SET, again.ids)]) == [[-1]]
