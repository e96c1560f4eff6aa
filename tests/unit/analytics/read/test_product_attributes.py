"""Category and brand of products, joined when an answer is computed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.analytics.answer.side_thread import SideThread, WorkResult
from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.core.caps import CAPS, Caps
from rtaplatform.core.errors import InvalidParameter, Unavailable
from rtaplatform.core.metrics import METRICS
from rtaplatform.core.query import Answer
from rtaplatform.core.rollups import PRODUCT_ATTRIBUTES, PRODUCTS, make_field
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.memory.memory_cells import LOG_MAX
from rtaplatform.store.port import Applied, CellsKey, Delta, Read, ReadBucketLog, ReadBuckets, Snapshot
from tests.examples import count_examples
from tests.unit.analytics.catalog import Catalog, Product
from tests.unit.analytics.shop import NOON, Happening, Shop, make_engine_without_caches

SHOES = {
    "p-1": Product("Shoe", "shoes", brand="Acme"),
    "p-2": Product("Hat", "hats", brand="Acme"),
    "p-9": Product("Boot", "shoes", brand="Bolt"),
    "p-5": Product("Thing", None),
}
VIEWS = {"p-1": 4, "p-2": 3, "p-9": 2, "p-3": 1, "p-5": 5}


def make_shop(catalog: Catalog, caps: Caps = CAPS) -> Shop:
    shop = Shop(catalog=catalog, caps=caps)
    for product, number in VIEWS.items():
        shop.take(Happening(NOON, "Product Viewed", product=product, person=f"{n}") for n in range(number))
    return shop


async def ask(shop: Shop, metric: str, **fields: Any) -> Answer:
    return (await shop.engine.answer("demo", [parse_object({"metric": metric, **fields})]))[0]


def read_rows(answer: Answer) -> dict[tuple[str, ...], Any]:
    return {tuple(result.dimensions.values()): result.total for result in answer.results}


async def test_breakdown_by_category_sums_its_products_and_names_the_rest_none() -> None:
    answer = await ask(make_shop(Catalog(SHOES)), "product_views", breakdown=["product_category"])
    assert read_rows(answer) == {("shoes",): 6, ("(none)",): 6, ("hats",): 3}
    assert answer.meta.exact


@pytest.mark.parametrize("interval", ["none", "hour"])
async def test_category_filter_sums_exactly_its_products(interval: str) -> None:
    shop = make_shop(Catalog(SHOES))
    answer = await ask(shop, "product_views", filters={"product_category": ["shoes"]}, interval=interval)
    assert read_rows(answer) == {(): 6}
    answer = await ask(shop, "product_views", filters={"product_category": ["(none)"]}, interval=interval)
    assert read_rows(answer) == {(): 6}


@pytest.mark.parametrize("interval", ["none", "hour"])
async def test_attributes_go_with_products_and_with_each_other(interval: str) -> None:
    shop = make_shop(Catalog(SHOES))
    answer = await ask(
        shop, "product_views", interval=interval,
        breakdown=["product_id", "product_brand"], filters={"product_category": ["shoes"]},
    )  # fmt: skip
    assert read_rows(answer) == {("p-1", "Acme"): 4, ("p-9", "Bolt"): 2}
    answer = await ask(
        shop, "product_views", interval=interval,
        breakdown=["product_category"], filters={"product_id": ["p-1", "p-2"], "product_brand": ["Acme"]},
    )  # fmt: skip
    assert read_rows(answer) == {("shoes",): 4, ("hats",): 3}


async def test_comparison_and_points_are_joined_too() -> None:
    answer = await ask(
        make_shop(Catalog(SHOES)), "product_views", **{"from": "-1h"}, interval="minute", compare="previous_period",
        breakdown=["product_brand"],
    )  # fmt: skip
    brands = {result.dimensions["product_brand"]: result for result in answer.results}
    assert (brands["Acme"].total, brands["Acme"].previous) == (7, 0)
    assert sum(number or 0 for _, number in brands["Acme"].points) == 7


async def test_every_product_metric_has_the_attributes_and_no_other() -> None:
    having = {name for name, metric in METRICS.items() if set(PRODUCT_ATTRIBUTES) <= set(metric.dimensions)}
    assert having == {name for name, metric in METRICS.items() if "product_id" in metric.dimensions}


async def test_a_product_s_attribute_beside_the_device_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidParameter) as caught:
        await ask(make_shop(Catalog(SHOES)), "product_views", breakdown=["product_category", "device"])
    assert "product_category" in caught.value.allowed["products"]


async def test_a_change_of_the_catalog_shows_in_the_next_answer() -> None:
    catalog = Catalog(SHOES)
    shop = make_shop(catalog)
    assert catalog.table is not None
    await ask(shop, "product_views", breakdown=["product_category"])
    catalog.table.put("p-3", Product("New", "hats"))
    answer = await ask(shop, "product_views", breakdown=["product_category"])
    assert read_rows(answer) == {("shoes",): 6, ("(none)",): 5, ("hats",): 4}
    answer = await ask(shop, "product_views", filters={"product_category": ["hats"]})
    assert read_rows(answer) == {(): 4}


async def test_unknown_catalog_gives_no_number() -> None:
    with pytest.raises(Unavailable):
        await ask(make_shop(Catalog(None)), "product_views", breakdown=["product_category"])


@pytest.mark.parametrize("interval", ["none", "hour"])
async def test_hidden_products_stay_other_and_make_a_filter_inexact(interval: str) -> None:
    seats = 20
    shop = make_shop(Catalog(SHOES), Caps(products=seats, products_of_minute=seats))
    many = Delta(moves=[])
    for kind, start in ((BucketKind.MINUTE, NOON // 60_000), (BucketKind.HOUR, NOON // 60_000)):
        cells = {make_field("views", f"x-{n}"): 1 for n in range(seats + 10)}
        many.cells[CellsKey("demo", PRODUCTS.name, kind, start)] = cells | {"views": len(cells)}
    assert isinstance(shop.store.apply(0, "g1", many), Applied)
    answer = await ask(shop, "product_views", breakdown=["product_category"], interval=interval)
    assert read_rows(answer)[("(other)",)] > 0
    assert (answer.meta.exact, answer.meta.error) == (False, None)
    assert sum(read_rows(answer).values()) == seats + 10 + sum(VIEWS.values())
    answer = await ask(shop, "product_views", filters={"product_category": ["shoes"]}, interval=interval)
    assert (read_rows(answer), answer.meta.exact, answer.meta.error) == ({(): 6}, False, None)


async def test_visitors_of_a_category_are_the_union_of_its_products() -> None:
    shop = make_shop(Catalog(SHOES))
    assert read_rows(await ask(shop, "visitors", filters={"product_category": ["shoes"]})) == {(): 4}
    answer = await ask(shop, "visitors", breakdown=["product_category"], limit=2)
    assert read_rows(answer) == {("(none)",): 5, ("shoes",): 4}
    answer = await ask(shop, "visitors", breakdown=["product_id"], filters={"product_brand": ["Acme"]})
    assert read_rows(answer) == {("p-1",): 4, ("p-2",): 3}
    assert read_rows(await ask(shop, "visitors", filters={"product_category": ["hats"], "product_id": ["p-1"]})) == {
        (): 0
    }


PRODUCT = st.sampled_from(["p-1", "p-2", "p-3", "p-5", "p-9"])
VIEW = st.builds(
    lambda minutes, product, bot: Happening(NOON - minutes * 60_000, "Product Viewed", product=product, is_bot=bot),
    st.integers(-200, 200), PRODUCT, st.booleans(),
)  # fmt: skip
SALE = st.builds(
    lambda minutes, p, money: Happening(NOON - minutes * 60_000, "Order Completed", product=p, revenue=money),
    st.integers(-200, 200), PRODUCT, st.sampled_from([-5, 5, 10, 20]),
)  # fmt: skip
ASKED: list[dict[str, Any]] = [
    {"breakdown": ["product_id"]},
    {"breakdown": ["product_category"]},
    {"breakdown": ["product_brand", "product_category"]},
    {"filters": {"product_category": ["shoes", "(none)"]}, "breakdown": ["product_id"]},
    {"filters": {"product_category": ["shoes"]}, "breakdown": ["product_id"]},
    {"filters": {"product_brand": ["Acme"]}},
]


STEP = st.tuples(st.lists(VIEW | SALE, max_size=6), st.integers(0, 90), st.booleans())


@settings(max_examples=count_examples(60), deadline=None)
@given(
    st.lists(st.tuples(st.lists(VIEW | SALE, max_size=6), st.integers(0, 90), st.booleans()), min_size=1, max_size=6)
)
def test_cached_window_answers_as_if_everything_were_read(steps: list[tuple[list[Happening], int, bool]]) -> None:
    async def run() -> None:
        catalog = Catalog(SHOES)
        shop = Shop(catalog=catalog)
        whole_at_once = make_engine_without_caches(shop, catalog)
        assert catalog.table is not None
        for happenings, minutes, changes in steps:
            shop.take(happenings)
            shop.clock.at_ms += minutes * 60_000
            if minutes % 2:  # notifications may be lost
                shop.engine.touch(frozenset({"demo"}))
            if changes:
                catalog.table.put("p-3", Product("x", random.Random(minutes).choice(["shoes", "hats"])))
            for metric in ("product_views", "revenue", "units"):
                for bots in ("exclude", "include"):
                    for question in ASKED:
                        fields = {"from": "-3h", "bots": bots, **question}
                        cached_rows = read_rows(await ask(shop, metric, **fields))
                        query = parse_object({"metric": metric, **fields})
                        whole = read_rows((await whole_at_once.answer("demo", [query]))[0])
                        assert {k: n for k, n in cached_rows.items() if n} == {k: n for k, n in whole.items() if n}

    asyncio.run(run())


async def test_store_that_went_back_is_read_again() -> None:
    """The bucket has the same totals as before, but another event."""
    shop = Shop(catalog=Catalog(SHOES))
    empty = deepcopy(shop.store.shards[0])
    shop.take([Happening(NOON, "Product Viewed", product="p-1"), Happening(NOON)])
    for _ in range(3):
        assert read_rows(await ask(shop, "product_views", breakdown=["product_id"])) == {("p-1",): 1}
    shop.store.shards[0], shop.offset = empty, 0
    shop.take([Happening(NOON, "Product Viewed", product="p-2")])
    assert read_rows(await ask(shop, "product_views", breakdown=["product_id"])) == {("p-2",): 1}


async def test_rows_that_sum_to_zero_displace_no_others() -> None:
    """By category, of which one has sold and taken back alike, and one has taken back more than it sold."""
    shop = Shop(catalog=Catalog(SHOES))
    amounts = [("p-1", 5), ("p-9", -5), ("p-2", -3), ("p-5", 7)]
    shop.take(Happening(NOON, "Order Completed", product=p, revenue=money) for p, money in amounts)
    totals = read_rows(await ask(shop, "revenue", breakdown=["product_category"], limit=2))
    assert {key: total < 0 for key, total in totals.items()} == {("(none)",): False, ("hats",): True}


async def test_change_notification_saves_a_read_but_is_not_required() -> None:
    """Whole buckets in the reads of each question: none where nothing moved, one, since it is small, after a
    notification; without a notification the ledger is looked at first.
    """
    shop, whole = Shop(catalog=Catalog(SHOES)), list[int]()
    read = shop.store.read

    async def counted(project: str, reads: Any) -> Any:
        whole.append(sum(len(request.starts) for request in reads if isinstance(request, ReadBuckets)))
        return await read(project, reads)

    async def views(n: int) -> list[int]:
        whole.clear()
        assert read_rows(await ask(shop, "product_views", **{"from": "-2m", "breakdown": ["product_id"]})) == {
            ("p-1",): n
        }
        return whole

    shop.store.read = counted  # type: ignore[method-assign]
    for n in range(1, 6):
        shop.take([Happening(shop.clock.at_ms, "Product Viewed", product="p-1")])
        await views(n)
    assert await views(5) == [0]
    for n, projects, expected in ((6, frozenset({"demo"}), [1]), (7, None, [1]), (8, frozenset({"other"}), [0, 1])):
        shop.take([Happening(shop.clock.at_ms, "Product Viewed", product="p-1")])
        shop.engine.touch(projects)
        assert await views(n) == expected
        assert await views(n) == [0]


async def test_concurrent_questions_of_one_window_agree_with_the_store() -> None:
    """Snapshots that arrive in another order must not look like a store that went back."""
    shop, reads = Shop(catalog=Catalog(SHOES)), 0
    read = shop.store.read

    async def slow_at_first(project: str, requests: Any) -> Any:
        nonlocal reads
        reads += 1
        snapshot = await read(project, requests)
        for _ in range(30 if reads == 2 else 0):
            await asyncio.sleep(0)
        return snapshot

    shop.store.read = slow_at_first  # type: ignore[method-assign]
    tasks: list[asyncio.Task[Answer]] = []
    for _ in range(5):
        shop.take([Happening(NOON, "Product Viewed", product="p-1")])
        tasks.append(asyncio.create_task(ask(shop, "product_views", breakdown=["product_id"])))
        await asyncio.sleep(0)
    totals = [read_rows(answer)[("p-1",)] for answer in await asyncio.gather(*tasks)]
    assert totals[-1] == 5
    assert totals == sorted(totals)


async def test_only_the_changes_of_a_large_bucket_are_read() -> None:
    """From its log; or the whole bucket if more has changed than the log keeps."""
    shop, bucket_reads = Shop(catalog=Catalog(SHOES)), list[Read]()
    read = shop.store.read

    async def noted(project: str, reads: Sequence[Read]) -> Snapshot:
        bucket_reads.extend(
            bucket_read for bucket_read in reads if isinstance(bucket_read, ReadBuckets | ReadBucketLog)
        )
        return await read(project, reads)

    def view(*products: str) -> None:
        for product in products:
            shop.take([Happening(shop.clock.at_ms, "Product Viewed", product=product)])

    async def views() -> dict[tuple[str, ...], int]:
        bucket_reads.clear()
        return read_rows(await ask(shop, "product_views", **{"from": "-2m", "breakdown": ["product_id"]}))

    shop.store.read = noted  # type: ignore[method-assign]
    view(*(f"x-{n}" for n in range(8)))
    await views()
    for n in range(2, 6):
        view("x-1", "x-2")
        assert (await views())["x-1",] == n
        assert [type(bucket_read) for bucket_read in bucket_reads] == [ReadBucketLog]
    view("new")
    assert (await views())["new",] == 1
    assert [type(bucket_read) for bucket_read in bucket_reads] == [ReadBucketLog]
    view(*["x-1"] * (LOG_MAX + 1))
    assert (await views())["x-1",] == 5 + LOG_MAX + 1
    assert {type(bucket_read) for bucket_read in bucket_reads} == {ReadBucketLog, ReadBuckets}


class Noting(dict[str, Any]):
    """Which products were looked up."""

    def __init__(self, products: Any) -> None:
        super().__init__(products)
        self.looked_up: list[str] = []

    def get(self, id: str, default: Any = None) -> Any:
        self.looked_up.append(id)
        return super().get(id, default)


class NotingThread(SideThread):
    """Records the work of each call, in numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    async def run(self, numbers: int, work: Callable[[], WorkResult]) -> WorkResult:
        self.numbers.append(numbers)
        return await super().run(numbers, work)


