from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.analytics.plan.tiling import FINEST_FIRST, Tile, find_finest_kept, tile_range
from rtaplatform.core.time import calendar
from rtaplatform.core.time.buckets import MINUTE_MS, BucketKind, find_bucket_starts
from rtaplatform.simulate.oracle import oracle_calendar
from tests.examples import count_examples

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo")
YEAR = 365 * 24 * 60
NOW = 1_795_345_200_000 // MINUTE_MS
NAMES = {BucketKind.MINUTE: "minute", BucketKind.HOUR: "hour", BucketKind.DAY: "day"}
HOUR, DAY = 60, 24 * 60


def takes_late_events(kind: BucketKind, start: int, now_ms: int) -> bool:
    """By the oracle, which the workers must agree with."""
    return oracle_calendar.is_kept(NAMES[kind], start, now_ms)


def find_end(tile: Tile, zone: str) -> int:
    return calendar.find_next_of_kind(tile[1], tile[0], zone)


@settings(max_examples=count_examples(60), deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    start=st.integers(NOW - 2 * YEAR, NOW),
    length=st.integers(1, 5 * 24 * 60),
    age=st.integers(0, 90 * 24 * 60),
)
def test_tiles_are_disjoint_cover_exactly_and_are_kept(zone: str, start: int, length: int, age: int) -> None:
    now_ms = (start + length + age) * MINUTE_MS
    tiles = tile_range(start, start + length, zone=zone, now_ms=now_ms)
    if tiles is None:
        # There is no tiling only where an edge lies inside the finest bucket that is kept.
        assert not takes_late_events(BucketKind.MINUTE, start, now_ms)
        return
    assert tiles[0][1] == start
    assert [find_end(tile, zone) for tile in tiles] == [at for _, at in tiles[1:]] + [start + length]
    for kind, at in tiles:
        starts = find_bucket_starts(at, zone)
        assert at == {BucketKind.MINUTE: starts.minute, BucketKind.HOUR: starts.hour, BucketKind.DAY: starts.day}[kind]
        assert kind is BucketKind.DAY or takes_late_events(kind, at, now_ms)


@settings(max_examples=count_examples(200), deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    now_ms=st.integers((NOW - YEAR) * MINUTE_MS, NOW * MINUTE_MS),
    age=st.sampled_from((48 * HOUR - 1, 48 * HOUR, 48 * HOUR + 1, 60 * DAY - HOUR, 60 * DAY, 60 * DAY + HOUR)),
)
def test_a_period_begins_in_a_bucket_that_still_takes_late_events(zone: str, now_ms: int, age: int) -> None:
    start = now_ms // MINUTE_MS - age
    kind = find_finest_kept(start, zone, now_ms)
    assert kind is BucketKind.DAY or takes_late_events(kind, calendar.round_down_to_kind(start, kind, zone), now_ms)
    assert age > 48 * HOUR or kind is BucketKind.MINUTE
    assert age > 60 * DAY or kind is not BucketKind.DAY


@settings(max_examples=count_examples(60), deadline=None)
@given(zone=st.sampled_from(ZONES), start=st.integers(NOW - 2 * YEAR, NOW), length=st.integers(1, 1500))
def test_whole_hours_and_days_are_one_tile_each(zone: str, start: int, length: int) -> None:
    tiles = tile_range(start, start + length, zone=zone, now_ms=start * MINUTE_MS) or []
    # As coarse as possible: never an hour's worth of minutes from an hour's start, nor a day's of hours.
    for (kind, at), following in zip(tiles, [at for _, at in tiles[1:]], strict=False):
        if kind is BucketKind.MINUTE and find_bucket_starts(at, zone).hour == at:
            assert calendar.find_next_of_kind(at, BucketKind.HOUR, zone) > start + length
        assert following > at


@settings(max_examples=count_examples(80), deadline=None)
@given(
    zone=st.sampled_from((*ZONES, "Pacific/Apia", "Africa/Casablanca")),
    minute=st.integers(NOW - 20 * YEAR, NOW),
    interval=st.sampled_from(("minute", "hour", "day", "week", "month")),
    week_start=st.sampled_from(("monday", "sunday")),
)
def test_interval_buckets_follow_one_another(zone: str, minute: int, interval: str, week_start: str) -> None:
    start = calendar.round_down_to(minute, interval, zone, week_start)
    following = calendar.find_next_start(start, interval, zone, week_start)
    assert start <= minute < following
    assert calendar.round_down_to(following - 1, interval, zone, week_start) == start
    assert calendar.round_down_to(following, interval, zone, week_start) == following


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", (2026, 3, 29), 23),
        ("Europe/Berlin", (2026, 10, 25), 25),
        ("America/New_York", (2026, 3, 8), 23),
    ],
)
def test_a_day_of_clock_change_is_one_tile_of_its_own_length(zone: str, day: tuple[int, int, int], hours: int) -> None:
    from datetime import date

    start = calendar.find_midnight(date(*day), zone)
    following = calendar.find_next_of_kind(start, BucketKind.DAY, zone)
    assert following - start == hours * 60
    assert tile_range(start, following, zone=zone, now_ms=following * MINUTE_MS) == [(BucketKind.DAY, start)]
    assert ZoneInfo(zone)


def test_only_the_kinds_that_exist_are_used() -> None:
    assert tile_range(NOW + 1, NOW + 2, zone="UTC", now_ms=NOW * MINUTE_MS, kinds=FINEST_FIRST[1:]) is None
