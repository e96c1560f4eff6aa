"""Recognise duplicates: which message ids were seen before.   Stage 3 of 6: stream → [process] → store.

Most ids are in blocks, the stored dedup windows. A block holds the ids of one project, topic, dedup partition and
minute of the events' own time. A worker caches the blocks that it uses. `apply` compares their tokens, so a stale copy
can never decide. The ids of events without an own time, or with one far from stream time, are in no block: see
process/fold/loose_ids.py. What a batch adds is kept apart until the store has accepted it.
"""

from __future__ import annotations

import secrets
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

from rtaplatform.core.time.buckets import DAY_MS, HOUR_MS, MINUTE_MS
from rtaplatform.process.fold.known_orders import KnownOrders, OrderFilter
from rtaplatform.process.fold.loose_ids import ABSENT, LooseIds, LooseKey, make_loose_writes
from rtaplatform.process.fold.replays import ReplayFilter, SettledReplays
from rtaplatform.store.port import BlockWrite, LooseWrite

WINDOW_MS = DAY_MS  # so long after its last write, in stream time, a block counts as empty, and a loose id as new
BLOCK_WEIGHT = 5  # in ids: an empty block takes some 500 bytes, and an id in it up to 140
# An id is written to its block if its own time is this near stream time, else to the loose ids.
BEHIND_MS_MAX, AHEAD_MS_MAX = 48 * HOUR_MS, 25 * HOUR_MS
# An event's own time stays, and stream time grows: what was far may be near when the repeat comes, and the other way
# round. So the id is looked up in its block whenever it may be there, and so in the loose ids. Stream time may go back
# a little when partitions are added, because another partition may take over the dedup partition.
BACK_MS_MAX = HOUR_MS
BLOCK_FROM_MS, BLOCK_UNTIL_MS = -BEHIND_MS_MAX - WINDOW_MS, AHEAD_MS_MAX + BACK_MS_MAX
NOT_LOOSE_FROM_MS, NOT_LOOSE_UNTIL_MS = BACK_MS_MAX - BEHIND_MS_MAX, AHEAD_MS_MAX - WINDOW_MS
NO_IDS: frozenset[int] = frozenset()

FetchBlocks = Callable[[Sequence[str]], list[bytes]]


class DedupBlock(Struct):
    """A block as stored: its token (empty if there is no block), the stream time of its last write, its ids."""

    token: bytes
    last_write_ms: int
    ids: set[int]


class BlockView(Struct, gc=False):
    """A block as a batch sees it: what was stored, and what the batch has added."""

    token: bytes
    stored: set[int] | frozenset[int]
    added: set[int]
    last_write_ms: int
    replace: bool


class Lookup(Struct, frozen=True, gc=False):
    """Where an id is looked up: in a block, in a set of loose ids, or both. `is_near`: a new id goes to the block."""

    block: str
    loose: str
    is_near: bool


NO_LOOKUP = Lookup("", "", is_near=True)  # of events that are not checked for duplicates


def read_block(stored_block: bytes) -> DedupBlock:
    if not stored_block:
        return DedupBlock(b"", 0, set())
    ids = array("Q")
    ids.frombytes(stored_block[16:])
    return DedupBlock(stored_block[:8], int.from_bytes(stored_block[8:16], "big"), set(ids))


