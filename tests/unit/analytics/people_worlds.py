"""Worlds of people that tests ask about: visits of 40 days in several zones, read in another order than time's."""

from __future__ import annotations

from copy import copy
from datetime import datetime
from functools import cache
from random import Random

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.freshness.tracker import FreshnessTracker
from rtaplatform.core.projects import ProjectSettings
from tests.unit.analytics.people_shop import PeopleShop
from tests.unit.process.people.people_site import Seen

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
ZONES = ("Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo", "UTC")
# A morning after the clocks of Berlin went back, of Lord Howe forward, a leap day's evening, an ordinary night.
MORNINGS = ("2026-10-25T09:00Z", "2026-10-04T21:10Z", "2028-02-29T20:00Z", "2026-11-22T23:58Z")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NAMES = ("Product Viewed", "Product Added", "Order Completed", "Checkout Started")


def parse_instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000)


NOON = parse_instant("2026-11-22T12:00+01:00")


def make_world(seed: int, now_ms: int, zone: str, week_start: str) -> PeopleShop:
    """People of the last 40 days, read in an order that is not that of time; some log in on several devices."""
    rng = Random(seed)
    shop = PeopleShop(ProjectSettings("demo", zone, "EUR", week_start=week_start), now_ms)
    events = []
    for _ in range(90):
        device = rng.randrange(8)
        back_ms = rng.choice([rng.randrange(3 * HOUR), rng.randrange(2 * DAY), rng.randrange(40 * DAY)])
        time_ms = now_ms - 1 - back_ms // MINUTE * MINUTE
        user = f"u{device % 3}" if device < 4 and rng.random() < 0.4 else ""
        for step in range(rng.choice([1, 1, 3, 6])):
            events.append(
                Seen(
                    min(now_ms - 1, time_ms + step * rng.choice([200, 40_000, 20 * MINUTE])), user, f"d{device}",
                    rng.choice(NAMES), rng.choice(["web", "web", "ios", "server"]), rng.choice(["DE", "AT"]),
                )
            )  # fmt: skip
    # Nothing is so late that a value would not take it.
    events.sort(key=lambda event: (event.time_ms // (12 * HOUR), rng.random()))
    while events:
        size = rng.choice([1, 3, 30])
        shop.visit(*events[:size])
        del events[:size]
    return shop


def make_any_world(seed: int) -> tuple[PeopleShop, Random]:
    """Read it only: others ask the same store, each with an engine of its own."""
    rng = Random(f"people {seed}")
    world = _make_world_once(seed, parse_instant(rng.choice(MORNINGS)), rng.choice(ZONES), rng.choice(WEEKDAYS))
    shop = copy(world)
    shop.freshness = FreshnessTracker()
    shop.engine = Engine(shop.reader, shop.freshness, shop.clock)
    return shop, rng


_make_world_once = cache(make_world)


def make_berlin() -> PeopleShop:
    return PeopleShop(ProjectSettings("demo", "Europe/Berlin", "EUR"), NOON)
