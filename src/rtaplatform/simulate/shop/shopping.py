"""Carts and orders in the terms of Segment's e-commerce spec.   simulate: [shopping] → journey.

Money is counted in cents and written with two digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

_FREE_SHIPPING_CENTS = 5_000
_SHIPPING_CENTS = 490


@dataclass(frozen=True)
class Order:
    """An order. `lines` are products with quantities."""

    order_id: str
    currency: str
    lines: tuple[tuple[dict[str, Any], int], ...]

    @property
    def cents(self) -> int:
        """Return the sum of the lines."""
        return sum(round(product["price"] * 100) * quantity for product, quantity in self.lines)


def make_product_properties(product: dict[str, Any], currency: str, quantity: int = 1) -> dict[str, Any]:
    """Return the properties of one product in an event, also as a line of an order."""
    return {
        "product_id": product["id"],
        "name": product["name"],
        "category": product["category"],
        "brand": product["brand"],
        "price": product["price"],
        "quantity": quantity,
        "currency": currency,
    }


def make_order_properties(order: Order, *, single_line_at_root: bool) -> dict[str, Any]:
    """Return the properties of Order Completed. A single line may be at the root; several are in `products`."""
    shipping = 0 if order.cents >= _FREE_SHIPPING_CENTS else _SHIPPING_CENTS
    head = {
        "order_id": order.order_id,
        "revenue": order.cents / 100,
        "shipping": shipping / 100,
        "total": (order.cents + shipping) / 100,
        "currency": order.currency,
    }
    if single_line_at_root and len(order.lines) == 1:
        product, quantity = order.lines[0]
        return {**make_product_properties(product, order.currency, quantity), **head}
    return {**head, "products": make_order_lines(order)}


def make_checkout_properties(order: Order) -> dict[str, Any]:
    """Return the properties of Checkout Started."""
    value = order.cents / 100
    return {"order_id": order.order_id, "value": value, "currency": order.currency, "products": make_order_lines(order)}


def make_order_lines(order: Order) -> list[dict[str, Any]]:
    """Return the `products` of an event."""
    return [make_product_properties(product, order.currency, quantity) for product, quantity in order.lines]


def draw_order_properties(order: Order, rng: Random) -> dict[str, Any]:
    """Return the properties of Order Completed in one of the two forms that a single line may have."""
    return make_order_properties(order, single_line_at_root=rng.random() < 0.5)


def make_whole_refund(order: Order) -> dict[str, Any]:
    """Return the properties of Order Cancelled, or of an Order Refunded that pays everything back."""
    return {
        "order_id": order.order_id,
        "total": order.cents / 100,
        "currency": order.currency,
        "products": make_order_lines(order),
    }


def refund_properties(order: Order, rng: Random) -> dict[str, Any]:
    """Return the properties of Order Refunded, for the whole order or for one line."""
    line = order.lines[int(rng.random() * len(order.lines))]
    return make_whole_refund(order if rng.random() < 0.6 else Order(order.order_id, order.currency, (line,)))
