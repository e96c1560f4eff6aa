"""Periods compared with an independent calendar, in zones with all kinds of clock changes."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from rtaplatform.analytics.ask.parse import parse_object
from rtaplatform.analytics.plan.period import Period, cut_period
from rtaplatform.core.errors import InvalidParameter
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time import calendar
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind
from tests.examples import count_examples
from tests.unit.analytics.plan.calendar_oracle import (
    convert_to_local,
    find_first_of_bucket,
    find_first_of_day,
    is_midnight,
    list_minutes_at,
    name_bucket,
)

KINDS = (BucketKind.MINUTE, BucketKind.HOUR, BucketKind.DAY)
ZONES = st.sampled_from(
    ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Santiago",
     "Africa/Cairo", "Asia/Beirut", "Pacific/Chatham")
)  # fmt: skip
FIRST, LAST = (int(datetime(year, 1, 1, tzinfo=ZoneInfo("UTC")).timestamp()) // 60 for year in (2023, 2029))
MINUTES = st.integers(FIRST, LAST)
KEPT_MINUTES, KEPT_HOURS = 48 * 60 + 1, 60 * 24 * 60 + 60


def find_minute(text: str, zone: str = "Europe/Berlin") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) // 60


def make_period(zone: str, now: int, **fields: Any) -> Period:
    query = parse_object({"metric": "events", **fields})
    return cut_period(query, ProjectSettings("demo", zone), now * MINUTE_MS, KINDS)


def make_period_or_none(zone: str, now: int, **fields: Any) -> Period | None:
    """None if the requested period is no longer kept in such small buckets."""
    try:
        return make_period(zone, now, **fields)
    except InvalidParameter as refused:
        if refused.field != "interval":
            raise
        return None


def format_minute(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, ZoneInfo("UTC")).isoformat()


@settings(max_examples=count_examples(150), deadline=None)
@given(
    ZONES, MINUTES, st.integers(1, 90 * 1_440), st.integers(0, 3_000),
    st.sampled_from(("minute", "hour", "day", "week", "month")), st.sampled_from(("monday", "sunday", "saturday")),
)  # fmt: skip
def test_each_point_but_the_last_is_a_whole_bucket(
    zone: str, now: int, back: int, length: int, interval: str, week_start: str
) -> None:
    start, end = now - back, min(now - back + 1 + length, now)
    assume(start < end)
    fields = {"from": format_minute(start), "to": format_minute(end), "interval": interval, "week_start": week_start}
    period = make_period_or_none(zone, now, **fields)
    if period is None:
        return
    assert period.start == find_first_of_bucket(start, interval, zone, week_start) == period.spans[0].start
    assert period.end >= end
    starts = [span.start for span in period.spans]
    for low, high in zip(starts, [*starts[1:], period.end], strict=True):
        name = name_bucket(low, interval, zone, week_start)
        assert (
            name_bucket(low - 1, interval, zone, week_start)
            != name
            == name_bucket(high - 1, interval, zone, week_start)
        )
    for following in starts[1:]:
        assert name_bucket(following - 1, interval, zone, week_start) != name_bucket(
            following, interval, zone, week_start
        )


@settings(max_examples=count_examples(150), deadline=None)
@given(ZONES, MINUTES, st.integers(1, 90 * 1_440), st.integers(0, 3_000))
def test_without_an_interval_both_ends_are_rounded_to_the_smallest_kept_bucket(
    zone: str, now: int, back: int, length: int
) -> None:
    start, end = now - back, min(now - back + 1 + length, now)
    assume(start < end)
    period = make_period(zone, now, **{"from": format_minute(start), "to": format_minute(end)})
    for size, reach in (("minute", KEPT_MINUTES), ("hour", KEPT_HOURS), ("day", 10**9)):
        first = find_first_of_bucket(start, size, zone, "monday")
        if first + reach > now:
            break
    assert period.start == first
    assert period.end == find_first_of_bucket(period.end, size, zone, "monday") >= end
    assert find_first_of_bucket(period.end - 1, size, zone, "monday") < end


@settings(max_examples=count_examples(150), deadline=None)
@given(ZONES, MINUTES, st.integers(0, 40), st.integers(1, 1_440))
@example("Europe/Berlin", find_minute("2026-10-25"), 0, 700)
@example("Africa/Cairo", find_minute("2024-04-26T01:00", "Africa/Cairo"), 1, 30)
def test_previous_period_from_midnight_has_the_same_hours_of_as_many_days(
    zone: str, minute: int, days: int, more: int
) -> None:
    """The smallest number of days that is at least the period's length."""
    first = convert_to_local(minute, zone).date()
    start, end = find_first_of_day(first, zone), find_first_of_day(first + timedelta(days=days), zone) + more
    low, high = calendar.find_previous_period(start, end, zone)
    shift = days + (0 if is_midnight(end, zone) else 1)
    if convert_to_local(end, zone).date() > first + timedelta(days=days):  # a short day has passed
        shift = (convert_to_local(end, zone).date() - first).days + (0 if is_midnight(end, zone) else 1)
    assert low == find_first_of_day(first - timedelta(days=shift), zone)
    assert low < high <= start
    wall = convert_to_local(end, zone).replace(tzinfo=None, fold=0) - timedelta(days=shift)
    if is_midnight(end, zone):
        assert high == start
    elif there := list_minutes_at(wall, zone):
        assert high in [*there, start]


