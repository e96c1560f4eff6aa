"""Answers at the edges of time, beside a recount of the events by what the clock on the wall says.

A site in each zone has an event every quarter of an hour around an edge: a change of clocks, the turn of a year, a leap
day. Questions are asked in the site's zone and in others. The recount knows minutes and wall clocks
(calendar_oracle.py) and nothing of buckets.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from msgspec.structs import replace

from rtaplatform.analytics.ask.parse import parse_parameters
from rtaplatform.core.errors import InvalidParameter
from tests.unit.analytics.plan.calendar_oracle import WEEK, convert_to_local, find_first_of_bucket, name_bucket
from tests.unit.analytics.shop import PROJECT, Happening, Shop

MINUTE_MS = 60_000
QUARTERS = 4 * 24 * 5  # of an hour, before the edge and after it
EDGES = {
    "Europe/Berlin": ("2026-03-29T03:00", "2026-10-25T03:00", "2028-02-29T00:00", "2027-01-01T00:00"),
    "America/New_York": ("2026-03-08T03:00", "2026-11-01T01:00"),
    "Australia/Lord_Howe": ("2026-04-05T01:30", "2026-10-04T02:30"),  # half an hour of daylight saving
    "Asia/Kathmandu": ("2026-11-22T00:00",),
    "America/Santiago": ("2026-09-06T01:00", "2026-04-05T00:00"),  # midnight is skipped, or comes twice
    "Africa/Cairo": ("2026-04-24T01:00", "2026-10-30T00:00"),
}
CASES = [(zone, edge) for zone, edges in EDGES.items() for edge in edges]
SITES: dict[tuple[str, str], tuple[Shop, list[int]]] = {}


def find_minute(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) // 60


def make_site(zone: str, edge: str, hours_after: float = 30) -> tuple[Shop, list[int]]:
    """The shop, and the minutes of its events. Its clock stands some hours after the edge."""
    if (zone, edge) not in SITES:
        middle = find_minute(edge, zone)
        # One minute before each quarter, and the quarter itself.
        minutes = [middle + 15 * n + at for n in range(-QUARTERS, QUARTERS) for at in (-1, 0)]
        shop = Shop(replace(PROJECT, zone=zone))
        shop.take(Happening(minute * MINUTE_MS + 59_999 * (minute % 2)) for minute in minutes)
        SITES[zone, edge] = shop, minutes
    shop, minutes = SITES[zone, edge]
    shop.clock.at_ms = int((find_minute(edge, zone) + 60 * hours_after) * MINUTE_MS)
    return shop, minutes


async def ask(shop: Shop, **parameters: str) -> Any:
    pairs = [({"start": "from", "end": "to"}.get(name, name), value) for name, value in parameters.items()]
    answers = await shop.engine.answer("demo", [parse_parameters("events", pairs)])
    return msgspec.json.decode(msgspec.json.encode(answers[0]))


def to_minute(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) // 60


def check(answer: Any, minutes: list[int], interval: str, zone: str, week_start: str = "monday") -> None:
    """Every point has the events of its bucket on the wall's clock, and the total those of the period."""
    start, end = to_minute(answer["from"]), to_minute(answer["to"])
    result = answer["results"][0]
    within = [minute for minute in minutes if start <= minute < end]
    assert result["total"] == len(within)
    if interval == "none":
        return
    counts: dict[object, int] = {}
    for minute in within:
        name = name_bucket(minute, interval, zone, week_start)
        counts[name] = counts.get(name, 0) + 1
    starts = [to_minute(text) for text, _ in result["points"]]
    assert starts[0] == start
    names = [name_bucket(at, interval, zone, week_start) for at in starts]
    assert [number for _, number in result["points"]] == [counts.pop(name, 0) for name in names]
    assert not counts, "every event is in a point"
    assert all(find_first_of_bucket(at, interval, zone, week_start) == at for at in starts)
    assert all(
        f"{convert_to_local(at, zone):%Y-%m-%dT%H:%M}" == text[:16]
        for at, (text, _) in zip(starts, result["points"], strict=True)
    )


