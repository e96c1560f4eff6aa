"""Worlds whose buckets are soon full, a large shop, and bugs that caps of this kind have had, planted one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from msgspec import structs

from rtaplatform.core.caps import BOUNDED, NAMES, Caps, without_seat
from rtaplatform.core.declarations import is_declared
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.rollups import PRODUCTS, SEATS_PREFIX, SEPARATOR, make_field
from rtaplatform.process.worker.worker import Worker
from rtaplatform.simulate.oracle.oracle import ConsumedRecord
from rtaplatform.simulate.oracle.oracle_caps import OracleSeats
from rtaplatform.simulate.oracle.oracle_truth import Truth
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.memory.memory_totals import MemoryTotals as Held
from rtaplatform.store.port import CellsKey, Delta
from rtaplatform.stream.memory import MemoryBroker, MemoryLog
from rtaplatform.stream.port import Partition
from tests.simulation.home import RULES
from tests.simulation.world import START_MS, Home, MemoryHome, World

FEW = Caps(products=6, products_of_minute=3, combinations=4, sales=5, property_values=3, product_sketch_bytes=1_000)
WEB = Partition("rta.events.web", 0)


def make_seats(caps: Caps) -> OracleSeats:
    return OracleSeats(caps.combinations, caps.products, caps.products_of_minute, caps.sales, caps.property_values)


class CappedWorld(World):
    """A shop of 12 products, whose buckets hold fewer; and names of events that flood them."""

    seats = make_seats(FEW)

    def __init__(self, seed: int, *, home: Callable[[int], Home] | None = None, **more: Any) -> None:
        super().__init__(seed, home=home or (lambda shards: MemoryHome(shards, FEW)), **more)

    def arrive(self) -> None:
        super().arrive()
        newest = max(records[-1].timestamp_ms for records in self.broker.records.values())
        for _ in range(self.rng.randint(0, 3)):
            event: dict[str, Any] = {
                "event": f"flood {self.rng.randint(0, 30)}",
                "context": {"device": {"type": str(newest % 7)}},
            }
            self.broker.append(WEB, newest, b"k", record(f"f-{self.rng.random()}", newest, "flooder", **event))


def record(message_id: str, at_ms: int, person: str, *, project: str = "demo", **fields: Any) -> bytes:
    event = {"projectId": project, "type": "track", "messageId": message_id, "anonymousId": person, **fields}
    return json.dumps({**event, "originalTimestamp": at_ms, "timestamp": at_ms, "source": "web"}).encode()


# A large shop --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LargeShop:
    """One day: a view of each product, then many of one that came last; a flood of names; orders after all that.

    `views_in_event`: how many products an event views. With more than one, it is a GA4 event that lists them.
    """

    products: int
    names: int
    views_in_event: int = 1
    begin_ms: int = START_MS // 86_400_000 * 86_400_000  # an hour after midnight in Berlin, in winter

    def draw_records(self, seed: int) -> Iterator[tuple[int, bytes]]:
        """Times and records. The events are some seconds apart, so that they fill minutes, hours and the day."""
        chance, number = Random(seed), 0

        def next_one(**fields: Any) -> tuple[int, bytes]:
            nonlocal number
            number += 1
            at_ms = self.begin_ms + number * 36_000_000 // (self.products // self.views_in_event + self.names + 1_000)
            return at_ms, record(f"m-{number}", at_ms, f"v-{number % 5_000}", **fields)

        for n in range(0, self.products, self.views_in_event):
            yield next_one(**make_view(range(n, min(n + self.views_in_event, self.products))))
            if n % 50 == 0:
                bought = [{"product_id": f"p-{chance.randint(0, n)}", "price": 2.5} for _ in range(2)]
                yield next_one(event="Order Completed", properties={"order_id": f"o-{n}", "products": bought})
        for n in range(self.names):
            yield next_one(event=f"flood {n}")
        for n in range(500):
            yield next_one(event="Product Viewed", properties={"product_id": "hit"})
            if n % 50 == 0:
                late = {"order_id": f"late {n}", "product_id": "hit", "price": 3}
                yield next_one(event="Order Completed", properties=late)
                yield next_one(type="page")


def make_view(products: range) -> dict[str, Any]:
    """An event that views these products."""
    if len(products) == 1:
        return {"event": "Product Viewed", "properties": {"product_id": f"p-{products[0]}"}}
    return {"event": "view_item", "properties": {"items": [{"item_id": f"p-{n}"} for n in products]}}


def count_large_shop(shop: LargeShop, home: Home, seed: int = 1) -> Truth:
    """Fill the log, count it by a worker, and return what the oracle says of it."""
    broker = MemoryBroker({"rta.events.web": 1})
    for at_ms, value in shop.draw_records(seed):
        broker.append(WEB, at_ms, b"k", value)
    home.store.begin(
        0, expected="", generation="g1", topics=dict(broker.ids), starts={PartitionId(broker.ids[WEB.topic], 0): 0}
    )
    home.set_projects("v1")
    log = MemoryLog(broker, 20_000)
    log.assign([WEB])
    worker = Worker(log, log, home.store, shards=1, sleep=lambda _: None, clock=lambda: 0.0)
    while not (worker.is_settled and worker.positions.find_next_read_offset(WEB) == len(broker.records[WEB])):
        worker.turn()
        assert not worker.positions.stops
    return recount_log(broker)


def recount_log(broker: MemoryBroker) -> Truth:
    from rtaplatform.simulate.oracle.oracle import recount

    consumed_records = (ConsumedRecord(*WEB, r.offset, r.timestamp_ms, r.key, r.value) for r in broker.records[WEB])
    return recount(consumed_records, projects=RULES)


# Planted bugs --------------------------------------------------------------------------------------------------------


class Capped(MemoryStore):
    """A store with few seats, of which a plant changes what a batch is before it is written, or after."""

    def __init__(self, shards: int = 1, caps: Caps = FEW) -> None:
        super().__init__(shards, caps)

    def _write(self, totals: Held, delta: Delta) -> None:
        cells = {key: self.spoil(totals.cells.get(key, {}), key, fields) for key, fields in delta.cells.items()}
        super()._write(totals, structs.replace(delta, cells=cells))
        for key in cells:
            self.tamper(totals.cells[key], key)

    def spoil(self, bucket: dict[str, int], key: CellsKey, fields: dict[str, int]) -> dict[str, int]:
        return fields

    def tamper(self, bucket: dict[str, int], key: CellsKey) -> None:
        pass


def rename_fields(
    key: CellsKey, fields: dict[str, int], is_turned_away: Callable[[str, tuple[str, ...]], bool]
) -> dict[str, int]:
    """With what stands for the values that are turned away."""
    renamed_fields: dict[str, int] = {}
    for name, n in fields.items():
        measure, *values = name.split(SEPARATOR)
        if values and key.rollup in BOUNDED and is_turned_away(name, tuple(values)):
            name = make_field(measure, *without_seat(key.rollup, tuple(values)))
        renamed_fields[name] = renamed_fields.get(name, 0) + n
    return renamed_fields


class CapCountsFields(Capped):
    """A product takes a seat for each of its measures, and may be in with one and out with another."""

    def spoil(self, bucket: dict[str, int], key: CellsKey, fields: dict[str, int]) -> dict[str, int]:
        seat_count = sum(SEPARATOR in name for name in bucket)
        is_full = seat_count >= self.caps.count_seats(key.rollup, key.kind)
        return rename_fields(
            key, fields, lambda name, _: is_full and key.rollup == PRODUCTS.name and name not in bucket
        )


class FloodHidesCommerce(Capped):
    """The names of commerce events are like any other."""

    def spoil(self, bucket: dict[str, int], key: CellsKey, fields: dict[str, int]) -> dict[str, int]:
        is_full = bucket.get(f"{SEATS_PREFIX}open", 0) >= self.caps.combinations
        if not is_full or key.rollup != "activity":
            return fields
        spoilt_fields: dict[str, int] = {}
        for name, n in fields.items():
            measure, *values = name.split(SEPARATOR)
            if values and values[0] in NAMES and name not in bucket:
                name = make_field(measure, "\x1e", *values[1:])
            spoilt_fields[name] = spoilt_fields.get(name, 0) + n
        return spoilt_fields


class SeatsComeFree(Capped):
    """The count of the seats is lost now and then, so a value that was turned away is let in later."""

    def tamper(self, bucket: dict[str, int], key: CellsKey) -> None:
        for name in [name for name in bucket if name.startswith(SEATS_PREFIX)]:
            bucket[name] = 0


class TotalOfTheSeatedOnly(Capped):
    """What has no seat is missing in the bucket's total."""

    def tamper(self, bucket: dict[str, int], key: CellsKey) -> None:
        if key.rollup == PRODUCTS.name and make_field("views", "\x1e") in bucket:
            bucket["views"] = sum(n for name, n in bucket.items() if name.startswith(make_field("views", "p")))


