"""What things take in the real server, beside what docs/reference/memory.md says; its example, recomputed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rtaplatform.bench.memory.memory_items import COMBINATIONS, MemoryItem, list_items
from rtaplatform.core.rollups import ORIGINS, SESSION_LENGTHS, SESSION_PAGES, Rollup, make_field
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import Applied, CellsKey, Delta
from tests.contract.shard import Shard

PAGE = (Path(__file__).parents[2] / "docs/reference/memory.md").read_text()
STATED = {
    (name, int(in_one)): int(size)
    for name, in_one, size in re.findall(r"^\| ([a-z ]+) \| (\d+) \| (\d+) \|$", PAGE, re.M)
}
EXAMPLE = {name: int(size) for name, size in re.findall(r"^\| ([a-z, ]+) \| ([\d]+) \|$", PAGE, re.M)}
ITEMS = {(item.name, item.in_one): item for item in list_items("demo", persons=20_000)}
ROUNDED_UP_BY = 1.5  # at most: a stated number is no less than the measured one, and not much more
PERSON_BYTES_MAX = 450
NAMES = ("activity", "events", "products", "sales", "pages", "acquisition", "sessions")
# Rollups whose fields take no more than those of another: which one, and the values of a combination's number.
ALIKE: dict[str, tuple[Rollup, str, Callable[[int], tuple[str, ...]]]] = {
    "lengths of sessions": (SESSION_LENGTHS, "sessions", lambda n: (str(n % 150), "web", f"C{n // 150}", "phone")),
    "origins": (ORIGINS, "acquisition", COMBINATIONS["acquisition"]),
    "first and last pages": (SESSION_PAGES, "pages", COMBINATIONS["pages"]),
}


def measure(shard: Shard, item: MemoryItem) -> float:
    """Bytes of one thing: of all keys that appear, and by which those that were there have grown."""
    before = read_sizes(shard)
    for delta in item.make_deltas():
        assert shard.store.apply(0, "g1", delta) == Applied()
    return (read_sizes(shard) - before) / item.count


def read_sizes(shard: Shard) -> int:
    keys = list(shard.tester.scan_iter("*", count=1_000))
    with shard.tester.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.memory_usage(key, samples=0)
        return sum(pipe.execute())


@pytest.mark.parametrize("thing", list(STATED), ids=str)
def test_the_page_says_what_a_thing_takes(shard: Shard, thing: tuple[str, int]) -> None:
    measured: float = measure(shard, ITEMS[thing])
    assert measured <= STATED[thing] <= measured * ROUNDED_UP_BY, measured


@pytest.mark.parametrize("thing", ALIKE)
def test_a_field_of_sessions_takes_no_more_than_the_one_it_is_computed_by(shard: Shard, thing: str) -> None:
    rollup, like, find_values = ALIKE[thing]
    measures, hour = rollup.measures, time.time_ns() // 3_600_000_000_000 * 60  # in minutes
    names = [make_field(measures[n % len(measures)], *find_values(n // len(measures))) for n in range(1_000)]
    fields = {name: 2_400_000 if "duration" in name else 599_900 if "revenue" in name else 20 for name in names}
    keys = [CellsKey("demo", rollup.name, BucketKind.HOUR, hour - 60 * n) for n in range(10)]
    item = MemoryItem(thing, 1_000, 10_000, lambda: [Delta([], cells={key: fields}) for key in keys])
    assert 0 < measure(shard, item) <= STATED[f"field of {like}", 1_000]


def test_a_person_with_a_link_and_online_takes_at_most_450_bytes() -> None:
    assert STATED["person", 20_000] <= PERSON_BYTES_MAX


def estimate_sketch(persons: float) -> float:
    return STATED["sketch", 1] + 4.5 * persons if persons < 1_000 else STATED["sketch", 10_000]


@pytest.mark.parametrize("persons", [1, 10, 100, 1_000, 10_000])
def test_a_sketch_takes_no_more_than_the_formula_says(shard: Shard, persons: int) -> None:
    assert measure(shard, ITEMS["sketch", persons]) <= estimate_sketch(persons)


def estimate_by_place(persons: int) -> float:
    return 2 * 3 * estimate_sketch(persons / 3) + 40 * estimate_sketch(persons / 40)


def test_the_example_is_what_the_formulas_give() -> None:
    minutes, hours, days = 48 * 60, 60 * 24, 400
    size = {name: STATED[f"field of {name}", 1_000] for name in NAMES}
    sizes = {
        "persons": 1_000_000 * STATED["visitor", 20_000] + 100_000 * STATED["person", 20_000],
        "dedup windows": 1_000_000 * STATED["dedup id", 100_000] + 1_440 * 16 * 160,
        "orders": 7 * 5_000 * STATED["order id", 100_000],
        "activity": (30 * minutes + 40 * hours + 45 * days) * size["activity"],
        "events": (150 * minutes + 500 * hours + 800 * days) * size["events"],
        "products": (300 * minutes + 2_500 * hours + 4_000 * days) * size["products"],
        "sales": (4_000 * hours + 12_000 * days) * size["sales"],
        "all persons": minutes * estimate_sketch(400) + hours * estimate_sketch(5_000) + days * estimate_sketch(50_000),
        "persons by source, country, device": hours * estimate_by_place(5_000) + days * estimate_by_place(50_000),
        "persons by product": 8 * 24 * 1_500 * estimate_sketch(10) + days * 2_000 * estimate_sketch(80),
        "pages": (1_000 * hours + 1_500 * days) * size["pages"],
        "acquisition, technology, regions": (300 * hours + 700 * days) * size["acquisition"],
        "persons by page": 8 * 24 * 1_000 * estimate_sketch(15) + days * 1_500 * estimate_sketch(100),
        "persons by visit": 8 * 24 * 70 * estimate_sketch(5_000 / 8) + days * 70 * estimate_sketch(50_000 / 8),
        "sessions": (100 * minutes + 400 * hours + 600 * days) * size["sessions"],
        "lengths of sessions": (1_500 * hours + 4_000 * days) * size["sessions"],
        "origins": (400 * hours + 900 * days) * size["acquisition"],
        "first and last pages": (800 * hours + 1_800 * days) * size["pages"],
        "buyers": hours * (estimate_sketch(200) + estimate_by_place(200))
        + days * (estimate_sketch(4_500) + estimate_by_place(4_500))
        + 8 * 24 * 300 * estimate_sketch(1)
        + days * 1_000 * estimate_sketch(8),
    }
    sizes["together"] = sum(sizes.values())
    assert {name: round(size / 10**6) for name, size in sizes.items()} == EXAMPLE