def plan_lookup(project: str, topic: str, dedup_partition: int, own_ms: int, stream_time_ms: int) -> Lookup:
    """Where to look up the id of an event at this stream time. `own_ms` -1: it has no own time."""
    ahead_ms = own_ms - stream_time_ms
    if NOT_LOOSE_FROM_MS <= ahead_ms <= NOT_LOOSE_UNTIL_MS and own_ms >= 0:
        return plan_block_lookup(project, topic, dedup_partition, own_ms // MINUTE_MS)
    loose_set = f"{project}:{topic}:{dedup_partition}"
    if own_ms < 0 or not BLOCK_FROM_MS <= ahead_ms <= BLOCK_UNTIL_MS:
        return Lookup("", loose_set, is_near=False)
    is_near = -BEHIND_MS_MAX <= ahead_ms <= AHEAD_MS_MAX
    return Lookup(f"{loose_set}:{own_ms // MINUTE_MS}", loose_set, is_near)


@lru_cache(maxsize=16_384)
def plan_block_lookup(project: str, topic: str, dedup_partition: int, minute: int) -> Lookup:
    """Look up the id in the block of this minute only."""
    return Lookup(f"{project}:{topic}:{dedup_partition}:{minute}", "", is_near=True)


def without_expired(writes: Sequence[BlockWrite], expiries: Mapping[str, int]) -> list[BlockWrite]:
    """Only compare blocks that would expire at once, instead of writing them. `expiries`: `Delta.expired_blocks`."""
    return [_compare_only(write) if _is_expired(write, expiries) else write for write in writes]


def _is_expired(write: BlockWrite, expiries: Mapping[str, int]) -> bool:
    if not write.ids:
        return False
    _project, topic, dedup_partition, _minute = write.name.rsplit(":", 3)
    return write.last_write_ms <= expiries.get(f"{topic}:{dedup_partition}", -1)


def _compare_only(write: BlockWrite) -> BlockWrite:
    return BlockWrite(write.name, write.expected, write.token, 0, b"", False)


class BlockCache:
    """The blocks of one shard that a worker has read, least recently used first. `loose` has the loose ids.

    `ids_max` bounds their weight: the number of ids, plus `BLOCK_WEIGHT` for each block.
    """

    def __init__(self, ids_max: int) -> None:
        self._ids_max = ids_max
        self._ids = 0
        self._blocks: OrderedDict[str, DedupBlock] = OrderedDict()
        self.loose = LooseIds()

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def ids(self) -> int:
        return self._ids

    @property
    def weight(self) -> int:
        """What the blocks take in memory, as a number of ids."""
        return self._ids + BLOCK_WEIGHT * len(self._blocks)

    def list_missing(self, names: Iterable[str]) -> list[str]:
        return [name for name in dict.fromkeys(names) if name not in self._blocks]

    def load(self, names: Iterable[str], fetch: FetchBlocks) -> None:
        """Fetch those of these blocks that are missing, in one call."""
        missing_names = self.list_missing(names)
        if missing_names:
            for name, stored_block in zip(missing_names, fetch(missing_names), strict=True):
                self._put(name, read_block(stored_block))

    def __getitem__(self, name: str) -> DedupBlock:
        self._blocks.move_to_end(name)
        return self._blocks[name]

    def drop(self, names: Iterable[str]) -> None:
        for name in names:
            block = self._blocks.pop(name, None)
            self._ids -= len(block.ids) if block else 0

    def clear(self) -> None:
        self._blocks.clear()
        self._ids = 0
        self.loose.clear()

    def accept(self, writes: Iterable[BlockWrite]) -> None:
        """Update the copies as the store does when it applies these writes."""
        for write in writes:
            block = self._blocks.get(write.name)
            if block is None or not write.ids:
                continue
            new = array("Q")
            new.frombytes(write.ids)
            old_count = len(block.ids)
            ids = set(new) if write.replace else block.ids | set(new) if len(new) > 64 else _add_ids(block.ids, new)
            self._ids += len(ids) - old_count
            self._blocks[write.name] = DedupBlock(write.token, write.last_write_ms, ids)

    def trim(self) -> None:
        """Drop the least recently used blocks, down to the limit. Call it between batches only."""
        while self.weight > self._ids_max and len(self._blocks) > 1:
            _name, block = self._blocks.popitem(last=False)
            self._ids -= len(block.ids)

    def _put(self, name: str, block: DedupBlock) -> None:
        self._blocks[name] = block
        self._ids += len(block.ids)


def _add_ids(ids: set[int], new: array[int]) -> set[int]:
    ids.update(new)
    return ids


class RepeatFilter:
    """Tells repeats from new ids in one batch. It must be asked in the order of the records.

    `orders` does the same for orders, `replays` for replays of dead letters.
    """

    def __init__(
        self, cache: BlockCache, known_orders: KnownOrders | None = None, settled_replays: SettledReplays | None = None
    ) -> None:
        self._cache = cache
        self.replays = ReplayFilter(SettledReplays() if settled_replays is None else settled_replays)
        self._known_orders = KnownOrders() if known_orders is None else known_orders
        self.orders = OrderFilter(self._known_orders)
        self._views: dict[str, BlockView] = {}
        self._times_read: dict[LooseKey, int] = {}  # when loose ids were written, as read from the store
        self._times_written: dict[LooseKey, int] = {}  # when this batch wrote them

    def is_repeat(self, lookup: Lookup, identity: int, stream_time_ms: int) -> bool:
        """Whether the id was seen before. A new id is remembered."""
        if lookup.loose:
            return self._is_loose_repeat(lookup, identity, stream_time_ms)
        view = self._views.get(lookup.block) or self._open_view(lookup.block)
        if stream_time_ms - view.last_write_ms >= WINDOW_MS:
            view.stored, view.added, view.replace = NO_IDS, {identity}, True
        elif identity in view.added or identity in view.stored:
            return True
        else:
            view.added.add(identity)
        if stream_time_ms > view.last_write_ms:
            view.last_write_ms = stream_time_ms
        return False

    def _is_loose_repeat(self, lookup: Lookup, identity: int, stream_time_ms: int) -> bool:
        if lookup.block and self._is_in_block(lookup.block, identity, stream_time_ms):
            return True
        key = (lookup.loose, identity)
        time_read = self._times_read.get(key)
        if time_read is None:
            time_read = self._times_read[key] = self._cache.loose[key]
        written_ms = self._times_written.get(key, time_read)
        if written_ms != ABSENT and stream_time_ms - written_ms < WINDOW_MS:
            return True
        if lookup.is_near:  # the block does not have the id, so this writes it there
            return self.is_repeat(Lookup(lookup.block, "", is_near=True), identity, stream_time_ms)
        self._times_written[key] = stream_time_ms
        return False

    def _is_in_block(self, name: str, identity: int, stream_time_ms: int) -> bool:
        view = self._views.get(name) or self._open_view(name)
        is_alive = stream_time_ms - view.last_write_ms < WINDOW_MS
        return is_alive and (identity in view.added or identity in view.stored)

    def _open_view(self, name: str) -> BlockView:
        block = self._cache[name]
        view = self._views[name] = BlockView(block.token, block.ids, set(), block.last_write_ms, replace=False)
        return view

    def take_back_orders(self) -> None:
        """The batch was refused: its orders are decided again."""
        self._known_orders.take_back(self.orders.make_writes())
        self.orders = OrderFilter(self._known_orders)

    def make_writes(self) -> list[BlockWrite]:
        """A write for every block that was read: with its new ids, or only to compare its token."""
        return [self._make_write(name, view) for name, view in self._views.items()]

    def make_loose_writes(self) -> list[LooseWrite]:
        """The same for every loose id that was read."""
        return make_loose_writes(self._times_read, self._times_written) if self._times_read else []

    def _make_write(self, name: str, view: BlockView) -> BlockWrite:
        if not view.added:
            return BlockWrite(name, view.token, secrets.token_bytes(8), 0, b"", False)
        ids = array("Q", view.added).tobytes()
        return BlockWrite(name, view.token, secrets.token_bytes(8), view.last_write_ms, ids, view.replace)
