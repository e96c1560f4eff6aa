"""Counters and sketches in memory: how a batch adds to them, and which values get a seat.   Stage 4 of 6."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rtaplatform.core.caps import Caps, find_anchor, find_seat_kind, list_bounded_values, without_seat
from rtaplatform.core.rollups import BOT_PREFIX, PERSONS, PRODUCTS, SEATS_PREFIX, SEPARATOR, SHORT_PREFIX, make_field
from rtaplatform.store.memory.memory_totals import MemoryTotals, flatten
from rtaplatform.store.port import CellsKey, SketchKey

OVERFLOW = 2**63
LOGGED_FROM = 4  # fields; in Redis it is 256, which no simulated bucket reaches
LOG_MAX = 5
SKETCH_KEY_BYTES = 200
SKETCH_BYTES = 12_304  # of a dense HyperLogLog; a sparse one takes about three bytes a person
SPARSE_BYTES, PERSON_BYTES = 18, 3


def increment_cells(totals: MemoryTotals, key: CellsKey, fields: Mapping[str, int], caps: Caps) -> None:
    bucket = totals.cells.setdefault(key, {})
    is_logged = key.rollup == PRODUCTS.name and len(bucket) >= LOGGED_FROM
    before = dict(bucket) if is_logged else {}
    for name, n in fields.items():
        seat = name if name in bucket or not list_bounded_values(key.rollup) else _find_seat(bucket, key, name, caps)
        total = bucket.get(seat, 0) + n
        if -OVERFLOW <= total < OVERFLOW:
            bucket[seat] = total
        else:
            bucket[SHORT_PREFIX] = bucket[SHORT_PREFIX + seat] = 1
    if is_logged:
        changes = {name: n for name, n in bucket.items() if before.get(name) != n}
        log = totals.logs.setdefault(key, [])
        log.append((log[-1][0] + 1 if log else 1, flatten(changes)))
        del log[:-LOG_MAX]


def _find_seat(bucket: dict[str, int], key: CellsKey, name: str, caps: Caps) -> str:
    """Return the field that counts for a new field: itself, or that of `(other)`. A total always has its own."""
    measure, *values = name.split(SEPARATOR)
    instead = without_seat(key.rollup, tuple(values))
    bots = BOT_PREFIX if measure.startswith(BOT_PREFIX) else ""
    anchor = make_field(bots + find_anchor(key.rollup), *values)
    if not values or instead == tuple(values) or anchor in bucket:
        return name
    seats = f"{SEATS_PREFIX}{bots}{find_seat_kind(key.rollup, tuple(values))}"
    if bucket.get(seats, 0) >= caps.count_seats(key.rollup, key.kind):
        return make_field(measure, *instead)
    bucket[seats] = bucket.get(seats, 0) + 1
    bucket[anchor] = 0
    return name


def add_members(totals: MemoryTotals, key: SketchKey, members: Iterable[bytes], caps: Caps) -> None:
    if not key.dimension:
        totals.sketches.setdefault(key, set()).update(members)
        return
    record = totals.cells.setdefault(CellsKey(key.project, PERSONS.name, key.kind, key.start), {})
    size_field, left_out_field = make_field("bytes", key.dimension), make_field("left_out", key.dimension)
    before = totals.sketches.get(key)
    if before is None and record.get(size_field, 0) >= caps.choose_sketch_bytes(key.dimension):
        record[left_out_field] = record.get(left_out_field, 0) + 1
        return
    after = (before or set()) | set(members)
    totals.sketches[key] = after
    record[size_field] = record.get(size_field, 0) + _measure_sketch(after) - _measure_sketch(before)


def _measure_sketch(members: set[bytes] | None) -> int:
    if members is None:
        return 0
    return SKETCH_KEY_BYTES + min(SKETCH_BYTES, SPARSE_BYTES + PERSON_BYTES * len(members))