@settings(max_examples=count_examples(100), deadline=None)
@given(ZONES, MINUTES, st.integers(1, 50_000))
def test_previous_period_from_another_time_is_as_long_and_adjacent(zone: str, start: int, length: int) -> None:
    assume(not is_midnight(start, zone))
    assert calendar.find_previous_period(start, start + length, zone) == (start - length, start)


@settings(max_examples=count_examples(150), deadline=None)
@given(ZONES, MINUTES, st.integers(1, 50_000))
@example("Europe/Berlin", find_minute("2028-02-29"), 1_440)
@example("Europe/Berlin", find_minute("2028-02-22"), 7 * 1_440)
@example("America/Santiago", find_minute("2026-09-06T01:00", "America/Santiago"), 1_440)
@example("America/Santiago", find_minute("2025-09-06", "America/Santiago"), 1_440)
def test_previous_year_has_the_same_local_dates_and_times(zone: str, start: int, length: int) -> None:
    low, high = calendar.find_previous_year(start, start + length, zone)
    for minute, year_before, leap_day in ((start, low, (2, 28)), (start + length, high, (3, 1))):
        wall = convert_to_local(minute, zone).replace(tzinfo=None, fold=0)
        month, day = leap_day if (wall.month, wall.day) == (2, 29) else (wall.month, wall.day)
        if is_midnight(minute, zone):
            assert year_before == find_first_of_day(date(wall.year - 1, month, day), zone)
            continue
        if there := list_minutes_at(wall.replace(year=wall.year - 1, month=month, day=day), zone):
            assert year_before in there


def find_before(start: str, end: str, compare: str, zone: str = "Europe/Berlin") -> tuple[str, str]:
    find = {"previous_period": calendar.find_previous_period, "previous_year": calendar.find_previous_year}[compare]
    low, high = find(find_minute(start, zone), find_minute(end, zone), zone)
    return tuple(f"{convert_to_local(minute, zone):%Y-%m-%dT%H:%M}" for minute in (low, high))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("start", "end", "low", "high"),
    [
        ("2026-11-22", "2026-11-22T13:00", "2026-11-21T00:00", "2026-11-21T13:00"),  # today so far
        ("2026-11-16", "2026-11-22T13:00", "2026-11-09T00:00", "2026-11-15T13:00"),  # the week so far
        ("2026-11-01", "2026-11-22T13:00", "2026-10-10T00:00", "2026-10-31T13:00"),  # the month so far
        ("2026-11-21", "2026-11-22", "2026-11-20T00:00", "2026-11-21T00:00"),
        ("2026-10-25", "2026-10-26", "2026-10-24T00:00", "2026-10-25T00:00"),  # a day of 25 hours
        ("2026-10-26", "2026-10-27", "2026-10-25T00:00", "2026-10-26T00:00"),
        ("2026-11-22T11:00", "2026-11-22T13:00", "2026-11-22T09:00", "2026-11-22T11:00"),
    ],
)
def test_a_previous_period(start: str, end: str, low: str, high: str) -> None:
    assert find_before(start, end, "previous_period") == (low, high)


@pytest.mark.parametrize(
    ("start", "end", "low", "high"),
    [
        ("2026-11-22", "2026-11-22T13:00", "2025-11-22T00:00", "2025-11-22T13:00"),
        ("2028-02-28", "2028-02-29", "2027-02-28T00:00", "2027-03-01T00:00"),
        ("2028-02-22", "2028-02-29", "2027-02-22T00:00", "2027-03-01T00:00"),
        ("2028-02-29", "2028-03-01", "2027-02-28T00:00", "2027-03-01T00:00"),
        ("2028-02-29", "2028-03-05", "2027-02-28T00:00", "2027-03-05T00:00"),
        ("2028-02-01", "2028-02-29T13:00", "2027-02-01T00:00", "2027-03-01T13:00"),
    ],
)
def test_a_previous_year(start: str, end: str, low: str, high: str) -> None:
    assert find_before(start, end, "previous_year") == (low, high)


