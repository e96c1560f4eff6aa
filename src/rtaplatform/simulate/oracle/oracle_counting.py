"""The oracle's counting: what one applied event adds to its buckets (rule 5)."""

from __future__ import annotations

from collections.abc import Iterable

from rtaplatform.simulate.oracle.oracle_amounts import OracleLine, in_other_currency, lines_of, revenue_of
from rtaplatform.simulate.oracle.oracle_event import OracleEvent, dimension
from rtaplatform.simulate.oracle.oracle_truth import ProjectTruth

_NO_LINE = OracleLine("", 0, 0)  # an order without lines counts for the product ""
Bucket = tuple[str, int]


def count(
    truth: ProjectTruth, event: OracleEvent, buckets: list[Bucket], currency: str, *, by_product: list[Bucket]
) -> None:
    """Add the event to these buckets. `currency`: the project's. `by_product`: the buckets with persons by product."""
    is_bot = any(mark.startswith("bot:") for mark in event.marks)
    cells, products = (truth.bot_events, truth.bot_products) if is_bot else (truth.events, truth.products)
    shared = truth.bot_shared if is_bot else truth.shared
    numbers = _event_numbers(event, currency)
    per_product = _product_numbers(event, currency)
    for bucket in buckets:
        counters = cells[(*bucket, event.name, event.source, event.country, event.device)]
        for name, number in numbers.items():
            counters[name] += number
        for product, counts in per_product.items():
            for name, number in counts.items():
                products[(*bucket, product)][name] += number
        if len(per_product) > 1:
            shared[bucket]["shared_orders" if event.track == "Order Completed" else "shared_checkouts"] += 1
        if not is_bot:
            _count_person(truth, event, bucket, per_product if bucket in by_product else ())


def _count_person(truth: ProjectTruth, event: OracleEvent, bucket: Bucket, products: Iterable[str]) -> None:
    truth.persons[(*bucket, None, None)].add(event.person)
    truth.persons[(*bucket, event.source, None)].add(event.person)
    if event.track in ("Product Viewed", "Product Added", "Order Completed"):
        for product in products:
            truth.persons[(*bucket, None, product)].add(event.person)


def _event_numbers(event: OracleEvent, currency: str) -> dict[str, int]:
    if event.track != "Order Completed":
        return {"count": 1}
    lines = lines_of(event.properties)
    units = sum(line.quantity for line in lines)
    if _in_other_currency(event, currency):
        return {"count": 1, "units": units, "other_currencies": 1}
    return {"count": 1, "units": units, "revenue": revenue_of(event.properties, lines)}


def _product_numbers(event: OracleEvent, currency: str) -> dict[str, dict[str, int]]:
    """Return the numbers that each product of the event gains."""
    measure = {"Product Viewed": "views", "Product Added": "adds"}.get(event.track)
    if measure is not None:
        return {dimension(event.properties.get("product_id")): {measure: 1}}
    if event.track not in ("Checkout Started", "Order Completed"):
        return {}
    return _line_numbers(event, lines_of(event.properties) or [_NO_LINE], currency)


def _line_numbers(event: OracleEvent, lines: list[OracleLine], currency: str) -> dict[str, dict[str, int]]:
    gains: dict[str, dict[str, int]] = {}
    for line in lines:
        product = dimension(line.product_id)
        if event.track == "Checkout Started":
            gains[product] = {"checkouts": 1}
            continue
        gain = gains.setdefault(product, {"orders": 1, "units": 0, "revenue": 0})
        gain["units"] += line.quantity
        gain["revenue"] += 0 if _in_other_currency(event, currency) else line.amount
    return gains


def _in_other_currency(event: OracleEvent, currency: str) -> bool:
    return in_other_currency(event.properties.get("currency"), currency)
