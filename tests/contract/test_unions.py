"""Visitors by category, from registers that are kept: as the store would unite them, by reading little."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from rtaplatform.analytics.answer import engine as engine_module
from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.analytics.cache.window_caches import WindowCaches
from rtaplatform.analytics.freshness.log_ends import LogInstant
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.core.rollups import make_field
from rtaplatform.core.sketches.registers import count, read_registers, unite
from rtaplatform.core.time.buckets import BucketKind, find_bucket_starts
from rtaplatform.store.port import (
    Applied,
    BucketContent,
    CellsKey,
    ChangeNotification,
    Read,
    ReadPersons,
    ReadPersonSketches,
    SketchKey,
    Snapshot,
)
from tests.comparison import SKETCH_ERROR_MAX
from tests.contract.conftest import BERLIN, Parts
from tests.contract.test_store import NOW_MS as REAL_NOW_MS
from tests.contract.test_store import advance
from tests.unit.analytics.catalog import Catalog, Product

# The last noon: near midnight a window of 24 hours is a whole day, and then it is read as one.
NOW_MS = (REAL_NOW_MS - 43_200_000) // 86_400_000 * 86_400_000 + 43_200_000
MINUTE = NOW_MS // 60_000
CATALOG = {
    f"p-{n}": Product(f"Product {n}", ("shoes", "hats", "coats")[n % 3], brand=f"brand {n % 5}") for n in range(30)
}
QUESTIONS: list[dict[str, Any]] = [
    {"from": "-24h", "breakdown": ["product_category"]},
    {"from": "-24h", "interval": "hour", "breakdown": ["product_category"], "limit": 2},
    {"from": "-3d", "interval": "day", "breakdown": ["product_brand"], "compare": "previous_period"},
    {"from": "-24h", "filters": {"product_category": ["hats", "(none)"]}, "breakdown": ["product_brand"]},
    {"from": "-2d", "filters": {"product_brand": ["brand 1"]}},
    {"from": "-2d", "filters": {"product_brand": ["brand 1"]}, "breakdown": ["product_id"]},
]


class Site:
    """Visits of 36 products, six of which the catalog does not know, in the hours and days before now."""

    def __init__(self, parts: Parts) -> None:
        self.parts, self.catalog, self.chance, self.offset = parts, Catalog(CATALOG), random.Random(7), 0
        self.reads: list[Any] = []
        self.engine, self.plain = self._make_engine(None), self._make_engine(WindowCaches(lambda _plan: False))

    def _make_engine(self, windows: WindowCaches | None) -> Engine:
        return Engine(self, FreshnessTracker(), lambda: LogInstant(NOW_MS, 0.0), self.catalog, windows=windows)

    async def read(self, project: str, reads: Sequence[Read]) -> Snapshot:
        self.reads += reads
        return await self.parts.reader.read(project, reads)

    def follow_notifications(self) -> AsyncIterator[ChangeNotification]:
        raise NotImplementedError

    def visit(self, product: int, hours_ago: int, persons: int) -> None:
        """So many of 3,000 persons see it, in that hour and its day."""
        starts = find_bucket_starts(MINUTE - 60 * hours_ago, BERLIN.zone)
        crowd = {self.chance.randrange(3_000).to_bytes(8, "big") for _ in range(persons)}
        delta = advance(self.offset, self.offset + 1)
        for kind, start in ((BucketKind.HOUR, starts.hour), (BucketKind.DAY, starts.day)):
            delta.cells[CellsKey("demo", "products", kind, start)] = {
                "views": 1,
                make_field("views", f"p-{product}"): 1,
            }
        delta.sketches = {
            SketchKey("demo", kind, start, "product_id", f"p-{product}"): crowd
            for kind, start in ((BucketKind.HOUR, starts.hour), (BucketKind.DAY, starts.day))
        }
        assert self.parts.store.apply(0, "g1", delta) == Applied()
        self.offset += 1

    async def compare(self) -> None:
        """Answers of kept registers are those of the store's unions."""
        for question in QUESTIONS:
            query = parse_object({"metric": "visitors", **question})
            (cached_answer,), (plain,) = (
                await self.engine.answer("demo", [query]),
                await self.plain.answer("demo", [query]),
            )
            assert (cached_answer.results, cached_answer.meta.error) == (plain.results, plain.meta.error), question

    async def count_united(self, question: dict[str, Any]) -> tuple[int, int]:
        """How many sketches the store unites for the question, and how many buckets of them it hands out."""
        self.reads.clear()
        await self.engine.answer("demo", [parse_object({"metric": "visitors", **question})])
        counted = [len(read.buckets) * len(read.values) for read in self.reads if isinstance(read, ReadPersons)]
        return sum(counted), sum(len(read.starts) for read in self.reads if isinstance(read, ReadPersonSketches))


