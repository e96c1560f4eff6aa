"""What the shop's servers send about orders: reports, shipments, refunds, cancellations.   simulate: [after_sales].

They hold only the userId.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from random import Random
from typing import Any

from rtaplatform.simulate.shop.journey import DemoShop, JourneyStep
from rtaplatform.simulate.shop.people.visitors import VisitorClient
from rtaplatform.simulate.shop.shopping import Order, draw_order_properties, make_whole_refund, refund_properties

_CANCELLED = 0.02
_SHIPPED = 0.9
_REFUND = 0.06
_SECOND_REFUND = 0.25
_SHIPPED_MINUTES, _CANCELLED_MINUTES, _REFUNDED_MINUTES = 90, 30, 600


def follow_order(order: Order, shop: DemoShop, *, confirm: bool) -> Iterator[JourneyStep]:
    """Yield the events of the shop's servers about an order. `confirm`: they report the order itself, too."""
    rng = shop.rng
    if confirm:
        yield _make_server_step(int(500 + rng.random() * 4_000), "Order Completed", draw_order_properties(order, rng))
    if rng.random() < _CANCELLED:
        yield _make_server_step(_draw_pause_ms(rng, _CANCELLED_MINUTES), "Order Cancelled", make_whole_refund(order))
        return
    if rng.random() < _SHIPPED:
        yield _make_server_step(_draw_pause_ms(rng, _SHIPPED_MINUTES), "Order Shipped", {"order_id": order.order_id})
    if rng.random() < _REFUND:
        yield _make_server_step(_draw_pause_ms(rng, _REFUNDED_MINUTES), "Order Refunded", refund_properties(order, rng))
        if len(order.lines) > 1 and rng.random() < _SECOND_REFUND:
            yield _make_server_step(
                _draw_pause_ms(rng, _REFUNDED_MINUTES), "Order Refunded", refund_properties(order, rng)
            )


def repeat_order(client: VisitorClient, shop: DemoShop) -> Iterator[JourneyStep]:
    """Yield a purchase without page views: a subscription, or an order by phone."""
    currency = "USD" if client.country == "US" else "EUR"
    lines = ((shop.popularity.draw(), 1 + int(shop.rng.random() * 3)),)
    order = Order(f"o-{shop.rng.getrandbits(48):012x}", currency, lines)
    yield from follow_order(order, shop, confirm=True)


def _make_server_step(pause_ms: int, name: str, properties: dict[str, Any]) -> JourneyStep:
    return JourneyStep(pause_ms, "track", name, "", properties)


def _draw_pause_ms(rng: Random, mean: int) -> int:
    return 60_000 + int(-log(1 - rng.random()) * mean * 60_000)
