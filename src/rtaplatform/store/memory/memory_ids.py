"""Dedup blocks and loose ids in memory: written by batches, deleted by stream time.   Stage 4 of 6."""

from __future__ import annotations

from rtaplatform.store import redis_keys
from rtaplatform.store.memory.memory_totals import MemoryTotals
from rtaplatform.store.port import (
    BlockWrite,
    Delta,
    LooseWrite,
)


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
    for name in [name for name in totals.loose if redis_keys.dedup_partition_of(name) == dedup_partition]:
        ids = totals.loose[name]
        for expired_id in [loose_id for loose_id, written_ms in ids.items() if written_ms <= before]:
            del ids[expired_id]


def _forget_blocks(totals: MemoryTotals, dedup_partition: str, before: int) -> None:
    expired = [name for name, stored in totals.blocks.items() if int.from_bytes(stored[8:16], "big") <= before]
    for name in expired:
        if redis_keys.dedup_partition_of(name) == dedup_partition:
            del totals.blocks[name]
