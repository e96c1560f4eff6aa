"""Sessions and active users over HTTP's engine, each number against a recount of the raw events."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from rtaplatform.analytics.ask.parse import parse_parameters
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.query import Answer
from tests.unit.analytics.people_shop import (
    OF_DAYS,
    OF_SESSIONS,
    PeopleShop,
    Span,
    is_as_told,
    new,
    sessions_in,
    sessions_of,
)
from tests.unit.analytics.people_worlds import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    any_world,
    berlin,
    instant,
)
from tests.unit.analytics.shop import keeping_nothing
from tests.unit.process.people.people_site import Seen


async def ask(shop: PeopleShop, metric: str, **given: str) -> Answer:
    query = parse_parameters(metric, [(name.removesuffix("_"), value) for name, value in given.items()])
    answer = (await shop.engine.answer("demo", [query]))[0]
    assert (await keeping_nothing(shop).answer("demo", [query]))[0].results == answer.results
    return answer


def span_of(answer: Answer, start: str | None = None, end: str | None = None) -> Span:
    start_ms, end_ms = instant(start or answer.start), instant(end or answer.end)
    return Span(start_ms, end_ms, datetime.fromtimestamp((end_ms - 1) / 1_000, ZoneInfo(answer.timezone)).date())


def days_in(answer: Answer) -> list[date]:
    first, last = datetime.fromisoformat(answer.start).date(), span_of(answer).last
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


@pytest.mark.parametrize("seed", range(10))
async def test_days_are_the_oracles(seed: int) -> None:
    shop, rng = any_world(seed)
    back, interval = rng.choice(["-3d", "-12d", "-20d"]), rng.choice(["day", "week", "month"])
    people = shop.truth()
    for metric, count in OF_DAYS.items():
        answer = await ask(shop, metric, from_=back, interval=interval)
        row = answer.results[0]
        starts = [time for time, _ in row.points]
        ends = [*starts[1:], answer.end]
        true = [count(people, span_of(answer, end=end).last) for end in ends]
        assert [number for _, number in row.points] == pytest.approx(true), metric
        assert row.total == pytest.approx(true[-1]), metric
        assert (answer.meta.exact, answer.meta.error) == (True, 0)
    answer = await ask(shop, "new_visitors", from_=back)
    assert answer.results[0].total == new(people, days_in(answer))


@pytest.mark.parametrize("seed", range(10))
async def test_sessions_are_the_oracles(seed: int) -> None:
    shop, rng = any_world(seed)
    back, compared = rng.choice(["-90m", "-20h", "-3d", "-20d"]), rng.random() < 0.5
    sessions = sessions_of(shop.truth())
    given = {"from_": back, "interval": "hour" if back == "-20h" else "none"}
    given |= {"compare": "previous_period"} if compared else {}
    for metric, count in OF_SESSIONS.items():
        answer = await ask(shop, metric, **given)
        row, span = answer.results[0], span_of(answer)
        assert is_as_told(metric, row.total, count(sessions_in(sessions, span))), metric
        for (time, told), end in zip(row.points, [*(t for t, _ in row.points[1:]), answer.end], strict=False):
            assert is_as_told(metric, told, count(sessions_in(sessions, span_of(answer, time, end)))), (metric, time)
        if compared:
            before = Span(instant(str(answer.previous_from)), instant(str(answer.previous_to)), span.last)
            assert is_as_told(metric, row.previous, count(sessions_in(sessions, before))), metric
        by_source = await ask(shop, metric, **given, breakdown="source", country="DE")
        found = {s.dimensions[0] for s in sessions_in(sessions, span_of(by_source), {"country": "DE"})}
        assert {r.dimensions["source"] for r in by_source.results if r.total is not None} <= found
        for row in by_source.results:
            filters = {"country": "DE", **row.dimensions}
            assert is_as_told(metric, row.total, count(sessions_in(sessions, span_of(by_source), filters))), filters


async def test_a_window_that_reaches_ahead_shows_no_day_that_has_not_begun() -> None:
    shop = berlin()
    shop.visit(Seen(NOON - DAY, "u"))
    answer = await ask(shop, "weekly_active_users", from_="-1d", to="2026-11-23T11:00", interval="day")
    assert (answer.end, answer.results[0].total) == ("2026-11-23T00:00:00+01:00", 1)
    assert [number for _, number in answer.results[0].points] == [1, 1]
    shop.clock.at_ms += 7 * DAY
    assert (await ask(shop, "weekly_active_users")).results[0].total == 0
    assert (await ask(shop, "monthly_active_users")).results[0].total == 1


async def test_a_session_that_moves_leaves_its_old_bucket_and_what_was_kept_of_it() -> None:
    """All totals of the hour are what they were before: one session went, and another came."""
    shop = berlin()
    shop.visit(Seen(NOON - HOUR + MINUTE, "u", source="web"))
    first = await ask(shop, "sessions", from_="-3h", breakdown="source", interval="hour")
    assert [row.dimensions["source"] for row in first.results] == ["web"]
    shop.visit(Seen(NOON - HOUR - 20 * MINUTE, "u", source="web"), Seen(NOON - HOUR + 2 * MINUTE, "v", source="ios"))
    answer = await ask(shop, "sessions", from_="-3h", breakdown="source", interval="hour")
    points = {row.dimensions["source"]: [n for _, n in row.points] for row in answer.results}
    assert points == {"web": [0, 1, 0, 0], "ios": [0, 0, 1, 0]}
    last_hour = await ask(shop, "sessions", from_="2026-11-22T11:00", breakdown="source")
    assert [row.dimensions["source"] for row in last_hour.results] == ["ios"]


async def test_bots_add_nothing_to_persons_and_sessions_per_visitor_is_estimated() -> None:
    shop = berlin()
    shop.visit(Seen(NOON - HOUR, "u"), Seen(NOON - 3 * HOUR, "u"), Seen(NOON - MINUTE, "v", source="ios"))
    answer = await ask(shop, "sessions_per_visitor", from_="-1d", bots="include")
    assert (answer.results[0].total, answer.unit, answer.meta.exact) == (1.5, "number", False)
    by_source = await ask(shop, "sessions_per_visitor", from_="-1d", breakdown="source")
    assert {r.dimensions["source"]: r.total for r in by_source.results} == {"web": 2, "ios": 1}
    assert (await ask(shop, "sessions", bots="include")).results[0].total == 3


async def test_quantiles_say_how_exact_they_are_and_are_null_without_sessions() -> None:
    shop = berlin()
    answer = await ask(shop, "session_duration_p95")
    assert (answer.results[0].total, answer.unit) == (None, "seconds")
    assert (answer.meta.exact, answer.meta.error) == (False, 0.05)
    shop.visit(Seen(NOON - HOUR, "u"), Seen(NOON - HOUR + 250, "u"))
    assert (await ask(shop, "session_duration_p95")).results[0].total == pytest.approx(0.25, rel=0.05)


REFUSED = [
    ({"timezone": "America/New_York"}, "timezone"), ({"interval": "hour"}, "interval"),
    ({"interval": "minute"}, "interval"), ({"source": "web"}, "source"), ({"breakdown": "country"}, "breakdown"),
]  # fmt: skip


@pytest.mark.parametrize("metric", [*OF_DAYS, "new_visitors"])
@pytest.mark.parametrize(("given", "field"), REFUSED, ids=lambda case: str(case))
async def test_days_are_those_of_the_project_only(metric: str, given: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        await ask(berlin(), metric, **given)
    assert error.value.field == field
    assert error.value.hint


async def test_the_projects_own_zone_may_be_named_and_quantiles_have_no_minutes() -> None:
    await ask(berlin(), "stickiness", timezone="Europe/Berlin")
    with pytest.raises(InvalidParameter, match="minute"):
        await ask(berlin(), "session_duration_median", interval="minute")
    assert datetime.fromisoformat((await ask(berlin(), "active_users", from_="-1h")).start).astimezone(UTC).hour == 23
