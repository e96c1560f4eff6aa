"""Live answers about people: what is pushed and merged is the fresh answer, also where numbers fall."""

from __future__ import annotations

from random import Random

import pytest

from rtaplatform.analytics.ask.parse import parse_live
from rtaplatform.analytics.live.answer_changes import find_answer_changes
from rtaplatform.analytics.live.hub import LiveHub
from tests.unit.analytics.live.test_hub import as_json, merge
from tests.unit.analytics.live_news import wait_for_news
from tests.unit.analytics.people_shop import OF_SESSIONS, PeopleShop
from tests.unit.analytics.people_worlds import DAY, HOUR, MINUTE, NOON, make_berlin
from tests.unit.process.people.people_site import Seen

BY_SOURCE = parse_live([("metrics", ",".join(OF_SESSIONS)), ("from", "-3h"), ("country", "DE")])
OF_THE_DAY = parse_live([("metrics", "active_users,weekly_active_users,stickiness,new_visitors,sessions_per_visitor")])


@pytest.mark.parametrize("seed", range(6))
async def test_snapshot_plus_updates_is_the_fresh_answer(seed: int) -> None:
    rng, shop = Random(seed), make_berlin()
    last = (await shop.engine.reply("demo", BY_SOURCE)).answers
    merged_answers = as_json(last)
    for _ in range(12):
        shop.visit(*(_visit(rng) for _ in range(rng.choice([1, 4]))))
        answers = (await shop.engine.reply("demo", BY_SOURCE)).answers
        updates = find_answer_changes(last, answers)
        assert updates is not None
        merged_answers, last = merge(merged_answers, as_json(updates)), answers
        assert merged_answers == as_json(answers)


def _visit(rng: Random) -> Seen:
    """Late, and so that sessions are begun earlier, joined and united by logins."""
    device = rng.randrange(3)
    user = f"u{device}" if rng.random() < 0.3 else ""
    name = rng.choice(["Product Added", "Order Completed", "Product Viewed"])
    return Seen(NOON - rng.randrange(1, 170) * MINUTE, user, f"d{device}", name, rng.choice(["web", "ios"]))


async def test_a_number_that_falls_as_time_passes_is_pushed() -> None:
    shop = make_berlin()
    shop.visit(Seen(NOON - HOUR, "u"))
    hub = LiveHub(shop.engine, shop.reader, interval_ms=10)
    async with hub.listen("demo", OF_THE_DAY) as (live_query, version):
        assert _read_totals(version.answers) == [1, 1, 1, 1, 1]
        _pass(shop, DAY)
        live_query.touch()
        await wait_for_news(live_query)
        later = live_query.latest
        assert _read_totals(later.answers)[:3] == [0, 1, 0]
        _pass(shop, 7 * DAY)
        live_query.touch()
        await wait_for_news(live_query)
        assert _read_totals(live_query.latest.answers)[:3] == [0, 0, 0]


def _pass(shop: PeopleShop, ms: int) -> None:
    shop.clock.at_ms += ms


def _read_totals(answers: object) -> list[float | None]:
    return [answer["results"][0]["total"] for answer in as_json(answers)]
