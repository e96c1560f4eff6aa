"""The contract of the caps, on every adapter: who has a seat in a bucket, and what stands for those who have none."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from rtaplatform.core.caps import CAPS, NAMES, Caps
from rtaplatform.core.rollups import OTHER, PERSONS, make_field
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import Applied, CellsKey, ReadFields, ReadPersonCounts, ReadPersonValues, SketchKey
from tests.contract.conftest import Parts
from tests.contract.test_store import MINUTE, advance

FEW = Caps(
    products=20,
    products_of_minute=8,
    combinations=12,
    property_values=5,
    product_sketch_bytes=4_000,
    place_sketch_bytes=2_000,
)
HOUR = MINUTE // 60 * 60
Bucket = dict[str, int]


@pytest.fixture
def caps() -> Caps:
    return FEW


async def read_bucket(parts: Parts, rollup: str, kind: BucketKind = BucketKind.MINUTE, start: int = MINUTE) -> Bucket:
    answer: Any = (await parts.reader.read("demo", [ReadFields(rollup, kind, (start,), None)])).answers[0]
    content: Bucket = answer[0]
    return content


class Writer:
    """Applies one batch after the other."""

    def __init__(self, parts: Parts) -> None:
        self.parts, self.at = parts, 0

    def write(self, key: CellsKey, fields: Bucket) -> None:
        self.apply(cells={key: fields})

    def apply(self, **changes: Any) -> None:
        self.at += 1
        delta = advance(self.at - 1, self.at, **changes)
        assert self.parts.store.apply(0, "g1", delta) == Applied()


def select_values(content: Bucket, measure: str) -> dict[tuple[str, ...], int]:
    split = {name: name.split("\x1f") for name in content}
    return {tuple(parts[1:]): content[name] for name, parts in split.items() if parts[0] == measure and parts[1:]}


@pytest.mark.parametrize(("kind", "seats"), [(BucketKind.MINUTE, 8), (BucketKind.HOUR, 20), (BucketKind.DAY, 20)])
async def test_a_product_is_in_with_all_its_measures_or_with_none(parts: Parts, kind: BucketKind, seats: int) -> None:
    """Whatever comes first of it, in whatever portions."""
    chance, key, writer, true = (
        random.Random(7),
        CellsKey("demo", "products", kind, HOUR),
        Writer(parts),
        Counter[str](),
    )
    for _ in range(60):
        fields = Counter[str]()
        for _ in range(chance.choice([1, 2, 40])):
            measure, product = chance.choice(["views", "adds", "orders", "units"]), f"p{chance.randint(0, 40)}"
            n = chance.choice([1, 5, 2**53 + 1])
            fields[measure] += n
            fields[make_field(measure, product)] += n
        writer.write(key, dict(fields))
        true += fields
    content = await read_bucket(parts, "products", kind, HOUR)
    products = {
        value for measure in ("views", "adds", "orders", "units") for (value,) in select_values(content, measure)
    } - {OTHER}
    assert len(products) == seats == content["#open"]
    for measure in ("views", "adds", "orders", "units"):
        counts = select_values(content, measure)
        for product in products:
            assert counts.get((product,), 0) == true[make_field(measure, product)]
        assert sum(counts.values()) == content[measure] == true[measure]


async def test_a_product_that_is_in_takes_further_measures_of_a_full_bucket(parts: Parts) -> None:
    key, writer = CellsKey("demo", "products", BucketKind.MINUTE, MINUTE), Writer(parts)
    writer.write(key, {"adds": 1, make_field("adds", "first"): 1})
    writer.write(key, {"views": 30} | {make_field("views", f"p{n}"): 1 for n in range(30)})
    writer.write(key, {"orders": 1, make_field("orders", "first"): 1, "views": 1, make_field("views", "first"): 1})
    writer.write(key, {"orders": 1, make_field("orders", "p29"): 1})
    content = await read_bucket(parts, "products")
    assert [content[make_field(measure, "first")] for measure in ("adds", "orders", "views")] == [1, 1, 1]
    assert content[make_field("views", OTHER)] == 30 - (FEW.products_of_minute - 1)
    assert content[make_field("orders", OTHER)] == 1
    assert make_field("orders", "p29") not in content


async def test_a_flood_of_names_hides_neither_commerce_nor_calls_and_nothing_by_source(parts: Parts) -> None:
    writer = Writer(parts)
    flood = {make_field("count", f"flood {n}", ("web", "ios")[n % 2]): 1 for n in range(100)}
    names = {make_field("count", name, source): 3 for name in NAMES for source in ("web", "ios", "android", "server")}
    key = CellsKey("demo", "activity", BucketKind.MINUTE, MINUTE)
    writer.write(key, {"count": 100, **flood})
    writer.write(key, {"count": sum(names.values()), **names})
    writer.write(key, {"revenue": 5, make_field("revenue", "Order Completed", "web"): 5})
    content = await read_bucket(parts, "activity")
    assert {name: content[name] for name in names} == names
    assert content[make_field("revenue", "Order Completed", "web")] == 5
    assert content["count"] == 100 + sum(names.values())
    by_source = Counter[str]()
    for (_, source), n in select_values(content, "count").items():
        by_source[source] += n
    assert by_source["web"] == 50 + 3 * len(NAMES)
    assert (
        content[make_field("count", OTHER, "web")] + content[make_field("count", OTHER, "ios")]
        == 100 - FEW.combinations
    )


async def test_commerce_has_seats_of_its_own_and_keeps_its_name_beyond_them(parts: Parts) -> None:
    writer, key = Writer(parts), CellsKey("demo", "events", BucketKind.HOUR, HOUR)
    flood = {make_field("count", f"flood {n}", "web", "DE", "phone"): 1 for n in range(100)}
    orders = {make_field("count", "Order Completed", "ios", f"country {n}", ""): 1 for n in range(30)}
    writer.write(key, {"count": 100, **flood})
    writer.write(key, {"count": 30, "units": 30, **orders, **{name.replace("count", "units", 1): 1 for name in orders}})
    content = await read_bucket(parts, "events", BucketKind.HOUR, HOUR)
    assert content[make_field("count", OTHER, "web", OTHER, OTHER)] == 100 - FEW.combinations
    for measure in ("count", "units"):
        counts = {value: n for value, n in select_values(content, measure).items() if value[0] == "Order Completed"}
        assert counts["Order Completed", "ios", OTHER, OTHER] == 30 - FEW.combinations
        assert sum(counts.values()) == 30


async def test_bots_have_seats_of_their_own(parts: Parts) -> None:
    writer, key = Writer(parts), CellsKey("demo", "products", BucketKind.MINUTE, MINUTE)
    writer.write(key, {"~views": 50} | {make_field("~views", f"crawled {n}"): 1 for n in range(50)})
    writer.write(key, {"views": 5} | {make_field("views", f"p{n}"): 1 for n in range(5)})
    content = await read_bucket(parts, "products")
    assert select_values(content, "views") == {(f"p{n}",): 1 for n in range(5)}
    assert content[make_field("~views", OTHER)] == 50 - FEW.products_of_minute


async def test_what_names_no_product_always_has_a_seat(parts: Parts) -> None:
    writer, key = Writer(parts), CellsKey("demo", "products", BucketKind.MINUTE, MINUTE)
    writer.write(key, {"views": 50} | {make_field("views", f"p{n}"): 1 for n in range(50)})
    writer.write(key, {"views": 4, make_field("views", ""): 4, "adds": 2, make_field("adds", ""): 2})
    content = await read_bucket(parts, "products")
    assert (content[make_field("views", "")], content[make_field("adds", "")]) == (4, 2)


async def test_a_declared_property_has_seats_for_values_and_always_one_for_none(parts: Parts) -> None:
    writer, key = Writer(parts), CellsKey("demo", "property.coupon", BucketKind.HOUR, HOUR)
    writer.write(key, {"count": 50} | {make_field("count", f"c{n}"): 1 for n in range(50)})
    writer.write(key, {"count": 4, make_field("count", ""): 3, make_field("count", "c0"): 1})
    counts = select_values(await read_bucket(parts, key.rollup, BucketKind.HOUR, HOUR), "count")
    assert (counts[("",)], counts[(OTHER,)], len(counts)) == (3, 50 - FEW.property_values, FEW.property_values + 2)


async def test_values_by_event_keep_the_name_of_a_commerce_event_beyond_the_seats(parts: Parts) -> None:
    writer, key = Writer(parts), CellsKey("demo", "property.coupon+event", BucketKind.DAY, HOUR)
    writer.write(key, {"count": 30} | {make_field("count", f"c{n}", "Order Completed"): 1 for n in range(30)})
    writer.write(key, {"count": 30} | {make_field("count", f"d{n}", "Signed Up"): 1 for n in range(30)})
    writer.write(key, {"count": 30} | {make_field("count", "", f"flood {n}"): 1 for n in range(30)})
    counts = select_values(await read_bucket(parts, key.rollup, BucketKind.DAY, HOUR), "count")
    assert counts[OTHER, "Order Completed"] == 30 - FEW.combinations
    assert (counts[OTHER, OTHER], counts["", OTHER]) == (30, 30 - FEW.combinations)


async def test_an_overflow_says_so_in_its_field_and_in_no_other(parts: Parts) -> None:
    writer = Writer(parts)
    key, other = (
        CellsKey("demo", "products", BucketKind.MINUTE, MINUTE),
        CellsKey("demo", "products", BucketKind.MINUTE, MINUTE - 1),
    )
    for _ in range(2):
        changes = {make_field("revenue", "a"): 2**62, make_field("revenue", "b"): 1, "revenue": 2**62 + 1}
        writer.apply(cells={key: changes, other: {"revenue": 1, make_field("revenue", "b"): 1}})
    content = await read_bucket(parts, "products")
    assert {name for name in content if name.startswith("!")} == {"!", "!revenue", "!" + make_field("revenue", "a")}
    assert not any(name.startswith("!") for name in await read_bucket(parts, "products", start=MINUTE - 1))


# Sketches -----------------------------------------------------------------------------------------------------------


def make_sketches(names: range, persons: int = 1, dimension: str = "product_id") -> dict[SketchKey, set[bytes]]:
    members = {n.to_bytes(8, "big") for n in range(persons)}
    return {SketchKey("demo", BucketKind.HOUR, HOUR, dimension, f"p{n}"): members for n in names}


async def test_sketches_are_let_in_up_to_their_bytes_and_what_is_left_out_is_told(parts: Parts) -> None:
    writer = Writer(parts)
    for n in range(40):
        writer.apply(sketches=make_sketches(range(n, n + 1)))
    record = await read_bucket(parts, PERSONS.name, BucketKind.HOUR, HOUR)
    listed: Any = (
        await parts.reader.read("demo", [ReadPersonValues(((BucketKind.HOUR, HOUR),), "product_id")])
    ).answers[0]
    assert 10 <= len(listed) <= 20
    assert record[make_field("left_out", "product_id")] == 40 - len(listed)
    assert FEW.product_sketch_bytes <= record[make_field("bytes", "product_id")] <= FEW.product_sketch_bytes + 1_000
    writer.apply(sketches=make_sketches(range(1), persons=9))
    counts: Any = (await parts.reader.read("demo", [ReadPersonCounts("product_id", BucketKind.HOUR, (HOUR,))])).answers[
        0
    ]
    sizes = dict(zip(counts[0].fields[::2], counts[0].fields[1::2], strict=True))
    assert sizes[b"p0"] == b"9"


@pytest.mark.parametrize("dimension", ["country", "device", "buyers_country"])
async def test_sketches_of_places_have_a_smaller_limit_of_their_own(parts: Parts, dimension: str) -> None:
    writer = Writer(parts)
    writer.apply(sketches=make_sketches(range(3)))
    for n in range(40):
        writer.apply(sketches=make_sketches(range(n, n + 1), dimension=dimension))
    record = await read_bucket(parts, PERSONS.name, BucketKind.HOUR, HOUR)
    size = record[make_field("bytes", dimension)]
    assert FEW.place_sketch_bytes <= size <= FEW.place_sketch_bytes + 1_000
    assert 20 < record[make_field("left_out", dimension)] < 40
    assert make_field("left_out", "product_id") not in record


async def test_nothing_is_told_of_sketches_where_none_is_left_out(parts: Parts) -> None:
    Writer(parts).apply(sketches=make_sketches(range(3)))
    record = await read_bucket(parts, PERSONS.name, BucketKind.HOUR, HOUR)
    assert make_field("left_out", "product_id") not in record
    assert make_field("broken", "product_id") not in record


def test_the_true_caps_are_those_of_the_design() -> None:
    assert [CAPS.count_seats("products", kind) for kind in BucketKind] == [20_000, 100_000, 100_000]
    assert {CAPS.count_seats(rollup, kind) for rollup in ("activity", "events") for kind in BucketKind} == {10_000}
    assert (
        CAPS.choose_sketch_bytes("product_id") == CAPS.choose_sketch_bytes("buyers_product_id") > 20_000 * (200 + 200)
    )


def test_every_country_has_a_sketch_even_if_each_has_very_many_persons() -> None:
    assert CAPS.choose_sketch_bytes("country") == CAPS.choose_sketch_bytes("buyers_country") > 249 * (12_304 + 200)
