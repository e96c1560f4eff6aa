"""Dedup blocks, loose ids and orders in memory: written by batches, deleted by stream time.   Stage 4 of 6."""

from __future__ import annotations

from rtaplatform.core.ledger import read_row
from rtaplatform.core.time.buckets import DAY_MS
from rtaplatform.store import redis_keys
from rtaplatform.store.memory.memory_totals import MemoryTotals
from rtaplatform.store.port import (
    BlockWrite,
    Delta,
    LooseWrite,
)

ORDERS_KEPT_MS = 7 * DAY_MS
ORDERS_LAG_MS = 28 * DAY_MS  # a partition that is further behind, or was not written to for so long, keeps none


def write_ids(totals: MemoryTotals, delta: Delta) -> None:
    for block in delta.blocks:
        _write_block(totals, block)
    for loose in delta.loose:
        _write_loose(totals, loose)
    for dedup_partition, before in delta.expired_blocks.items():
        _forget_blocks(totals, dedup_partition, before)
        _forget_loose(totals, dedup_partition, before)


def _write_block(totals: MemoryTotals, block: BlockWrite) -> None:
    if not block.ids:
        return
    old_ids = b"" if block.replace else totals.blocks.get(block.name, b"")[16:]
    totals.blocks[block.name] = block.token + block.last_write_ms.to_bytes(8, "big") + old_ids + block.ids


def _write_loose(totals: MemoryTotals, write: LooseWrite) -> None:
    for loose_id, written_ms in zip(write.ids, write.written_ms, strict=True):
        if written_ms >= 0:
            totals.loose.setdefault(write.name, {})[loose_id] = written_ms


def _forget_loose(totals: MemoryTotals, dedup_partition: str, before: int) -> None:
    for name in [name for name in totals.loose if redis_keys.read_dedup_partition(name) == dedup_partition]:
        ids = totals.loose[name]
        for expired_id in [loose_id for loose_id, written_ms in ids.items() if written_ms <= before]:
            del ids[expired_id]


def _forget_blocks(totals: MemoryTotals, dedup_partition: str, before: int) -> None:
    expired_names = [name for name, block in totals.blocks.items() if int.from_bytes(block[8:16], "big") <= before]
    for name in expired_names:
        if redis_keys.read_dedup_partition(name) == dedup_partition:
            del totals.blocks[name]


def find_differing_orders(totals: MemoryTotals, delta: Delta) -> dict[tuple[str, bytes], int]:
    """The orders that are stored with other times than the batch took for true, and the times that are stored."""
    return {
        (write.project, order_id): stored_ms
        for write in delta.orders
        for order_id, expected_ms in zip(write.ids, write.expected_ms, strict=True)
        if (stored_ms := totals.orders.get(write.project, {}).get(order_id, -1)) != expected_ms
    }


def write_orders(totals: MemoryTotals, delta: Delta) -> None:
    """Before the ledger moves: what may go is judged by the rows that are there."""
    before = _find_order_limit_ms(totals) if delta.orders else -1
    for write in delta.orders:
        orders = totals.orders.setdefault(write.project, {})
        for order_id, at in zip(write.ids, write.written_ms, strict=True):
            if at >= 0:
                orders[order_id] = at
        for order_id in [order_id for order_id, at in orders.items() if at <= before]:
            del orders[order_id]


def _find_order_limit_ms(totals: MemoryTotals) -> int:
    """Orders counted up to then decide nothing any more, in whichever partition is furthest behind."""
    times = [read_row(row).stream_time_ms for row in totals.ledger.values()]
    return max(min(times), max(times) - ORDERS_LAG_MS) - ORDERS_KEPT_MS if times else -1