class LeftOutInSilence(Capped):
    """Persons of a product that finds no sketch are nowhere, and nothing says so."""

    def _write(self, totals: Held, delta: Delta) -> None:
        super()._write(totals, delta)
        for key, bucket in totals.cells.items():
            if key.rollup == "persons":
                bucket.pop(make_field("left_out", "product_id"), None)


class NoneOfAPropertyIsNowhere(Capped):
    """Events without a declared property are not counted by it, so its rows no longer sum to all events."""

    def spoil(self, bucket: dict[str, int], key: CellsKey, fields: dict[str, int]) -> dict[str, int]:
        return {
            name: n for name, n in fields.items() if not (is_declared(key.rollup) and name == make_field("count", ""))
        }


class PropertyHasSeatsOfCombinations(Capped):
    """The values of a property take as many seats as combinations do."""

    def __init__(self, shards: int = 1, caps: Caps = FEW) -> None:
        super().__init__(shards, structs.replace(caps, property_values=caps.combinations))


PLANTS: tuple[type[Capped], ...] = (
    CapCountsFields, FloodHidesCommerce, SeatsComeFree, TotalOfTheSeatedOnly, LeftOutInSilence,
    NoneOfAPropertyIsNowhere, PropertyHasSeatsOfCombinations,
)  # fmt: skip


class PlantedHome(MemoryHome):
    def __init__(self, store: MemoryStore) -> None:
        self.store = self.generations = store


def make_planted_world(plant: type[Any], seed: int) -> World:
    return CappedWorld(seed, home=lambda shards: PlantedHome(plant(shards)))
