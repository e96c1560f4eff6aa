"""A batch on its way: what is open, what was sent, and who waits for it.   Stage 3 of 6: stream → [process] → store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from rtaplatform.process.counting import Folding
from rtaplatform.store.port import Delta, Outcome
from rtaplatform.stream.port import Partition, Record


class Part(Struct):
    """What an open batch is to one shard: the last record read of each partition, and the record time at it.

    `folded`: the partitions that had anything for the shard, and the record time up to which it is folded.
    """

    folding: Folding
    read: dict[Partition, tuple[Record, int]]
    folded: dict[Partition, int]


class Sent(Struct):
    """A part whose call is under way; `outcome` waits for it, and raises what it raises."""

    shard: int
    part: Part
    delta: Delta
    outcome: Callable[[], Outcome]


# Begins a call, and gives what waits for its end.
Begin = Callable[[Callable[[], Outcome]], Callable[[], Outcome]]


def in_a_thread() -> Begin:
    """One call after the other, beside the caller."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="apply")
    return lambda call: pool.submit(call).result
