"""The steps of a visitor.   simulate: visitors, popularity → [journey] → traffic.

A journey is an iterator of steps, each with the pause before it. It ends at each stage with the probability that real
shops see: about a third after the landing page, half with a full cart, a third in the checkout. Now and then a visitor
leaves the page open and comes back to it after more than half an hour. The events that the shop's servers send
afterwards are a separate journey (`after_sales.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from random import Random
from typing import Any, NamedTuple

from rtaplatform.simulate.shop.people.visitors import VisitorClient
from rtaplatform.simulate.shop.popularity import Popularity
from rtaplatform.simulate.shop.shopping import (
    Order,
    draw_order_properties,
    make_checkout_properties,
    make_product_properties,
)

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
_RELOADS = 0.05
_AWAY = 0.015
_AWAY_MIN_MS, _AWAY_MEAN_MS = 31 * 60_000, 60 * 60_000
_DOLLARS_IN_US = 0.5
_SITE = "https://shop.example.com"
_SEARCHES = ("gift", "black", "winter", "sale", "organic", "light")


class JourneyStep(NamedTuple):
    """A future event. `name` is that of the event, page or screen; `path` is the page where it happens.

    `order`: it was placed with this step. `confirm`: then the shop's servers report it, too.
    """

    pause_ms: int
    type: str
    name: str
    path: str
    properties: dict[str, Any]
    order: Order | None = None
    confirm: bool = False


class DemoShop(NamedTuple):
    """The values that all journeys share. `confirms`: the shop's servers send events too.

    `double_reports`: the share of the orders of signed-in visitors that page and server both report.
    """

    popularity: Popularity
    rng: Random
    confirms: bool
    double_reports: float


def walk_shop(client: VisitorClient, shop: DemoShop) -> Iterator[JourneyStep]:
    """Yield the steps of one session."""
    yield _visit_page(client, shop, "Home" if shop.rng.random() < 0.6 else "Landing", "/")
    if shop.rng.random() < _BOUNCE:
        return
    yield from _sign_in(client, shop, _LOGIN_AT_LANDING)
    currency = "USD" if client.country == "US" and shop.rng.random() < _DOLLARS_IN_US else "EUR"
    cart: list[tuple[dict[str, Any], int]] = []
    while True:
        steps = _browse(client, shop, currency, cart)
        if shop.rng.random() < _AWAY:
            yield next(steps)._replace(pause_ms=_stay_away(shop.rng))
        yield from steps
        if shop.rng.random() >= _BROWSE_ON:
            break
    if cart:
        order = Order(f"o-{shop.rng.getrandbits(48):012x}", currency, tuple(cart))
        yield from _buy(client, shop, order)
    if shop.rng.random() < _LOGOUT:
        client.log_out(shop.rng)


def _browse(
    client: VisitorClient, shop: DemoShop, currency: str, cart: list[tuple[dict[str, Any], int]]
) -> Iterator[JourneyStep]:
    rng = shop.rng
    product = shop.popularity.draw()
    category = product["category"]
    if rng.random() < _SEARCH:
        yield _track(rng, "Products Searched", "/search", {"query": _SEARCHES[int(rng.random() * len(_SEARCHES))]})
    else:
        yield _visit_page(client, shop, category, f"/c/{category.lower()}")
        yield _track(rng, "Product List Viewed", f"/c/{category.lower()}", {"category": category})
    yield from _look_at(shop, product, currency, cart)
    while rng.random() < _VIEW_NEXT:
        yield from _look_at(shop, shop.popularity.draw(), currency, cart)


def _look_at(
    shop: DemoShop, product: dict[str, Any], currency: str, cart: list[tuple[dict[str, Any], int]]
) -> Iterator[JourneyStep]:
    rng, path = shop.rng, f"/p/{product['id'][2:]}"
    yield _track(rng, "Product Viewed", path, make_product_properties(product, currency))
    if rng.random() >= _ADD:
        return
    quantity = 2 if rng.random() < _ADD_TWICE else 1
    yield _track(rng, "Product Added", path, make_product_properties(product, currency, quantity))
    if rng.random() < _REMOVE:
        yield _track(rng, "Product Removed", "/cart", make_product_properties(product, currency, quantity))
    else:
        cart.append((product, quantity))


def _buy(client: VisitorClient, shop: DemoShop, order: Order) -> Iterator[JourneyStep]:
    rng = shop.rng
    yield _track(rng, "Cart Viewed", "/cart", {"value": order.cents / 100, "currency": order.currency})
    if rng.random() >= _CHECKOUT:
        return
    yield from _sign_in(client, shop, _LOGIN_AT_CHECKOUT)
    yield _track(rng, "Checkout Started", "/checkout", make_checkout_properties(order))
    if rng.random() >= _ORDER:
        return
    yield from _place_order(client, shop, order)


def _place_order(client: VisitorClient, shop: DemoShop, order: Order) -> Iterator[JourneyStep]:
    """The thank-you page, which reports the order, or leaves that to the server, or both do. Some load it again."""
    rng = shop.rng
    chance = rng.random() if shop.confirms and client.is_logged_in else 1.0
    if chance < _SERVER_CONFIRMS:
        yield _visit_page(client, shop, "Thank You", "/thanks")._replace(order=order, confirm=True)
        return
    report = _track(rng, "Order Completed", "/thanks", draw_order_properties(order, rng))
    yield report._replace(order=order, confirm=chance < _SERVER_CONFIRMS + shop.double_reports)
    while rng.random() < _RELOADS:
        yield report._replace(pause_ms=_think(rng))


def _sign_in(client: VisitorClient, shop: DemoShop, probability: float) -> Iterator[JourneyStep]:
    if client.user_id is None or client.is_logged_in or shop.rng.random() >= probability:
        return
    client.is_logged_in = True
    if client.habits.aliases:
        yield JourneyStep(_think(shop.rng), "alias", "", "/login", {})
    yield JourneyStep(_think(shop.rng), "identify", "", "/login", {})


def _visit_page(client: VisitorClient, shop: DemoShop, name: str, path: str) -> JourneyStep:
    if client.source == "web":
        return JourneyStep(_think(shop.rng), "page", name, path, {"path": path, "url": _SITE + path, "title": name})
    return JourneyStep(_think(shop.rng), "screen", name, path, {})


def _track(rng: Random, name: str, path: str, properties: dict[str, Any]) -> JourneyStep:
    return JourneyStep(_think(rng), "track", name, path, properties)


def _think(rng: Random) -> int:
    """The time spent on a page: 18 s on average, mostly shorter, never over 30 minutes within a session."""
    return min(1_700_000, 700 + int(-log(1 - rng.random()) * 18_000))


def _stay_away(rng: Random) -> int:
    """The time in which a visitor leaves the page open and does something else: half an hour to some hours."""
    return _AWAY_MIN_MS + int(-log(1 - rng.random()) * _AWAY_MEAN_MS)
