"""Write product views with the workers' `apply`: a full history first, then a steady stream of new views."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

from msgspec.structs import replace

from rtaplatform.bench.stack import PROJECT, ZONE, BenchStack, run_in_background
from rtaplatform.core.caps import CAPS
from rtaplatform.core.ledger import LedgerRow, PartitionId, read_row
from rtaplatform.core.rollups import PRODUCTS, make_field
from rtaplatform.core.time.buckets import BucketKind, find_bucket_starts
from rtaplatform.store.port import Advance, Applied, CellsKey, Delta
from rtaplatform.store.redis.redis_store import RedisStore

BATCHES_A_SECOND = 20
AT_ONCE = 20_000  # products in one call
HOURS, MINUTES_AT_EDGE = 26, 70


class ViewsLedger:
    """Applies deltas like a worker. Each delta moves the ledger of one partition."""

    def __init__(self, store: RedisStore) -> None:
        state = store.read_state(0)
        assert state is not None, "the shard has not begun"
        self._store, self._generation = store, state.generation
        self._place = PartitionId(state.topics["rta.events.web"], 0)
        self._after = state.ledger.get(self._place, "")

    def apply(self, cells: dict[CellsKey, dict[str, int]]) -> None:
        now_ms = int(time.time() * 1000)
        row = read_row(self._after) if self._after else LedgerRow(0, -1, -1, "", -1, 0)
        next_row = replace(
            row, next_offset=row.next_offset + 1, last_offset=row.next_offset, last_timestamp_ms=now_ms,
            stream_time_ms=now_ms,
        ).to_text()  # fmt: skip
        delta = Delta([Advance(self._place, self._after, next_row)], cells=cells)
        outcome = self._store.apply(0, self._generation, delta)
        assert isinstance(outcome, Applied), outcome
        self._after = next_row


def fill(stack: BenchStack, products: int, seed: int) -> int:
    """Fill the hours of a day and the minutes at its edges up to the cap. Return the number of buckets."""
    ledger, chance = ViewsLedger(stack.store()), random.Random(seed)
    now = int(time.time()) // 60
    hours = sorted({find_bucket_starts(now - 60 * n, ZONE).hour for n in range(HOURS)})
    edges = [now - n for n in range(1, MINUTES_AT_EDGE)] + [now - 24 * 60 + n for n in range(-70, MINUTES_AT_EDGE)]
    buckets = [*((BucketKind.HOUR, hour) for hour in hours), *((BucketKind.MINUTE, minute) for minute in edges)]
    for kind, start in buckets:
        views = [f"p-{n}" for n in chance.sample(range(products), min(products, CAPS.count_seats(PRODUCTS.name, kind)))]
        key = CellsKey(PROJECT, PRODUCTS.name, kind, start)
        for first in range(0, len(views), AT_ONCE):
            ledger.apply({key: _make_cells(views[first : first + AT_ONCE], chance.randint(1, 40))})
    return len(buckets)


def write_views(stack: BenchStack, products: int, *, views_per_second: int, seed: int) -> AbstractContextManager[None]:
    """Write new views in a separate process until the block ends."""
    return run_in_background(_write, stack, products, views_per_second, seed)


def _write(stack: BenchStack, products: int, views_per_second: int, seed: int) -> None:
    ledger, chance = ViewsLedger(stack.store()), random.Random(seed)
    due = time.monotonic()
    while True:
        views = [_draw_product(products, chance) for _ in range(views_per_second // BATCHES_A_SECOND)]
        starts = find_bucket_starts(int(time.time()) // 60, ZONE)
        cells = _make_cells(views, 1)
        keys = zip(BucketKind, starts, strict=True)
        ledger.apply({CellsKey(PROJECT, PRODUCTS.name, kind, start): dict(cells) for kind, start in keys})
        due += 1 / BATCHES_A_SECOND
        time.sleep(max(0.0, due - time.monotonic()))


def _make_cells(views: Sequence[str], views_per_product: int) -> dict[str, int]:
    cells: dict[str, int] = {"views": len(views) * views_per_product}
    for product in views:
        name = make_field("views", product)
        cells[name] = cells.get(name, 0) + views_per_product
    return cells


def _draw_product(products: int, chance: random.Random) -> str:
    """Choose a product. A few products are popular, most are not."""
    return f"p-{int(products * chance.random() ** 2)}"
