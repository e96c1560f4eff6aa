"""Questions over HTTP, and what a plain recount of the events says to each: it shares no code with the analytics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.unit.analytics.catalog import Product
from tests.unit.analytics.shop import Happening
from tests.unit.serve.parts_of_tests import Reply, Site

MINUTE, HOUR = 60_000, 3_600_000
PRODUCTS = {
    "p-1": Product("Boot", "Shoes"), "p-2": Product("Sandal", "Shoes"), "p-3": Product("Bag", "Bags"),
    "p-4": Product("Hat", None),
}  # fmt: skip
SCALE = 10_000
Rows = list[tuple[str, float]]


@dataclass(frozen=True)
class Question:
    """`ask` sends it, `told` reads its numbers from the answer, `truth` counts them from (events, now)."""

    name: str
    path: str
    told: Callable[[Any], Any]
    truth: Callable[[Sequence[Happening], int], Any]
    given: dict[str, str] = field(default_factory=dict)
    body: Any = None

    async def ask(self, site: Site) -> Reply:
        return await site.ask("POST" if self.body else "GET", self.path, body=self.body, **self.given)


def questions() -> list[Question]:
    """Each way in which the analytics read: cells, persons, what is kept of windows, the catalog beside."""
    metric, popular = "/v1/metrics/", "/v1/products/popular"
    by_id, by_category = {"breakdown": "product_id"}, {"breakdown": "product_category"}
    boots = {"product_category": "Shoes"}
    return [
        Question("events by hour", metric + "events", points, events_by_hour, {"from": "-2h", "interval": "hour"}),
        Question("visitors", metric + "visitors", rows, visitors_by_source, {"from": "-2h", "breakdown": "source"}),
        Question("by name", metric + "events", rows, events_by_name, {"from": "-9h", "breakdown": "event,country"}),
        Question("views", metric + "product_views", rows, viewed(lambda p: p), {"from": "-9h", **by_id}),
        Question("views by category", metric + "product_views", rows, viewed(category), {"from": "-9h", **by_category}),
        Question("revenue of a category", metric + "revenue", rows, shoes_sold, {"from": "-9h", **boots}),
        Question("popular", popular, ranking, viewed(lambda p: p, 5), {"window": "5h"}),
        Question("popular by visitors", popular, ranking, visitors_by_product, {"by": "visitors", "window": "5h"}),
        Question("popular by revenue", popular, ranking, sold(lambda p: p), {"by": "revenue", "window": "9h"}),
        Question("several", "/v1/query", several, both, body={"queries": [
            {"metric": "events", "from": "-1h"}, {"metric": "orders", "from": "-1h"},
        ]}),
    ]  # fmt: skip


# What the answers tell -----------------------------------------------------------------------------------------------


def rows(answer: Any) -> Rows:
    """Without those that are 0, the greatest first."""
    found = [(next(iter(row["dimensions"].values()), ""), row["total"]) for row in answer["results"]]
    return _in_order((name, total) for name, total in found if total)


def points(answer: Any) -> list[int]:
    return [number for _, number in answer["results"][0]["points"]]


def ranking(answer: Any) -> Rows:
    return _in_order((row["product_id"], row["value"]) for row in answer["results"])


def several(answer: Any) -> list[int]:
    return [one["results"][0]["total"] for one in answer["answers"]]


# What is true --------------------------------------------------------------------------------------------------------


def since(events: Iterable[Happening], now: int, hours: int, grain: int = MINUTE) -> list[Happening]:
    """From so many hours ago, rounded down, to now, rounded up."""
    start = (now - hours * HOUR) // grain * grain
    return [event for event in events if start <= event.at_ms < -(-now // grain) * grain]


def category(product: str) -> str:
    return PRODUCTS[product].category or "(none)"


def viewed(key: Callable[[str], str], hours: int = 9) -> Callable[[Sequence[Happening], int], Rows]:
    def count(events: Sequence[Happening], now: int) -> Rows:
        found = [e for e in since(events, now, hours) if e.event == "Product Viewed"]
        return _in_order(Counter(key(event.product) for event in found).items())

    return count


def sold(key: Callable[[str], str], hours: int = 9) -> Callable[[Sequence[Happening], int], Rows]:
    def count(events: Sequence[Happening], now: int) -> Rows:
        found: Counter[str] = Counter()
        for event in since(events, now, hours):
            if event.event == "Order Completed":
                found[key(event.product)] += event.revenue
        return _in_order((name, amount / SCALE) for name, amount in found.items())

    return count


def shoes_sold(events: Sequence[Happening], now: int) -> Rows:
    return [("", amount) for name, amount in sold(category, 9)(events, now) if name == "Shoes"]


def events_by_hour(events: Sequence[Happening], now: int) -> list[int]:
    """Each a whole hour, but the last."""
    found = since(events, now, 2, HOUR)
    first, last = (now - 2 * HOUR) // MINUTE * MINUTE // HOUR, (-(-now // MINUTE) * MINUTE - 1) // HOUR
    return [sum(event.at_ms // HOUR == hour for event in found) for hour in range(first, last + 1)]


def visitors_by_source(events: Sequence[Happening], now: int) -> Rows:
    found = since(events, now, 2, HOUR)
    return _in_order((s, len({e.person for e in found if e.source == s})) for s in {e.source for e in found})


def visitors_by_product(events: Sequence[Happening], now: int) -> Rows:
    found = since(events, now, 5, HOUR)
    return _in_order((p, len({e.person for e in found if e.product == p})) for p in {e.product for e in found} - {""})


def events_by_name(events: Sequence[Happening], now: int) -> Rows:
    return _in_order(Counter(event.event for event in since(events, now, 9)).items())


def both(events: Sequence[Happening], now: int) -> list[int]:
    found = since(events, now, 1)
    return [len(found), sum(event.event == "Order Completed" for event in found)]


def _in_order(found: Iterable[tuple[str, float]]) -> Rows:
    return sorted(found, key=lambda row: (-row[1], row[0]))


# What happens --------------------------------------------------------------------------------------------------------


def morning(now: int, number: int) -> list[Happening]:
    """Some events of the last hours, other ones for each number; one of them at this very moment."""
    products = list(PRODUCTS)
    found = [Happening(now - 1, person=f"v{number}")]
    for back in range(12):
        at, product = now - 1 - back * 41 * MINUTE - number * 7 * MINUTE, products[(back + number) % len(products)]
        source, person = ("web", "ios")[back % 2], f"v{(back * number) % 5}"
        found.append(Happening(at, "Product Viewed", source, person, product))
        if back % 3 == 0:
            found.append(Happening(at, "Order Completed", source, person, product, (number + back + 1) * 5_000))
    return found
