"""The job of the comparison. Only `counts.py` uses it, in place of the platform's own job.

It computes for each minute of event time: the count by event, the count by event and product, the distinct users, and
the revenue of orders.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import xxhash
from msgspec import Struct

from rtaplatform.core.ledger import DEDUP_PARTITIONS
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import SEPARATOR
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind
from rtaplatform.core.time.timestamps import read_time_ms
from rtaplatform.core.values.murmur2 import find_buckets
from rtaplatform.process.fold.dedup import RepeatFilter, plan_block_lookup
from rtaplatform.process.fold.loose_ids import LooseKey
from rtaplatform.process.fold.person_state import PersonKey, PersonStates
from rtaplatform.store.port import CellsKey, Delta, SketchKey
from rtaplatform.stream.port import DeadLetter, RecordColumns

PROJECT = ProjectSettings("bench", "UTC", "EUR")
ORDERED = "Order Completed"
# The job's rollups. None has the name of one of the platform's, whose buckets hold other fields and have caps.
EVENT_COUNTS, PRODUCT_COUNTS, ORDER_CENTS = "event_counts", "product_counts", "order_cents"


class BenchProperties(Struct, gc=False):
    product_id: str
    price: float
    quantity: int


class BenchEvent(Struct, gc=False):
    event: str
    userId: str  # noqa: N815  # Segment's name
    timestamp: str
    properties: BenchProperties


class IdentifiedEvent(Struct, gc=False):
    event: str
    messageId: str  # noqa: N815
    userId: str  # noqa: N815
    timestamp: str
    properties: BenchProperties


@dataclass(frozen=True)
class CountsRun:
    columns: RecordColumns
    items: Sequence[Any]
    stream_time_ms: int

    def __len__(self) -> int:
        return len(self.items)

    def skip_to(self, offset: int) -> CountsRun:
        first = bisect_left(self.columns.offsets, offset)
        return decode_events(self.columns.cut(first, len(self)), self.items[first:]) if first else self

    def select_items(self, _shard: int, _shards: int) -> Sequence[Any]:
        return self.items

    def list_unknown_projects(self) -> Sequence[str]:
        return ()


def decode_events(run: RecordColumns, items: Sequence[Any], stream_time_ms: int = 0) -> CountsRun:
    return CountsRun(run, items, max(stream_time_ms, max(run.timestamps_ms), 0))


class Counts:
    """The job without deduplication."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(BenchEvent).decode

    def decode(
        self, run: RecordColumns, stream_time_ms: int, _projects: Mapping[str, ProjectSettings], _shards: int
    ) -> CountsRun:
        return decode_events(run, list(map(self._decode, run.values)), stream_time_ms)  # type: ignore[arg-type]  # none is empty

    def list_block_names(self, _read: Sequence[Any]) -> Iterable[str]:
        return ()

    def list_loose_ids(self, _read: Sequence[Any]) -> Iterable[LooseKey]:
        return ()

    def list_persons(self, _read: Sequence[Any]) -> Iterable[PersonKey]:
        return ()

    def list_named_persons(self, _key: PersonKey, _value: bytes) -> Iterable[PersonKey]:
        return ()

    def fold(
        self,
        _projects: Mapping[str, ProjectSettings],
        repeats: RepeatFilter,
        _persons: PersonStates,
        _server_s: int = 0,
    ) -> CountsFold:
        return CountsFold(repeats)


Minute = tuple[dict[str, dict[str, int]], list[str]]  # counts by event and product; each event's user


class CountsFold:
    """Collects the increments of one batch."""

    def __init__(self, repeats: RepeatFilter) -> None:
        self._repeats = repeats
        self._minutes: dict[str, Minute] = {}
        self._revenue: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self.dead_letters: list[DeadLetter] = []

    def add(self, place: str, read: Sequence[BenchEvent]) -> None:
        minutes = self._minutes
        for bench_event in read:
            minute, event, product = bench_event.timestamp[:16], bench_event.event, bench_event.properties.product_id
            counts = minutes.get(minute)
            if counts is None:
                counts = minutes[minute] = ({}, [])
            events, users = counts
            products = events.get(event)
            if products is None:
                products = events[event] = {}
            products[product] = products.get(product, 0) + 1
            users.append(bench_event.userId)
            if event == ORDERED:
                cents = round(bench_event.properties.price * 100) * bench_event.properties.quantity
                self._revenue[minute] = self._revenue.get(minute, 0) + cents
        self._counts[f"{place}|consumed"] = self._counts.get(f"{place}|consumed", 0) + len(read)

    def take_back(self) -> None:
        """Do nothing: this job has no persons and no orders."""

    def make_delta(self) -> Delta:
        cells: dict[CellsKey, dict[str, int]] = {}
        users: dict[SketchKey, list[bytes]] = {}
        for minute, (events, persons) in self._minutes.items():
            start = _read_minute(minute)
            cells[_make_cells_key(PRODUCT_COUNTS, start)] = {
                f"{event}{SEPARATOR}{product}": n
                for event, products in events.items()
                for product, n in products.items()
            }
            cells[_make_cells_key(EVENT_COUNTS, start)] = {
                event: sum(products.values()) for event, products in events.items()
            }
            users[SketchKey(PROJECT.slug, BucketKind.MINUTE, start, "", "")] = list(
                map(xxhash.xxh3_64_digest, map(str.encode, persons))
            )
        for minute, cents in self._revenue.items():
            cells[_make_cells_key(ORDER_CENTS, _read_minute(minute))] = {"cents": cents}
        return Delta([], cells=cells, sketches=users, blocks=self._repeats.make_writes(), counts=self._counts)


class CountsOnce(Counts):
    """The job with deduplication: it counts each messageId once."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(IdentifiedEvent).decode  # type: ignore[assignment]  # more fields

    def decode(
        self, run: RecordColumns, stream_time_ms: int, projects: Mapping[str, ProjectSettings], shards: int
    ) -> CountsRun:
        decoded_run = super().decode(run, stream_time_ms, projects, shards)
        topic, at = run.partition.topic, decoded_run.stream_time_ms
        items = [
            (
                event,
                plan_block_lookup("bench", topic, dedup_partition, (read_time_ms(event.timestamp) or 0) // MINUTE_MS),
                xxhash.xxh3_64_intdigest(event.messageId.encode()),
                at,
            )
            for dedup_partition, event in zip(find_buckets(run.keys, DEDUP_PARTITIONS), decoded_run.items, strict=True)
        ]
        return CountsRun(run, items, at)

    def list_block_names(self, read: Sequence[Any]) -> Iterable[str]:
        return (lookup.block for _, lookup, _, _ in read)

    def fold(
        self,
        _projects: Mapping[str, ProjectSettings],
        repeats: RepeatFilter,
        _persons: PersonStates,
        _server_s: int = 0,
    ) -> CountsFold:
        return CountsFoldOnce(repeats)


class CountsFoldOnce(CountsFold):
    def add(self, place: str, read: Sequence[Any]) -> None:
        is_repeat = self._repeats.is_repeat
        super().add(place, [event for event, lookup, identity, at in read if not is_repeat(lookup, identity, at)])


def _make_cells_key(rollup: str, start: int) -> CellsKey:
    return CellsKey(PROJECT.slug, rollup, BucketKind.MINUTE, start)


def _read_minute(text: str) -> int:
    at = read_time_ms(text + ":00.000Z")
    assert at is not None, text
    return at // MINUTE_MS