@pytest.mark.parametrize(
    ("start", "interval", "first"),
    [("-2d", "day", "2026-11-20"), ("-7d", "day", "2026-11-15"), ("-4w", "week", "2026-10-19"),
     ("-1w", "month", "2026-11-01"), ("-90m", "hour", "2026-11-22T11:00")],
)  # fmt: skip
def test_first_point_is_a_whole_bucket(start: str, interval: str, first: str) -> None:
    period = make_period("Europe/Berlin", find_minute("2026-11-22T12:34"), **{"from": start, "interval": interval})
    assert period.start == period.spans[0].start == find_minute(first)


@pytest.mark.parametrize("interval", ["none", "hour", "day"])
@pytest.mark.parametrize("compare", [None, "previous_period"])
def test_period_of_an_answer_gives_the_same_answer_again(interval: str, compare: str | None) -> None:
    now = find_minute("2026-11-22T12:34")
    for start in ("-5m", "-47h", "-48h", "-50h", "-20d", "-59d", "-61d", "2026-11-22"):
        fields = {"interval": interval, "compare": compare}
        period = make_period_or_none("Europe/Berlin", now, **{"from": start, **fields})
        if period is not None:
            again = make_period(
                "Europe/Berlin", now, **{"from": format_minute(period.start), "to": format_minute(period.end), **fields}
            )
            assert replace(again, reasons=()) == replace(period, reasons=())


def test_total_has_few_tiles_whatever_the_points_are() -> None:
    period = make_period("Europe/Berlin", find_minute("2026-11-22T12:34"), **{"from": "-40h", "interval": "minute"})
    assert len(period.tiles) == 2_401
    assert len(period.whole) < 150


def test_day_skipped_by_a_zone_is_no_point() -> None:
    """Samoa had no 30 December 2011."""
    assert calendar.find_next_start(find_minute("2011-12-29", "Pacific/Apia"), "day", "Pacific/Apia") == find_minute(
        "2011-12-31", "Pacific/Apia"
    )
    assert find_first_of_day(date(2011, 12, 30), "Pacific/Apia") == find_minute("2011-12-31", "Pacific/Apia")


@pytest.mark.parametrize("compare", [None, "previous_period", "previous_year"])
@pytest.mark.parametrize("interval", ["hour", "day"])
def test_hours_of_a_zone_that_are_not_kept_are_refused_for_the_zone(interval: str, compare: str | None) -> None:
    """The comparison is not kept either, but a longer interval would not help: its buckets are refused, too."""
    fields = {"from": "-7d", "interval": interval, "timezone": "Asia/Kathmandu", "compare": compare}
    with pytest.raises(InvalidParameter) as refused:
        make_period("Europe/Berlin", find_minute("2026-11-22T12:34"), **fields)
    assert refused.value.field == "timezone"
    assert refused.value.allowed == ["Europe/Berlin"]


LORD_HOWE = "Australia/Lord_Howe"


@pytest.mark.parametrize("day", ["2026-04-07T12:10", "2026-10-06T12:10"])
def test_a_change_of_half_an_hour_is_named_as_the_reason_and_not_the_retention(day: str) -> None:
    now = find_minute(day, LORD_HOWE)
    question = {"from": "-3d", "to": "now", "compare": "previous_period"}
    with pytest.raises(InvalidParameter) as refused:
        make_period(LORD_HOWE, now, interval="hour", **question)
    assert refused.value.field == "interval"
    assert "changed by less than an hour" in refused.value.detail
    assert "60 days" not in refused.value.detail
    assert refused.value.hint == "Use interval=day, or leave out `compare`."
    (reason,) = make_period(LORD_HOWE, now, **question).reasons
    assert reason.startswith("`from` and `to` are whole days: smaller ones do not fall on the period before")


def test_hours_that_are_kept_no_more_are_still_named_as_the_reason() -> None:
    now = find_minute("2026-04-07T12:10", LORD_HOWE)
    question = {"from": "-31d", "to": "now", "compare": "previous_period"}
    with pytest.raises(InvalidParameter, match="60 days"):
        make_period(LORD_HOWE, now, interval="hour", **question)
    (reason,) = make_period(LORD_HOWE, now, **question).reasons
    assert reason.endswith("the period before is not kept in smaller buckets.")
