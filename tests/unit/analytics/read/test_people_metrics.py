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
    count_new,
    is_as_told,
    list_sessions,
    select_sessions,
)
from tests.unit.analytics.people_worlds import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    make_any_world,
    make_berlin,
    parse_instant,
)
from tests.unit.analytics.shop import make_engine_without_caches
from tests.unit.process.people.people_site import Seen


async def ask(shop: PeopleShop, metric: str, **parameters: str) -> Answer:
    query = parse_parameters(metric, [(name.removesuffix("_"), value) for name, value in parameters.items()])
    answer = (await shop.engine.answer("demo", [query]))[0]
    assert (await make_engine_without_caches(shop).answer("demo", [query]))[0].results == answer.results
    return answer


def find_span(answer: Answer, start: str | None = None, end: str | None = None) -> Span:
    start_ms, end_ms = parse_instant(start or answer.start), parse_instant(end or answer.end)
    return Span(start_ms, end_ms, datetime.fromtimestamp((end_ms - 1) / 1_000, ZoneInfo(answer.timezone)).date())


def list_days(answer: Answer) -> list[date]:
    first, last = datetime.fromisoformat(answer.start).date(), find_span(answer).last
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


@pytest.mark.parametrize("seed", range(10))
async def test_days_are_the_oracles(seed: int) -> None:
    shop, rng = make_any_world(seed)
    back, interval = rng.choice(["-3d", "-12d", "-20d"]), rng.choice(["day", "week", "month"])
    people = shop.find_truth()
    for metric, count in OF_DAYS.items():
        answer = await ask(shop, metric, from_=back, interval=interval)
        row = answer.results[0]
        starts = [time for time, _ in row.points]
        ends = [*starts[1:], answer.end]
        true = [count(people, find_span(answer, end=end).last) for end in ends]
        assert [number for _, number in row.points] == pytest.approx(true), metric
        assert row.total == pytest.approx(true[-1]), metric
        assert (answer.meta.exact, answer.meta.error) == (True, 0)
    answer = await ask(shop, "new_visitors", from_=back)
    assert answer.results[0].total == count_new(people, list_days(answer))


@pytest.mark.parametrize("seed", range(10))
async def test_sessions_are_the_oracles(seed: int) -> None:
    shop, rng = make_any_world(seed)
    back, compared = rng.choice(["-90m", "-20h", "-3d", "-20d"]), rng.random() < 0.5
    sessions = list_sessions(shop.find_truth())
    parameters = {"from_": back, "interval": "hour" if back == "-20h" else "none"}
    parameters |= {"compare": "previous_period"} if compared else {}
    for metric, count in OF_SESSIONS.items():
        answer = await ask(shop, metric, **parameters)
        row, span = answer.results[0], find_span(answer)
        assert is_as_told(metric, row.total, count(select_sessions(sessions, span))), metric
        for (time, value), end in zip(row.points, [*(t for t, _ in row.points[1:]), answer.end], strict=False):
            assert is_as_told(metric, value, count(select_sessions(sessions, find_span(answer, time, end)))), (
                metric,
                time,
            )
        if compared:
            before = Span(parse_instant(str(answer.previous_from)), parse_instant(str(answer.previous_to)), span.last)
            assert is_as_told(metric, row.previous, count(select_sessions(sessions, before))), metric
        by_source = await ask(shop, metric, **parameters, breakdown="source", country="DE")
        sources = {s.dimensions[0] for s in select_sessions(sessions, find_span(by_source), {"country": "DE"})}
        assert {r.dimensions["source"] for r in by_source.results if r.total is not None} <= sources
        for row in by_source.results:
            filters = {"country": "DE", **row.dimensions}
            assert is_as_told(metric, row.total, count(select_sessions(sessions, find_span(by_source), filters))), (
                filters
            )


async def test_a_window_that_reaches_ahead_shows_no_day_that_has_not_begun() -> None:
    shop = make_berlin()
    shop.visit(Seen(NOON - DAY, "u"))
    answer = await ask(shop, "weekly_active_users", from_="-1d", to="2026-11-23T11:00", interval="day")
    assert (answer.end, answer.results[0].total) == ("2026-11-23T00:00:00+01:00", 1)
    assert [number for _, number in answer.results[0].points] == [1, 1]
    shop.clock.at_ms += 7 * DAY
    assert (await ask(shop, "weekly_active_users")).results[0].total == 0
    assert (await ask(shop, "monthly_active_users")).results[0].total == 1


async def test_a_session_that_moves_leaves_its_old_bucket_and_what_was_kept_of_it() -> None:
    """All totals of the hour are what they were before: one session went, and another came."""
    shop = make_berlin()
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
    shop = make_berlin()
    shop.visit(Seen(NOON - HOUR, "u"), Seen(NOON - 3 * HOUR, "u"), Seen(NOON - MINUTE, "v", source="ios"))
    answer = await ask(shop, "sessions_per_visitor", from_="-1d", bots="include")
    assert (answer.results[0].total, answer.unit, answer.meta.exact) == (1.5, "number", False)
    by_source = await ask(shop, "sessions_per_visitor", from_="-1d", breakdown="source")
    assert {r.dimensions["source"]: r.total for r in by_source.results} == {"web": 2, "ios": 1}
    assert (await ask(shop, "sessions", bots="include")).results[0].total == 3


async def test_quantiles_say_how_exact_they_are_and_are_null_without_sessions() -> None:
    shop = make_berlin()
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
@pytest.mark.parametrize(("parameters", "field"), REFUSED, ids=lambda case: str(case))
async def test_days_are_those_of_the_project_only(metric: str, parameters: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        await ask(make_berlin(), metric, **parameters)
    assert error.value.field == field
    assert error.value.hint


async def test_the_projects_own_zone_may_be_named_and_quantiles_have_no_minutes() -> None:
    await ask(make_berlin(), "stickiness", timezone="Europe/Berlin")
    with pytest.raises(InvalidParameter, match="minute"):
        await ask(make_berlin(), "session_duration_median", interval="minute")
    assert (
        datetime.fromisoformat((await ask(make_berlin(), "active_users", from_="-1h")).start).astimezone(UTC).hour == 23
    )
