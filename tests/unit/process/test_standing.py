"""A partition that lags and does not move is sought again, once, and later where others keep us busy."""

from __future__ import annotations

from rtaplatform.process.standing import BUSY_SECONDS, IDLE_SECONDS, Standing
from rtaplatform.store.port import Place
from rtaplatform.stream.port import Extent, Partition

A, B = Partition("web", 0), Partition("web", 1)
EXTENTS = {A: Extent(Place("web-1", 0), 0, 10, 2), B: Extent(Place("web-1", 1), 0, 10, 2)}


def test_what_lags_and_does_not_move_is_named_once() -> None:
    standing = Standing()
    assert standing.look({A: 4, B: 10}, EXTENTS, 0.0, is_idle=True) is None
    assert standing.look({A: 4, B: 10}, EXTENTS, IDLE_SECONDS, is_idle=True) == A
    assert standing.look({A: 4, B: 10}, EXTENTS, 3 * IDLE_SECONDS, is_idle=True) is None
    standing.look({A: 5, B: 10}, EXTENTS, 100.0, is_idle=True)
    assert standing.look({A: 5, B: 10}, EXTENTS, 100.0 + IDLE_SECONDS, is_idle=True) == A


def test_what_moves_or_is_at_the_end_is_not() -> None:
    standing = Standing()
    for second in range(100):
        assert standing.look({A: second % 10, B: 10}, EXTENTS, float(second), is_idle=True) is None


def test_beside_busy_ones_it_has_time() -> None:
    standing = Standing()
    standing.look({A: 4, B: 4}, EXTENTS, 0.0, is_idle=False)
    assert standing.look({A: 4, B: 9}, EXTENTS, BUSY_SECONDS - 1, is_idle=False) is None
    assert standing.look({A: 4, B: 9}, EXTENTS, BUSY_SECONDS, is_idle=False) == A
