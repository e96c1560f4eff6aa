"""What is kept of a question's buckets from one asking to the next.   Stage 5 of 6, pure.

A bucket is read and added once, and compared afterwards by its totals alone. That is exact: every event adds to a
count of the bucket that never falls, so equal totals, in the same generation and with the ledger nowhere behind where
it was, are the same events. (A store that went back and was counted on unseen has the same events too; only which
fields and sketches a full bucket has may differ.) What a snapshot completes is the snapshot's own moment, whatever was
known before. One question at a time reads for a window: two whose snapshots came in the wrong order would look like a
store that went back.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from rtaplatform.analytics.plan.plan import QueryPlan, SumsPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.product_attributes import ProductTable
from rtaplatform.analytics.read.rows import AnswerRows, Answers, cells_of, table_of
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.rollups import BOT_PREFIX, PRODUCTS, SHARED
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import BucketContent, Read, ReadBucketLog, ReadBuckets, Snapshot

PORTION = 50  # minutes, or larger buckets by their weight, that are new, in one read: none keeps the store for long
WEIGHTS = {BucketKind.MINUTE: 1, BucketKind.HOUR: 25, BucketKind.DAY: 25}
WEIGHTS_OF_PRODUCTS = {BucketKind.MINUTE: 5, BucketKind.HOUR: 50, BucketKind.DAY: 50}  # there may be 100,000 of them
FIELDS_AT_ONCE = 50_000  # of buckets that are read again in one read: some 20 ms of the store
MISSES_MAX = 2  # readings in which something else had moved each time; then a small window is read whole, at one moment

Token = tuple[int, ...]  # a bucket's totals: equal ones are the same events


def totals_of(rollup: str, measures: Iterable[str], with_bots: bool) -> tuple[str, ...]:
    """The fields that tell whether anything was added to these measures of a bucket."""
    if rollup != PRODUCTS.name:
        counted = ["count"]
    else:  # revenue may fall and units may stand still: the orders that they come with do not
        beside = {"units": ["orders"], "revenue": ["orders"], **{name: [shared] for name, shared in SHARED.items()}}
        counted = [name for measure in measures for name in (measure, *beside.get(measure, ()))]
    prefixes = ("", BOT_PREFIX) if with_bots else ("",)
    return tuple(dict.fromkeys(prefix + name for prefix in prefixes for name in counted))


class WindowCache(ABC):
    """The buckets of one rollup in one window: where it stands, and which have moved; what is kept of one is a leaf's.

    A base class, since the leaves are told apart by what they keep alone.
    """

    numbers_of_field = 1  # as many numbers as it takes to handle a field that is listed

    def __init__(self, rollup: str, totals: tuple[str, ...]) -> None:
        self._rollup, self._totals = rollup, totals
        self.turn = asyncio.Lock()
        self._generation, self._ledger = ("", False), dict[PartitionId, int]()
        self._newest: Tile | None = None
        self._moving: set[Tile] = set()  # not known to stand still
        self._misses = 0  # readings, one after the other, that were not complete
        self._forget_all()

    # What a leaf keeps ---------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def size(self) -> int:
        """About how many bytes it keeps."""

    @abstractmethod
    def _forget_all(self) -> None: ...

    @abstractmethod
    def _tokens_known(self) -> Mapping[Tile, Token]:
        """Of the buckets that are kept."""

    @abstractmethod
    def _fields(self, tile: Tile) -> int:
        """About how many fields it takes to read this bucket, which is kept, again."""

    @abstractmethod
    def _drop(self, tile: Tile) -> None: ...

    @abstractmethod
    def _put(self, tile: Tile, token: Token, listed: BucketContent) -> None:
        """What the bucket holds, from its listing."""

    @abstractmethod
    def _put_changes(self, tile: Tile, token: Token, since: str, listed: BucketContent | None) -> None:
        """What the bucket holds, from what it held at a position of its log."""

    def _note_moved(self, moved: Iterable[Tile]) -> None:
        """These are not as they are known."""
        self._moving |= set(moved)

    @abstractmethod
    def reads(self, tiles: Sequence[Tile]) -> list[Read]:
        """The totals of all buckets, and what is not known of them or has probably changed."""

    def _listed_by(self, read: Read) -> tuple[Tile, ...]:
        """The buckets of which this read lists what the leaf keeps."""
        match read:
            case ReadBuckets(self._rollup, kind, starts):
                return tuple((kind, start) for start in starts)
        return ()

    # What all of them do -------------------------------------------------------------------------------------------

    def missing(self, tiles: Sequence[Tile]) -> list[list[Tile]]:
        """Buckets to be read before the question is asked, in portions; none where one read takes all of them."""
        known = self._tokens_known()
        weights = WEIGHTS_OF_PRODUCTS if self._rollup == PRODUCTS.name else WEIGHTS
        new = in_portions([(tile, weights[tile[0]]) for tile in tiles if tile not in known], PORTION)
        again = [(tile, self._fields(tile)) for tile in tiles if tile in known and self._is_read_whole(tile)]
        moved = in_portions(again, FIELDS_AT_ONCE)
        return [*(new if len(new) > 1 else ()), *(moved if len(moved) > 1 else ())]

    def keep(self, tiles: Sequence[Tile], newest: Tile | None) -> None:
        """Drop the buckets that have left the window. The newest one is expected to move on."""
        self._newest = newest
        for tile in self._tokens_known().keys() - set(tiles):
            self._drop(tile)
            self._moving.discard(tile)

    def take(self, snapshot: Snapshot, tiles: Sequence[Tile], answers: Answers) -> bool:
        """Bring these buckets to the snapshot's moment; False where some must be read again, whole.

        `answers` has those to `reads` of the same buckets.
        """
        self._follow(snapshot)
        tokens = self._tokens(tiles, answers)
        for read, answer in answers.items():
            if tiles_listed := self._listed_by(read):
                for tile, listed in zip(tiles_listed, answer, strict=True):
                    if tile in tokens:
                        self._put(tile, tokens[tile], listed)
            elif isinstance(read, ReadBucketLog) and read.rollup == self._rollup and (read.kind, read.start) in tokens:
                tile = read.kind, read.start
                self._put_changes(tile, tokens[tile], read.since, answer)
        known = self._tokens_known()
        moved = [tile for tile in tiles if known.get(tile) != tokens[tile]]
        self._note_moved(moved)
        self._misses = self._misses + 1 if moved else 0
        return not moved

    def _follow(self, snapshot: Snapshot) -> None:
        """Let go of everything where the snapshot's shard is not the one that was known, further on.

        What is read of one that is torn has half of a batch, and is no sound one's.
        """
        ledger = {place: row.next_offset for place, row in snapshot.ledger.items()}
        is_behind = any(ledger.get(place, 0) < offset for place, offset in self._ledger.items())
        generation = (snapshot.generation, snapshot.torn)
        if generation != self._generation or is_behind:
            self._moving.clear()
            self._newest = None
            self._forget_all()
        self._generation, self._ledger = generation, ledger

    def _tokens(self, tiles: Sequence[Tile], answers: Answers) -> dict[Tile, Token]:
        found = table_of(cells_of(self._rollup, tiles, self._totals), answers)
        nothing: Mapping[str, int] = {}
        return {tile: tuple(found.get(tile, nothing).get(name, 0) for name in self._totals) for tile in tiles}

    def _is_read(self, tile: Tile) -> bool:
        """Whether more is read of it than its totals."""
        return tile in self._moving or self._reads_all

    def _is_read_whole(self, tile: Tile) -> bool:
        """Whether it is read whole then, once it is known."""
        return self._is_read(tile)

    @property
    def _reads_all(self) -> bool:
        """Whether all buckets are read whole, since others have moved again and again, and they are small enough."""
        return self._misses >= MISSES_MAX and sum(map(self._fields, self._tokens_known())) <= FIELDS_AT_ONCE

    def _whole(self, tiles: Sequence[Tile]) -> list[Tile]:
        """Those to be read whole at once: new ones, and of those to be read again as many as one read takes.

        What is left of them is compared by its totals, and read in portions before the next attempt.
        """
        known = self._tokens_known()
        again = [(tile, self._fields(tile)) for tile in tiles if tile in known and self._is_read_whole(tile)]
        return [*(tile for tile in tiles if tile not in known), *next(iter(in_portions(again, FIELDS_AT_ONCE)), ())]

    def _note_movement(self, tile: Tile, has_moved: bool) -> None:
        if tile == self._newest or has_moved:
            self._moving.add(tile)
        else:
            self._moving.discard(tile)


class SumsCache(WindowCache):
    """A window whose sums are the answer."""

    @abstractmethod
    def prepare(self, products: ProductTable | None) -> None:
        """What the next question joins: what was joined with other products goes."""

    @abstractmethod
    def rows(self, plan: QueryPlan, shape: SumsPlan, products: ProductTable | None) -> AnswerRows: ...


def in_portions(weighed: Iterable[tuple[Tile, int]], room_max: int) -> list[list[Tile]]:
    """In their order, each portion as heavy as there is room; one that is heavier goes alone."""
    portions: list[list[Tile]] = []
    room = 0
    for tile, weight in weighed:
        if weight > room or not portions:
            portions.append([])
            room = room_max
        portions[-1].append(tile)
        room -= weight
    return portions


@asynccontextmanager
async def in_turn(windows: Iterable[WindowCache]) -> AsyncIterator[None]:
    """Wait for all of these windows; in one order, so that none waits for one that waits for it."""
    async with AsyncExitStack() as turns:
        for window in sorted(set(windows), key=id):
            await turns.enter_async_context(window.turn)
        yield
