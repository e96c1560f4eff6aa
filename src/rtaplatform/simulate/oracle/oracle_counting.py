"""The oracle's counting: what one applied event adds to its buckets (rule 5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rtaplatform.simulate.oracle.oracle_amounts import OracleLine, is_in_other_currency, read_lines, read_revenue
from rtaplatform.simulate.oracle.oracle_event import OracleEvent, read_dimension
from rtaplatform.simulate.oracle.oracle_truth import ProjectTruth, SalesCell
from rtaplatform.simulate.oracle.origins.oracle_visits import PLACES

_NO_LINE = OracleLine("", 0, 0)  # an order without lines counts for the product ""
Bucket = tuple[str, int]
_PAID_BACK = ("Order Refunded", "Order Cancelled")
_SHARED = {
    "Product Viewed": "shared_views",
    "Product Added": "shared_adds",
    "Checkout Started": "shared_checkouts",
    "Order Completed": "shared_orders",
}


class Gain(NamedTuple):
    """What an event adds: to its own cell, to each of its products, and the products that its person has to do with."""

    numbers: dict[str, int]
    by_product: dict[str, dict[str, int]]
    products: set[str]


def compute_gain(event: OracleEvent, currency: str, *, is_repeat: bool) -> Gain:
    """Return what the event adds, in a project of that currency. A repeated order is an event and nothing else."""
    by_product = _count_products(event, currency)
    if is_repeat:
        return Gain({"count": 1}, {}, set(by_product))
    return Gain(_count_event(event, currency), by_product, set(by_product))


def count(
    truth: ProjectTruth, event: OracleEvent, buckets: list[Bucket], gain: Gain, *, by_product: list[Bucket]
) -> None:
    """Add the event to these buckets. `by_product`: the buckets with persons by product."""
    is_bot = event.is_bot
    cells, products = (truth.bot_events, truth.bot_products) if is_bot else (truth.events, truth.products)
    shared_cells = truth.bot_shared if is_bot else truth.shared
    for bucket in buckets:
        counters = cells[(*bucket, event.name, event.source, event.country, event.device)]
        for name, number in gain.numbers.items():
            counters[name] += number
        for product, counts in gain.by_product.items():
            for name, number in counts.items():
                products[(*bucket, product)][name] += number
        if bucket[0] != "minute":
            _count_sales(truth.bot_sales if is_bot else truth.sales, event, bucket, gain)
        if len(gain.by_product) > 1 and event.track in _SHARED:
            shared_cells[bucket][_SHARED[event.track]] += 1
        if gain.by_product and event.track in _PAID_BACK:
            shared_cells[bucket]["refund_events"] += 1
        if not is_bot:
            _count_person(truth, event, bucket, gain.products, with_many=bucket in by_product)
            if gain.numbers.get("orders") and bucket[0] != "minute":
                _count_buyer(truth, event, bucket, gain.products if bucket in by_product else ())


def _count_sales(sales: dict[SalesCell, dict[str, int]], event: OracleEvent, bucket: Bucket, gain: Gain) -> None:
    for product, counts in gain.by_product.items():
        for name in ("views", "adds", "orders", "units", "revenue"):
            if counts.get(name):
                sales[(*bucket, product, event.country, event.source)][name] += counts[name]


def _count_person(
    truth: ProjectTruth, event: OracleEvent, bucket: Bucket, products: Iterable[str], *, with_many: bool
) -> None:
    """`with_many`: whether the bucket has persons by product, by page and by visit."""
    person_products = products if event.track in ("Product Viewed", "Product Added", "Order Completed") else ()
    places = [*_list_places(event, person_products if with_many else ())]
    is_page_view = not event.track and event.name in ("$page", "$screen")
    for name, value in event.origin.items() if with_many else ():
        if name not in PLACES and value != "(none)" and (name != "page" or is_page_view):
            places.append((name, value))
    for place in places:
        truth.persons[(*bucket, *place)].add(event.person)


def _count_buyer(truth: ProjectTruth, event: OracleEvent, bucket: Bucket, products: Iterable[str]) -> None:
    for place in _list_places(event, products):
        truth.buyers[(*bucket, *place)].add(event.person)


def _list_places(event: OracleEvent, products: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Return the dimensions and values by which the event's person is counted."""
    yield "", ""
    yield "source", event.source
    yield "country", event.country
    yield "device", event.device
    for product in products:
        yield "product_id", product


def _count_event(event: OracleEvent, currency: str) -> dict[str, int]:
    if event.track in _PAID_BACK:
        foreign = _is_in_other_currency(event, currency)
        back = 0 if foreign else read_revenue(event.properties, read_lines(event.properties))
        return {"count": 1, "refunds": back, "other_currencies": int(foreign)}
    if event.track != "Order Completed":
        return {"count": 1}
    lines = read_lines(event.properties)
    units = sum(line.quantity for line in lines)
    if _is_in_other_currency(event, currency):
        return {"count": 1, "orders": 1, "units": units, "other_currencies": 1}
    return {"count": 1, "orders": 1, "units": units, "revenue": read_revenue(event.properties, lines)}


def _count_products(event: OracleEvent, currency: str) -> dict[str, dict[str, int]]:
    """Return the numbers that each product of the event gains."""
    measure = {"Product Viewed": "views", "Product Added": "adds"}.get(event.track)
    if measure is not None:
        root = [event.properties.get("product_id")]
        lines = [line.product_id for line in read_lines(event.properties) or [_NO_LINE]]
        return {read_dimension(product): {measure: 1} for product in (lines if event.by_lines else root)}
    if event.track in _PAID_BACK:
        return _count_refund(event, currency)
    if event.track not in ("Checkout Started", "Order Completed"):
        return {}
    return _count_lines(event, read_lines(event.properties) or [_NO_LINE], currency)


def _count_lines(event: OracleEvent, lines: list[OracleLine], currency: str) -> dict[str, dict[str, int]]:
    gains: dict[str, dict[str, int]] = {}
    for line in lines:
        product = read_dimension(line.product_id)
        if event.track == "Checkout Started":
            gains[product] = {"checkouts": 1}
            continue
        gain = gains.setdefault(product, {"orders": 1, "units": 0, "revenue": 0})
        gain["units"] += line.quantity
        gain["revenue"] += 0 if _is_in_other_currency(event, currency) else line.amount
    return gains


def _count_refund(event: OracleEvent, currency: str) -> dict[str, dict[str, int]]:
    """Return what each product among the lines of a refund loses; none where there are no lines."""
    back: dict[str, dict[str, int]] = {}
    for line in read_lines(event.properties):
        of_product = back.setdefault(read_dimension(line.product_id), {"refunds": 0, "refunded_units": 0})
        of_product["refunded_units"] += line.quantity
        if not _is_in_other_currency(event, currency):
            of_product["refunds"] += line.amount
    return back


def _is_in_other_currency(event: OracleEvent, currency: str) -> bool:
    return is_in_other_currency(event.properties.get("currency"), currency)
