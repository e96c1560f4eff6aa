"""The steps of a visitor.   simulate: visitors, popularity → [journey] → traffic.

A journey is an iterator of steps, each with the pause before it. It ends at each stage with the probability that real
shops see: about a third after the landing page, half with a full cart, a third in the checkout. The events that the
shop's servers send afterwards are a separate journey.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from random import Random
from typing import Any, NamedTuple

from rtaplatform.simulate.shop.popularity import Popularity
from rtaplatform.simulate.shop.shopping import (
    Order,
    checkout_properties,
    order_properties,
    product_properties,
    refund_properties,
)
from rtaplatform.simulate.shop.visitors import VisitorClient

_BOUNCE = 0.32
_BROWSE_ON = 0.72
_SEARCH = 0.2
_VIEW_NEXT = 0.6
_ADD = 0.24
_ADD_TWICE = 0.15
_REMOVE = 0.12
_CHECKOUT = 0.52
_ORDER = 0.64
_LOGIN_AT_LANDING = 0.3
_LOGIN_AT_CHECKOUT = 0.8
_LOGOUT = 0.15
_SERVER_CONFIRMS = 0.3
_SHIPPED = 0.9
_REFUND = 0.05
_DOLLARS_IN_US = 0.5
_SITE = "https://shop.example.com"
_SEARCHES = ("gift", "black", "winter", "sale", "organic", "light")


class JourneyStep(NamedTuple):
    """A future event. `name` is that of the event, page or screen; `path` is the page where it happens."""

    pause_ms: int
    type: str
    name: str
    path: str
    properties: dict[str, Any]
    order: Order | None = None


class DemoShop(NamedTuple):
    """The values that all journeys share. `confirms`: the shop's servers send events too."""

    popularity: Popularity
    rng: Random
    confirms: bool


def journey(client: VisitorClient, shop: DemoShop) -> Iterator[JourneyStep]:
    """Yield the steps of one session."""
    yield _page(client, shop, "Home" if shop.rng.random() < 0.6 else "Landing", "/")
    if shop.rng.random() < _BOUNCE:
        return
    yield from _login(client, shop, _LOGIN_AT_LANDING)
    currency = "USD" if client.country == "US" and shop.rng.random() < _DOLLARS_IN_US else "EUR"
    cart: list[tuple[dict[str, Any], int]] = []
    while True:
        yield from _browse(client, shop, currency, cart)
        if shop.rng.random() >= _BROWSE_ON:
            break
    if cart:
        order = Order(f"o-{shop.rng.getrandbits(48):012x}", currency, tuple(cart))
        yield from _buy(client, shop, order)
    if shop.rng.random() < _LOGOUT:
        client.is_logged_in = False


def after_sales(order: Order, shop: DemoShop, *, confirm: bool) -> Iterator[JourneyStep]:
    """Yield the events of the shop's servers about an order. They hold only the userId."""
    rng = shop.rng
    if confirm:
        yield _server(int(500 + rng.random() * 4_000), "Order Completed", _draw_order_properties(order, rng))
    if rng.random() < _SHIPPED:
        yield _server(_minutes(rng, 90), "Order Shipped", {"order_id": order.order_id})
    if rng.random() < _REFUND:
        yield _server(_minutes(rng, 600), "Order Refunded", refund_properties(order, rng))


def standing_order(client: VisitorClient, shop: DemoShop) -> Iterator[JourneyStep]:
    """Yield a purchase without page views: a subscription, or an order by phone."""
    currency = "USD" if client.country == "US" else "EUR"
    lines = ((shop.popularity.draw(), 1 + int(shop.rng.random() * 3)),)
    order = Order(f"o-{shop.rng.getrandbits(48):012x}", currency, lines)
    yield from after_sales(order, shop, confirm=True)


def _browse(
    client: VisitorClient, shop: DemoShop, currency: str, cart: list[tuple[dict[str, Any], int]]
) -> Iterator[JourneyStep]:
    rng = shop.rng
    product = shop.popularity.draw()
    category = product["category"]
    if rng.random() < _SEARCH:
        yield _track(rng, "Products Searched", "/search", {"query": _SEARCHES[int(rng.random() * len(_SEARCHES))]})
    else:
        yield _page(client, shop, category, f"/c/{category.lower()}")
        yield _track(rng, "Product List Viewed", f"/c/{category.lower()}", {"category": category})
    yield from _look_at(shop, product, currency, cart)
    while rng.random() < _VIEW_NEXT:
        yield from _look_at(shop, shop.popularity.draw(), currency, cart)


def _look_at(
    shop: DemoShop, product: dict[str, Any], currency: str, cart: list[tuple[dict[str, Any], int]]
) -> Iterator[JourneyStep]:
    rng, path = shop.rng, f"/p/{product['id'][2:]}"
    yield _track(rng, "Product Viewed", path, product_properties(product, currency))
    if rng.random() >= _ADD:
        return
    quantity = 2 if rng.random() < _ADD_TWICE else 1
    yield _track(rng, "Product Added", path, product_properties(product, currency, quantity))
    if rng.random() < _REMOVE:
        yield _track(rng, "Product Removed", "/cart", product_properties(product, currency, quantity))
    else:
        cart.append((product, quantity))


def _buy(client: VisitorClient, shop: DemoShop, order: Order) -> Iterator[JourneyStep]:
    rng = shop.rng
    yield _track(rng, "Cart Viewed", "/cart", {"value": order.cents / 100, "currency": order.currency})
    if rng.random() >= _CHECKOUT:
        return
    yield from _login(client, shop, _LOGIN_AT_CHECKOUT)
    yield _track(rng, "Checkout Started", "/checkout", checkout_properties(order))
    if rng.random() >= _ORDER:
        return
    is_confirmed_by_server = shop.confirms and client.is_logged_in and rng.random() < _SERVER_CONFIRMS
    if is_confirmed_by_server:
        yield _page(client, shop, "Thank You", "/thanks")._replace(order=order)
    else:
        yield _track(rng, "Order Completed", "/thanks", _draw_order_properties(order, rng))._replace(order=order)


def _login(client: VisitorClient, shop: DemoShop, probability: float) -> Iterator[JourneyStep]:
    if client.user_id is None or client.is_logged_in or shop.rng.random() >= probability:
        return
    client.is_logged_in = True
    yield JourneyStep(_think(shop.rng), "identify", "", "/login", {})


def _draw_order_properties(order: Order, rng: Random) -> dict[str, Any]:
    return order_properties(order, single_line_at_root=rng.random() < 0.5)


def _page(client: VisitorClient, shop: DemoShop, name: str, path: str) -> JourneyStep:
    if client.source == "web":
        return JourneyStep(_think(shop.rng), "page", name, path, {"path": path, "url": _SITE + path, "title": name})
    return JourneyStep(_think(shop.rng), "screen", name, path, {})


def _track(rng: Random, name: str, path: str, properties: dict[str, Any]) -> JourneyStep:
    return JourneyStep(_think(rng), "track", name, path, properties)


def _server(pause_ms: int, name: str, properties: dict[str, Any]) -> JourneyStep:
    return JourneyStep(pause_ms, "track", name, "", properties)


def _think(rng: Random) -> int:
    """The time spent on a page: 18 s on average, mostly shorter, never over 30 minutes within a session."""
    return min(1_700_000, 700 + int(-log(1 - rng.random()) * 18_000))


def _minutes(rng: Random, mean: int) -> int:
    return 60_000 + int(-log(1 - rng.random()) * mean * 60_000)
