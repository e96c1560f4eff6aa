"""What is kept of a question's buckets from one asking to the next.   Stage 5 of 6, pure.

A bucket is read and added once, and compared afterwards by its totals alone. That is exact: every event adds to a
count of the bucket that never falls, so equal totals, in the same generation and with the ledger nowhere behind where
it was, are the same events. What a snapshot completes is the snapshot's own moment, whatever was known before. One
question at a time reads for a window: two whose snapshots came in the wrong order would look like a store that went
back.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from rtaplatform.analytics.join import ProductTable
from rtaplatform.analytics.plan import Plan, SumsPlan
from rtaplatform.analytics.rows import Answers, Rows, cells_of, table_of
from rtaplatform.analytics.tiling import Tile
from rtaplatform.core.rollups import BOT_PREFIX, PRODUCTS
from rtaplatform.store.port import Cells, Changes, Listing, Place, Snapshot

READ_AT_ONCE = 2  # buckets that are new, in one read: none keeps the store for long

Token = tuple[int, ...]  # a bucket's totals: equal ones are the same events


def totals_of(rollup: str, measures: Iterable[str], with_bots: bool) -> tuple[str, ...]:
    """The fields that tell whether anything was added to these measures of a bucket."""
    if rollup != PRODUCTS.name:
        counted = ["count"]
    else:  # revenue may fall and units may stand still: the orders that they come with do not
        counted = [name for m in measures for name in ((m, "orders") if m in ("units", "revenue") else (m,))]
    prefixes = ("", BOT_PREFIX) if with_bots else ("",)
    return tuple(dict.fromkeys(prefix + name for prefix in prefixes for name in counted))


class KeptWindow(ABC):
    """The buckets of one rollup in one window. `size`: how many numbers it keeps."""

    size: int

    def __init__(self, rollup: str, totals: tuple[str, ...]) -> None:
        self._rollup, self._totals = rollup, totals
        self.turn = asyncio.Lock()
        self._generation, self._ledger = "", dict[Place, int]()
        self._newest: Tile | None = None
        self._moving: set[Tile] = set()  # not known to stand still
        self._forget_all()

    @abstractmethod
    def _forget_all(self) -> None: ...

    @abstractmethod
    def _knows(self, tile: Tile) -> bool: ...

    @abstractmethod
    def keep(self, tiles: Sequence[Tile], newest: Tile | None) -> None:
        """Drop the buckets that have left the window. The newest one is expected to move on."""

    @abstractmethod
    def reads(self, tiles: Sequence[Tile]) -> list[Cells | Listing | Changes]:
        """The totals of all buckets, and what is not known of them or has probably changed."""

    @abstractmethod
    def take(self, snapshot: Snapshot, tiles: Sequence[Tile], answers: Answers) -> bool:
        """Bring these buckets to the snapshot's moment; False where some must be read again, whole.

        `answers` has those to `reads` of the same buckets.
        """

    @abstractmethod
    def rows(self, plan: Plan, shape: SumsPlan, products: ProductTable | None) -> Rows: ...

    @abstractmethod
    def prepare(self, products: ProductTable | None) -> None:
        """What the next question joins: what was joined with other products goes."""

    def missing(self, tiles: Sequence[Tile]) -> list[Sequence[Tile]]:
        """Buckets to be read before the question is asked, in portions; none where few are new."""
        new = [tile for tile in tiles if not self._knows(tile)]
        return [new[at : at + READ_AT_ONCE] for at in range(0, len(new), READ_AT_ONCE)] if len(new) > 4 else []

    def _follow(self, snapshot: Snapshot) -> None:
        """Let go of everything where the snapshot's shard is not the one that was known, further on."""
        ledger = {place: row.next_offset for place, row in snapshot.ledger.items()}
        is_behind = any(ledger.get(place, 0) < offset for place, offset in self._ledger.items())
        if snapshot.generation != self._generation or is_behind:
            self._moving.clear()
            self._newest = None
            self._forget_all()
        self._generation, self._ledger = snapshot.generation, ledger

    def _tokens(self, tiles: Sequence[Tile], answers: Answers) -> dict[Tile, Token]:
        found = table_of(cells_of(self._rollup, tiles, self._totals), answers)
        nothing: Mapping[str, int] = {}
        return {tile: tuple(found.get(tile, nothing).get(name, 0) for name in self._totals) for tile in tiles}

    def _note_movement(self, tile: Tile, has_moved: bool) -> None:
        if tile == self._newest or has_moved:
            self._moving.add(tile)
        else:
            self._moving.discard(tile)


@asynccontextmanager
async def in_turn(windows: Iterable[KeptWindow]) -> AsyncIterator[None]:
    """Wait for all of these windows; in one order, so that none waits for one that waits for it."""
    async with AsyncExitStack() as turns:
        for window in sorted(set(windows), key=id):
            await turns.enter_async_context(window.turn)
        yield