@pytest.mark.parametrize("interval", ["none", "hour", "day", "week", "month"])
@pytest.mark.parametrize(("zone", "edge"), CASES)
async def test_around_an_edge_every_point_is_a_recount(zone: str, edge: str, interval: str) -> None:
    shop, minutes = make_site(zone, edge)
    for start in ("-3d", "-47h", "-90m"):
        check(await ask(shop, start=start, interval=interval), minutes, interval, zone)
    shop, minutes = make_site(zone, edge, hours_after=24 * 50)  # hours alone are kept
    answer = await ask(shop, start="-54d", end="-46d", interval=interval)
    check(answer, minutes, interval, zone)
    shop, minutes = make_site(zone, edge, hours_after=24 * 100)  # days alone
    if interval != "hour":
        check(await ask(shop, start="-104d", end="-96d", interval=interval), minutes, interval, zone)


@pytest.mark.parametrize("week_start", WEEK)
@pytest.mark.parametrize(("zone", "edge"), [(zone, edges[0]) for zone, edges in EDGES.items()])
async def test_a_week_may_start_on_any_day(zone: str, edge: str, week_start: str) -> None:
    shop, minutes = make_site(zone, edge)
    check(await ask(shop, start="-2w", interval="week", week_start=week_start), minutes, "week", zone, week_start)


@pytest.mark.parametrize("zone", ["UTC", *EDGES])
@pytest.mark.parametrize(("home", "edge"), CASES)
async def test_another_zone_is_exact_while_minutes_are_kept(home: str, edge: str, zone: str) -> None:
    shop, minutes = make_site(home, edge, hours_after=20)
    for interval in ("hour", "day"):
        check(await ask(shop, start="-22h", interval=interval, timezone=zone), minutes, interval, zone)


@pytest.mark.parametrize("interval", ["hour", "day", "week"])
@pytest.mark.parametrize("zone", ["UTC", *EDGES])
@pytest.mark.parametrize(("home", "edge"), CASES)
async def test_later_another_zone_is_exact_if_its_buckets_begin_with_hours_of_home(
    home: str, edge: str, zone: str, interval: str
) -> None:
    """Otherwise the answer is refused, and says which zone can be asked in."""
    shop, minutes = make_site(home, edge, hours_after=24 * 20)
    now = shop.clock.at_ms // MINUTE_MS
    start, end = now - 23 * 1_440, now - 18 * 1_440
    first = find_first_of_bucket(start, interval, zone, "monday")
    quarters = range(start - start % 15 + 15, end, 15)  # every offset is a multiple of a quarter of an hour
    names = [name_bucket(minute - at, interval, zone, "monday") for minute in quarters for at in (1, 0)]
    begins = [first, *(at for at, last, name in zip(quarters, names[::2], names[1::2], strict=True) if last != name)]
    fits = all(find_first_of_bucket(at, "hour", home, "monday") == at for at in begins)
    parameters = {"start": f"-{23}d", "end": "-18d", "interval": interval, "timezone": zone}
    if fits:
        check(await ask(shop, **parameters), minutes, interval, zone)
    else:
        with pytest.raises(InvalidParameter) as refused:
            await ask(shop, **parameters)
        assert (refused.value.field, refused.value.allowed) == ("timezone", [home])


@pytest.mark.parametrize("compare", ["previous_period", "previous_year"])
@pytest.mark.parametrize(("zone", "edge"), CASES)
async def test_a_comparison_counts_the_period_that_it_names(zone: str, edge: str, compare: str) -> None:
    shop, minutes = make_site(zone, edge)
    day = f"{convert_to_local(find_minute(edge, zone), zone):%Y-%m-%d}"
    for start, end in ((day, "now"), ("-3h", "now"), (day, f"{day}T05:00"), ("-30h", "-2h")):
        answer = await ask(shop, start=start, end=end, compare=compare)
        check(answer, minutes, "none", zone)
        low, high = to_minute(answer["previous_from"]), to_minute(answer["previous_to"])
        expected = sum(low <= minute < high for minute in minutes)
        assert answer["results"][0]["previous"] == expected