async def test_only_changed_products_are_joined_again() -> None:
    """The first join counts as work for the side thread."""
    many = 400
    catalog = Catalog({f"p-{n}": Product("x", f"category {n % 3}") for n in range(many)})
    shop = Shop(catalog=catalog)
    shop.take(Happening(NOON, "Product Viewed", product=f"p-{n}") for n in range(many))
    assert catalog.table is not None
    catalog.table.by_id = by_id = Noting(catalog.table.by_id)
    shop.engine.side_thread = side_thread = NotingThread()

    async def by_category() -> tuple[dict[tuple[str, ...], int], int, int]:
        by_id.looked_up.clear()
        side_thread.numbers.clear()
        totals = read_rows(await ask(shop, "product_views", breakdown=["product_category"]))
        return totals, len(by_id.looked_up), max(side_thread.numbers)

    first, looked_up, work = await by_category()
    assert (first[("category 0",)], looked_up) == (134, many)
    assert work >= many
    assert (await by_category())[:2] == (first, 0)
    catalog.table.put("p-0", Product("x", "another"))
    catalog.table.put("p-9999", Product("x", "another"))  # nobody has seen it
    second, looked_up, work = await by_category()
    assert (second[("category 0",)], second[("another",)], looked_up) == (133, 1, 1)
    assert work < many


async def test_catalog_change_without_effect_reads_no_bucket_again() -> None:
    catalog, listed = Catalog(SHOES), list[int]()
    shop = make_shop(catalog)
    read = shop.store.read

    async def noted(project: str, reads: Any) -> Any:
        listed.append(sum(len(request.starts) for request in reads if isinstance(request, ReadBuckets)))
        return await read(project, reads)

    shop.store.read = noted  # type: ignore[method-assign]
    assert catalog.table is not None
    parameters: dict[str, Any] = {"breakdown": ["product_category"], "from": "-3h", "interval": "hour"}
    before = read_rows(await ask(shop, "product_views", **parameters))
    assert sum(listed) > 0
    await ask(shop, "product_views", **parameters)  # the newest bucket is looked at once more
    listed.clear()
    catalog.table.put("p-1", Product("another name", SHOES["p-1"].category))
    assert read_rows(await ask(shop, "product_views", **parameters)) == before
    assert sum(listed) <= 1
    catalog.table.put("p-1", Product("another name", "gloves"))
    assert ("gloves",) in read_rows(await ask(shop, "product_views", **parameters))
