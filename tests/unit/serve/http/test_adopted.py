"""After `rta topics adopt` the API's `meta` says at once that answers are whole again."""

from __future__ import annotations

from typing import Any

from rtaplatform.analytics.freshness.log_ends import LogInstant
from rtaplatform.process.rebuild.adoption import adopt
from rtaplatform.stream.port import OffsetRange, Partition
from tests.unit.analytics.catalog import Catalog
from tests.unit.analytics.shop import NOON, PLACE, Happening, Shop
from tests.unit.serve.parts_of_tests import Site

WEB = Partition("rta.events.web", 0)


async def test_a_truncated_log_that_was_adopted_leaves_no_answer_incomplete() -> None:
    shop = Shop(catalog=Catalog({}))
    site = Site(shop)
    shop.take(Happening(NOON - 1_000) for _ in range(100))
    note_end(shop, 100)
    assert (await read_meta(site))["complete"]
    note_end(shop, 90)  # the log has lost its end, and the worker has stopped
    shop.store.set_stop(0, str(WEB), "truncated")
    assert not (await read_meta(site))["complete"]
    accept(shop, OffsetRange(PLACE, 0, 90, 4))
    shop.clock.at_ms += 1_000
    note_end(shop, 90)
    meta_now = await read_meta(site)
    assert (meta_now["complete"], meta_now["lag_ms"]) == (True, 0)


def note_end(shop: Shop, end: int) -> None:
    now = shop.clock()
    shop.freshness.sample(LogInstant(now.wall_ms, now.monotonic_s), {PLACE: end})


def accept(shop: Shop, extent: OffsetRange) -> None:
    state: Any = shop.store.read_state(0)
    adoption = adopt(WEB, extent, state)
    assert adoption is not None
    gaps = {adoption.origin: adoption.gap}
    assert shop.store.adopt(0, state.generation, WEB.topic, PLACE.topic_id, [adoption.move], gaps)
    shop.store.set_stop(0, str(WEB), "")


async def read_meta(site: Site) -> dict[str, object]:
    reply = await site.ask("GET", "/v1/metrics/events")
    assert reply.status == 200
    content: dict[str, object] = reply.json["meta"]
    return content
