"""Caches the buckets of one rollup in one time window, from one question to the next.   Stage 5 of 6, pure.

Keeps what a subclass extracts from each bucket. A bucket is valid as long as its totals are unchanged. That is exact:
every event adds to a total that never falls; where numbers may fall, the calls that changed the bucket are counted
(`CHANGES`). Equal totals therefore mean the same events, provided that the generation is the same and no ledger row
went back; otherwise everything is dropped. (If the store was restored from a backup and counted past the old position
unnoticed, it has the same events too; only the choice of fields and sketches in a full bucket may differ.) After
`update` succeeds, every bucket in the window reflects the same snapshot, regardless of when it was first read.

Buckets that leave the window are dropped, so memory is bounded by the window; window_caches.py bounds all windows
together. One question at a time uses a window: two snapshots taken in the wrong order would look like a store that
went back.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from rtaplatform.analytics.plan.plan import QueryPlan
from rtaplatform.analytics.plan.shapes import SumsPlan
from rtaplatform.analytics.plan.tiling import Tile
from rtaplatform.analytics.read.portions import split_into_portions
from rtaplatform.analytics.read.product_attributes import ProductTable
from rtaplatform.analytics.read.rows import AnswerRows, Answers, list_cell_reads, make_table
from rtaplatform.core.caps import ANCHORS
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.rollups import BOT_PREFIX, BY_PRODUCT, CHANGES, FALLING, REFUND_EVENTS, SHARED
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import BucketContent, Read, ReadBucketLog, ReadBuckets, Snapshot

PORTION = 50  # weight of new buckets in one read, so that no read occupies the store for long
WEIGHTS = {BucketKind.MINUTE: 1, BucketKind.HOUR: 25, BucketKind.DAY: 25}
WEIGHTS_OF_PRODUCTS = {BucketKind.MINUTE: 5, BucketKind.HOUR: 50, BucketKind.DAY: 50}  # up to 100,000 fields
FIELDS_AT_ONCE = 50_000  # fields of changed buckets in one read: some 20 ms of the store
MISSES_MAX = 2  # incomplete reads in a row, because other buckets changed; then a small window is read whole

Token = tuple[int, ...]  # a bucket's totals: equal tokens mean the same events


def list_total_fields(rollup: str, measures: Iterable[str], with_bots: bool) -> tuple[str, ...]:
    """List the fields that show whether anything was added to these measures of a bucket."""
    if rollup in FALLING:
        return ("sessions", CHANGES)
    if rollup not in BY_PRODUCT:
        totals = [ANCHORS.get(rollup, "count")]
    else:  # an order always raises `orders`, but may lower `revenue` or leave `units` unchanged; so with refunds
        extra = {"units": ["orders"], "revenue": ["orders"], "refunds": [REFUND_EVENTS]}
        extra |= {name: [shared_name] for name, shared_name in SHARED.items()}
        totals = [name for measure in measures for name in (measure, *extra.get(measure, ()))]
    prefixes = ("", BOT_PREFIX) if with_bots else ("",)
    return tuple(dict.fromkeys(prefix + name for prefix in prefixes for name in totals))


class WindowCache(ABC):
    """The state that all window caches share: generation, ledger, and which buckets may change.

    It is a base class because the subclasses differ only in what they keep of a bucket.
    """

    work_per_field = 1  # the work for one field of a bucket's content, in numbers (see side_thread.py)

    def __init__(self, rollup: str, totals: tuple[str, ...]) -> None:
        self._rollup, self._totals = rollup, totals
        self.lock = asyncio.Lock()
        self._generation, self._ledger = ("", False), dict[PartitionId, int]()
        self._newest_tile: Tile | None = None
        self._changing: set[Tile] = set()  # changed at the last read, or expected to change
        self._miss_count = 0  # incomplete reads in a row
        self._clear()

    # For subclasses --------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def size(self) -> int:
        """Approximate bytes."""

    @abstractmethod
    def _clear(self) -> None: ...

    @abstractmethod
    def _list_tokens(self) -> Mapping[Tile, Token]:
        """The token of each cached bucket."""

    @abstractmethod
    def _count_fields(self, tile: Tile) -> int:
        """About how many fields must be read to read this cached bucket again."""

    @abstractmethod
    def _drop_bucket(self, tile: Tile) -> None: ...

    @abstractmethod
    def _put_bucket(self, tile: Tile, token: Token, content: BucketContent) -> None:
        """Replace a bucket by its whole content."""

    @abstractmethod
    def _apply_changes(self, tile: Tile, token: Token, since: str, content: BucketContent | None) -> None:
        """Update a bucket by what has changed since a position of its log; None if the log does not reach back."""

    def _mark_changed(self, tiles: Iterable[Tile]) -> None:
        """Note that these buckets have changed since they were cached."""
        self._changing |= set(tiles)

    @abstractmethod
    def list_reads(self, tiles: Sequence[Tile]) -> list[Read]:
        """The reads of all totals, and of the buckets that are new or have probably changed."""

    def _list_tiles(self, read: Read) -> tuple[Tile, ...]:
        """The buckets whose whole content this read returns; empty if the read is none of this cache."""
        match read:
            case ReadBuckets(self._rollup, kind, starts):
                return tuple((kind, start) for start in starts)
        return ()

    # For callers -----------------------------------------------------------------------------------------------

    def list_portions(self, tiles: Sequence[Tile]) -> list[list[Tile]]:
        """Portions of buckets to read before the question; none if the question can read all of them itself."""
        tokens = self._list_tokens()
        weights = WEIGHTS_OF_PRODUCTS if self._rollup in BY_PRODUCT else WEIGHTS
        new_weights = [(tile, weights[tile[0]]) for tile in tiles if tile not in tokens]
        new_portions = split_into_portions(new_weights, PORTION)
        reread_portions = split_into_portions(self._weigh_rereads(tiles), FIELDS_AT_ONCE)
        return [
            *(new_portions if len(new_portions) > 1 else ()),
            *(reread_portions if len(reread_portions) > 1 else ()),
        ]

    def drop_others(self, tiles: Sequence[Tile], newest: Tile | None) -> None:
        """Drop the buckets that have left the window. The newest bucket is expected to change."""
        self._newest_tile = newest
        for tile in self._list_tokens().keys() - set(tiles):
            self._drop_bucket(tile)
            self._changing.discard(tile)

    def update(self, snapshot: Snapshot, tiles: Sequence[Tile], answers: Answers) -> bool:
        """Update these buckets to the snapshot; False if some have changed and must be read again first.

        `answers` includes the answers to `list_reads(tiles)`.
        """
        self._drop_unless_continued(snapshot)
        tokens = extract_tokens(self._rollup, tiles, self._totals, answers)
        for read, answer in answers.items():
            if read_tiles := self._list_tiles(read):
                for tile, content in zip(read_tiles, answer, strict=True):
                    if tile in tokens:
                        self._put_bucket(tile, tokens[tile], content)
            elif isinstance(read, ReadBucketLog) and read.rollup == self._rollup and (read.kind, read.start) in tokens:
                tile = read.kind, read.start
                self._apply_changes(tile, tokens[tile], read.since, answer)
        cached_tokens = self._list_tokens()
        changed_tiles = [tile for tile in tiles if cached_tokens.get(tile) != tokens[tile]]
        self._mark_changed(changed_tiles)
        self._miss_count = self._miss_count + 1 if changed_tiles else 0
        return not changed_tiles

    def _drop_unless_continued(self, snapshot: Snapshot) -> None:
        """Drop everything unless the snapshot continues the last one: same generation, no ledger row behind.

        A partially applied shard counts as another generation, because it has half of a batch.
        """
        ledger = {partition: row.next_offset for partition, row in snapshot.ledger.items()}
        is_behind = any(ledger.get(partition, 0) < offset for partition, offset in self._ledger.items())
        generation = (snapshot.generation, snapshot.torn)
        if generation != self._generation or is_behind:
            self._changing.clear()
            self._newest_tile = None
            self._clear()
        self._generation, self._ledger = generation, ledger

    def _is_reread(self, tile: Tile) -> bool:
        """Whether the next question reads more of this bucket than its totals."""
        return tile in self._changing or self._is_all_reread

    def _is_reread_whole(self, tile: Tile) -> bool:
        """Whether the next question reads the whole of this cached bucket."""
        return self._is_reread(tile)

    @property
    def _is_all_reread(self) -> bool:
        """Whether all buckets are read whole: they are small enough, and others have changed at each read."""
        return self._miss_count >= MISSES_MAX and sum(map(self._count_fields, self._list_tokens())) <= FIELDS_AT_ONCE

    def _choose_whole_tiles(self, tiles: Sequence[Tile]) -> list[Tile]:
        """The buckets to read whole now: all new ones, and as many changed ones as fit into one read.

        The other changed buckets are compared by their totals, and read in portions before the next attempt.
        """
        tokens = self._list_tokens()
        reread_portions = split_into_portions(self._weigh_rereads(tiles), FIELDS_AT_ONCE)
        return [*(tile for tile in tiles if tile not in tokens), *(reread_portions[0] if reread_portions else ())]

    def _weigh_rereads(self, tiles: Sequence[Tile]) -> list[tuple[Tile, int]]:
        """The cached buckets to read whole again, each with its number of fields."""
        tokens = self._list_tokens()
        return [(tile, self._count_fields(tile)) for tile in tiles if tile in tokens and self._is_reread_whole(tile)]

    def _update_changing(self, tile: Tile, has_changed: bool) -> None:
        """Note whether the bucket is expected to change again."""
        if tile == self._newest_tile or has_changed:
            self._changing.add(tile)
        else:
            self._changing.discard(tile)


class SumsCache(WindowCache):
    """A window cache whose sums make up the rows of an answer."""

    @abstractmethod
    def prepare(self, products: ProductTable | None) -> None:
        """Set the products to join; drop what was joined with attributes that have changed since."""

    @abstractmethod
    def build_rows(self, plan: QueryPlan, shape: SumsPlan, products: ProductTable | None) -> AnswerRows: ...


def extract_tokens(rollup: str, tiles: Sequence[Tile], totals: tuple[str, ...], answers: Answers) -> dict[Tile, Token]:
    table = make_table(list_cell_reads(rollup, tiles, totals), answers)
    empty: Mapping[str, int] = {}
    return {tile: tuple(table.get(tile, empty).get(name, 0) for name in totals) for tile in tiles}


@asynccontextmanager
async def lock_in_order(windows: Iterable[WindowCache]) -> AsyncIterator[None]:
    """Hold the locks of these windows. All callers take them in the same order, so there is no deadlock."""
    async with AsyncExitStack() as locks:
        for window in sorted(set(windows), key=id):
            await locks.enter_async_context(window.lock)
        yield
