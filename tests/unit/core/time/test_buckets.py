"""Buckets: minutes in UTC, hours and days in the project's zone, across changes of its clock."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtaplatform.core.time.buckets import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    RETENTION_MS,
    BucketKind,
    compute_expiry_s,
    find_bucket_starts,
    is_kept,
)
from rtaplatform.simulate.oracle import oracle_calendar
from tests.examples import count_examples

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia",
    "America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut", "America/Asuncion", "Pacific/Chatham", "America/St_Johns",
]  # fmt: skip


def find_minute(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) // 60


@pytest.mark.parametrize(
    ("zone", "at", "hour", "day"),
    [
        ("UTC", "2026-11-22T10:34", "2026-11-22T10:00", "2026-11-22T00:00"),
        ("Asia/Kolkata", "2026-11-22T10:29", "2026-11-22T09:30", "2026-11-21T18:30"),
        ("Asia/Kolkata", "2026-11-22T10:30", "2026-11-22T10:30", "2026-11-21T18:30"),
        ("Asia/Kathmandu", "2026-11-22T18:14", "2026-11-22T17:15", "2026-11-21T18:15"),
        # Berlin: one hour too few in March, one too many in October.
        ("Europe/Berlin", "2026-03-29T00:59", "2026-03-29T00:00", "2026-03-28T23:00"),
        ("Europe/Berlin", "2026-03-29T01:00", "2026-03-29T01:00", "2026-03-28T23:00"),
        ("Europe/Berlin", "2026-03-29T22:00", "2026-03-29T22:00", "2026-03-29T22:00"),
        ("Europe/Berlin", "2026-10-25T00:30", "2026-10-25T00:00", "2026-10-24T22:00"),
        ("Europe/Berlin", "2026-10-25T01:30", "2026-10-25T01:00", "2026-10-24T22:00"),
        # Lord Howe moves by half an hour: at 2:00 to 2:30, and in April from 2:00 back to 1:30.
        ("Australia/Lord_Howe", "2026-10-03T15:29", "2026-10-03T14:30", "2026-10-03T13:30"),
        ("Australia/Lord_Howe", "2026-10-03T15:31", "2026-10-03T15:30", "2026-10-03T13:30"),
        ("Australia/Lord_Howe", "2026-04-04T14:59", "2026-04-04T14:00", "2026-04-04T13:00"),
        ("Australia/Lord_Howe", "2026-04-04T15:29", "2026-04-04T15:00", "2026-04-04T13:00"),
        ("Australia/Lord_Howe", "2026-04-04T15:31", "2026-04-04T15:30", "2026-04-04T13:00"),
        # A midnight that is skipped: the day begins at 1:00.
        ("America/Sao_Paulo", "2018-11-04T03:30", "2018-11-04T03:00", "2018-11-04T03:00"),
        ("Africa/Cairo", "2026-04-23T22:30", "2026-04-23T22:00", "2026-04-23T22:00"),
        # A midnight that comes twice belongs to one day, which begins with the first.
        ("America/Sao_Paulo", "2018-02-18T02:30", "2018-02-18T02:00", "2018-02-17T02:00"),
        # Apia left out the 30th of December 2011.
        ("Pacific/Apia", "2011-12-30T09:59", "2011-12-30T09:00", "2011-12-29T10:00"),
        ("Pacific/Apia", "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-30T10:00"),
    ],
)
def test_hours_and_days_are_local(zone: str, at: str, hour: str, day: str) -> None:
    assert find_bucket_starts(find_minute(at), zone) == (find_minute(at), find_minute(hour), find_minute(day))


@given(st.integers(find_minute("1980-01-01"), find_minute("2037-12-31")), st.sampled_from(ZONES))
@settings(max_examples=count_examples(300))
def test_buckets_are_the_oracles(at: int, zone: str) -> None:
    starts = oracle_calendar.find_bucket_starts(at * MINUTE_MS, zone)
    assert find_bucket_starts(at, zone) == (starts["minute"], starts["hour"], starts["day"])


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("month", ["2026-03-05", "2026-04-01", "2026-10-01", "2026-10-24", "2011-12-28", "2018-11-02"])
def test_buckets_follow_each_other_and_lie_in_one_another(zone: str, month: str) -> None:
    begin = find_minute(month)
    buckets = [find_bucket_starts(at, zone) for at in range(begin, begin + 4 * 1_440)]
    for before, after in pairwise(buckets):
        for start, last in ((after.hour, before.hour), (after.day, before.day)):
            assert start in (last, after.minute)  # the same bucket, or a new one that begins here
        assert after.day <= after.hour <= after.minute


@pytest.mark.parametrize("kind", list(BucketKind))
def test_a_bucket_is_kept_up_to_its_retention_and_expires_later(kind: BucketKind) -> None:
    start = find_minute("2026-11-22T10:00")
    end_ms = start * MINUTE_MS + RETENTION_MS[kind]
    assert is_kept(kind, start, end_ms - 1)
    assert not is_kept(kind, start, end_ms)
    length_ms = {BucketKind.MINUTE: MINUTE_MS, BucketKind.HOUR: HOUR_MS, BucketKind.DAY: DAY_MS}[kind]
    assert compute_expiry_s(kind, start) * 1000 >= end_ms + length_ms


def test_retention_is_as_the_rules_say() -> None:
    assert RETENTION_MS[BucketKind.MINUTE] == 48 * HOUR_MS + MINUTE_MS
    assert RETENTION_MS[BucketKind.HOUR] == 60 * DAY_MS + HOUR_MS
    assert RETENTION_MS[BucketKind.DAY] == 400 * DAY_MS