@pytest.fixture
def site(parts: Parts) -> Site:
    return Site(parts)


on_the_server = pytest.mark.parametrize("parts", ["redis"], indirect=True)  # the one in memory counts without estimates


@on_the_server
async def test_kept_registers_count_as_the_store_does(site: Site) -> None:
    for product in range(36):
        for hours_ago in range(0, 60, 7):
            site.visit(product, hours_ago, site.chance.choice([1, 3, 40, 1_500]))
    await site.compare()
    site.visit(3, 0, 200)
    site.visit(40, 30, 5)  # late, and new
    await site.compare()
    assert site.catalog.table is not None
    site.catalog.table.put("p-3", Product("Product 3", "hats", brand="brand 9"))
    await site.compare()
    site.catalog.table.put("p-4", Product("another name", "hats", brand="brand 4"))
    await site.compare()


@on_the_server
async def test_once_it_is_known_only_what_has_moved_is_read(site: Site) -> None:
    for hours_ago in range(24):
        for product in range(3):
            site.visit(product, hours_ago, 10)
    assert await site.count_united(QUESTIONS[0]) == (0, 25)
    assert await site.count_united(QUESTIONS[0]) == (0, 0)
    site.visit(1, 2, 10)
    assert await site.count_united(QUESTIONS[0]) == (0, 1)
    assert site.catalog.table is not None
    site.catalog.table.put("p-1", Product("another name", "hats", brand="brand 1"))  # it was a hat before
    assert await site.count_united(QUESTIONS[0]) == (0, 1)  # what had moved is looked at once more
    site.catalog.table.put("p-1", Product("another name", "coats", brand="brand 1"))
    assert (await site.count_united(QUESTIONS[0]))[1] == 25


@on_the_server
async def test_no_read_takes_the_sketches_of_two_buckets(site: Site) -> None:
    for hours_ago in range(6):
        site.visit(1, hours_ago, 10)
    for question in QUESTIONS:
        await site.count_united(question)
        assert all(len(read.starts) == 1 for read in site.reads if isinstance(read, ReadPersonSketches))


@on_the_server
async def test_more_than_may_be_kept_is_united_by_the_store(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "SKETCH_BYTES_MAX", 100)
    site.visit(1, 1, 10)
    united, handed_out = await site.count_united(QUESTIONS[0])
    assert (united > 0, handed_out) == (True, 0)
    await site.compare()


async def test_sketches_are_handed_out_by_bucket_and_value(parts: Parts) -> None:
    hour = MINUTE // 60 * 60
    crowds = {"a:1": [n.to_bytes(8, "big") for n in range(300)], "ü": [b"person-1"]}
    keys = {SketchKey("demo", BucketKind.HOUR, hour, "product_id", value): crowd for value, crowd in crowds.items()}
    keys[SketchKey("demo", BucketKind.HOUR, hour, "source", "web")] = [b"person-2"]
    assert parts.store.apply(0, "g1", advance(0, 1, sketches=keys)) == Applied()
    reads: list[Read] = [
        ReadPersonSketches("product_id", BucketKind.HOUR, (hour, hour - 60)),
        ReadPersonSketches("source", BucketKind.HOUR, ()),
    ]
    here, no_sketches = (await parts.reader.read("demo", reads)).answers
    assert isinstance(here, list)
    assert no_sketches == []
    first, second = here
    assert isinstance(first, BucketContent)
    assert second == BucketContent([])
    values, sketches = first.fields[::2], first.fields[1::2]
    assert sorted(values) == sorted(value.encode() for value in crowds)
    united = unite([read_registers(sketches, range(2))], np.arange(2), 2)
    for value, ranks in zip(values, united, strict=True):
        assert count(ranks) == pytest.approx(len(crowds[value.decode()]), rel=SKETCH_ERROR_MAX)
