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
    """`ask` sends it, `read_numbers` reads its numbers from the answer, `truth` counts them from (events, now)."""

    name: str
    path: str
    read_numbers: Callable[[Any], Any]
    truth: Callable[[Sequence[Happening], int], Any]
    parameters: dict[str, str] = field(default_factory=dict)
    body: Any = None

    async def ask(self, site: Site) -> Reply:
        return await site.ask("POST" if self.body else "GET", self.path, body=self.body, **self.parameters)


def list_questions() -> list[Question]:
    """Each way in which the analytics read: cells, persons, what is kept of windows, the catalog beside."""
    metric, popular = "/v1/metrics/", "/v1/products/popular"
    by_id, by_category = {"breakdown": "product_id"}, {"breakdown": "product_category"}
    since_5, since_9, boots = {"window": "5h"}, {"from": "-9h"}, {"product_category": "Shoes"}
    hours = {"from": "-2h", "interval": "hour"}
    return [
        Question("events by hour", metric + "events", read_points, count_events_by_hour, hours),
        Question("visitors", metric + "visitors", read_rows, count_visitors_by_source,
                 {"from": "-2h", "breakdown": "source"}),
        Question("by name", metric + "events", read_rows, count_events_by_name,
                 {**since_9, "breakdown": "event,country"}),
        Question("views", metric + "product_views", read_rows, count_viewed_by(lambda p: p), {**since_9, **by_id}),
        Question("views by category", metric + "product_views", read_rows, count_viewed_by(find_category),
                 {**since_9, **by_category}),
        Question("revenue of a category", metric + "revenue", read_rows, sum_shoes_sold, {**since_9, **boots}),
        Question("popular", popular, read_ranking, count_viewed_by(lambda p: p, 5), since_5),
        Question("popular by visitors", popular, read_ranking, count_visitors_by_product,
                 {"by": "visitors", **since_5}),
        Question("popular by revenue", popular, read_ranking, sum_sold_by(lambda p: p),
                 {"by": "revenue", "window": "9h"}),
        Question("several", "/v1/query", read_totals, count_events_and_orders, body={"queries": [
            {"metric": "events", "from": "-1h"}, {"metric": "orders", "from": "-1h"},
        ]}),
    ]  # fmt: skip


# What the answers tell -----------------------------------------------------------------------------------------------


def read_rows(answer: Any) -> Rows:
    """Without those that are 0, the greatest first."""
    pairs = [(next(iter(row["dimensions"].values()), ""), row["total"]) for row in answer["results"]]
    return _put_in_order((name, total) for name, total in pairs if total)


def read_points(answer: Any) -> list[int]:
    return [number for _, number in answer["results"][0]["points"]]


def read_ranking(answer: Any) -> Rows:
    return _put_in_order((row["product_id"], row["value"]) for row in answer["results"])


def read_totals(answer: Any) -> list[int]:
    return [answer_of_query["results"][0]["total"] for answer_of_query in answer["answers"]]


# What is true --------------------------------------------------------------------------------------------------------


def select_since(events: Iterable[Happening], now: int, hours: int, grain: int = MINUTE) -> list[Happening]:
    """From so many hours ago, rounded down, to now, rounded up."""
    start = (now - hours * HOUR) // grain * grain
    return [event for event in events if start <= event.at_ms < -(-now // grain) * grain]


def find_category(product: str) -> str:
    return PRODUCTS[product].category or "(none)"


def count_viewed_by(key: Callable[[str], str], hours: int = 9) -> Callable[[Sequence[Happening], int], Rows]:
    def count(events: Sequence[Happening], now: int) -> Rows:
        views = [e for e in select_since(events, now, hours) if e.event == "Product Viewed"]
        return _put_in_order(Counter(key(event.product) for event in views).items())

    return count


def sum_sold_by(key: Callable[[str], str], hours: int = 9) -> Callable[[Sequence[Happening], int], Rows]:
    def count(events: Sequence[Happening], now: int) -> Rows:
        amounts: Counter[str] = Counter()
        for event in select_since(events, now, hours):
            if event.event == "Order Completed":
                amounts[key(event.product)] += event.revenue
        return _put_in_order((name, amount / SCALE) for name, amount in amounts.items())

    return count


def sum_shoes_sold(events: Sequence[Happening], now: int) -> Rows:
    return [("", amount) for name, amount in sum_sold_by(find_category, 9)(events, now) if name == "Shoes"]


def count_events_by_hour(events: Sequence[Happening], now: int) -> list[int]:
    """Each a whole hour, but the last."""
    recent_events = select_since(events, now, 2, HOUR)
    first, last = (now - 2 * HOUR) // MINUTE * MINUTE // HOUR, (-(-now // MINUTE) * MINUTE - 1) // HOUR
    return [sum(event.at_ms // HOUR == hour for event in recent_events) for hour in range(first, last + 1)]


def count_visitors_by_source(events: Sequence[Happening], now: int) -> Rows:
    recent_events = select_since(events, now, 2, HOUR)
    return _put_in_order(
        (s, len({e.person for e in recent_events if e.source == s})) for s in {e.source for e in recent_events}
    )


def count_visitors_by_product(events: Sequence[Happening], now: int) -> Rows:
    recent_events = select_since(events, now, 5, HOUR)
    return _put_in_order(
        (p, len({e.person for e in recent_events if e.product == p})) for p in {e.product for e in recent_events} - {""}
    )


def count_events_by_name(events: Sequence[Happening], now: int) -> Rows:
    return _put_in_order(Counter(event.event for event in select_since(events, now, 9)).items())


def count_events_and_orders(events: Sequence[Happening], now: int) -> list[int]:
    recent_events = select_since(events, now, 1)
    return [len(recent_events), sum(event.event == "Order Completed" for event in recent_events)]


def _put_in_order(pairs: Iterable[tuple[str, float]]) -> Rows:
    return sorted(pairs, key=lambda row: (-row[1], row[0]))


# What happens --------------------------------------------------------------------------------------------------------


def make_morning(now: int, number: int) -> list[Happening]:
    """Some events of the last hours, other ones for each number; one of them at this very moment."""
    products = list(PRODUCTS)
    happenings = [Happening(now - 1, person=f"v{number}")]
    for back in range(12):
        at, product = now - 1 - back * 41 * MINUTE - number * 7 * MINUTE, products[(back + number) % len(products)]
        source, person = ("web", "ios")[back % 2], f"v{(back * number) % 5}"
        happenings.append(Happening(at, "Product Viewed", source, person, product))
        if back % 3 == 0:
            happenings.append(Happening(at, "Order Completed", source, person, product, (number + back + 1) * 5_000))
    return happenings
