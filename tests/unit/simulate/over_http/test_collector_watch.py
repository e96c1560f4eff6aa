"""A collector that answers is waited for; one that gives no answer for too long is given up."""

from __future__ import annotations

from math import inf

import pytest

from rtaplatform.simulate.over_http.collector_watch import CollectorWatch
from rtaplatform.simulate.over_http.http_lane import NO_ANSWER


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def read(self) -> float:
        return self.seconds


def make_watch(clock: Clock, lines: list[str], away_seconds_max: float = 60) -> CollectorWatch:
    return CollectorWatch(lines.append, away_seconds_max, clock=clock.read)


@pytest.mark.parametrize("status", [NO_ANSWER, 502, 504])
def test_a_collector_that_gives_no_answer_for_too_long_is_lost(status: int) -> None:
    clock, lines = Clock(), list[str]()
    watch = make_watch(clock, lines)
    for clock.seconds in (100, 130, 159):
        watch.notice(status)
    assert not watch.is_lost
    clock.seconds = 160
    watch.notice(status)
    assert watch.is_lost
    assert lines == ["The collector is away; waiting for up to 60 s."]


def test_the_time_that_a_request_waited_for_no_answer_counts() -> None:
    clock = Clock()
    watch = make_watch(clock, [])
    clock.seconds = 100
    watch.notice(NO_ANSWER, 59)
    assert not watch.is_lost
    clock.seconds = 101
    watch.notice(NO_ANSWER, 1)
    assert watch.is_lost


def test_one_request_that_hangs_while_others_are_answered_is_no_absence() -> None:
    clock = Clock()
    watch = make_watch(clock, [], 20)
    for clock.seconds in range(1, 20):
        watch.notice(200)
    clock.seconds = 20
    watch.notice(NO_ANSWER, 20)
    assert not watch.is_lost
    clock.seconds = 39
    watch.notice(NO_ANSWER, 20)
    assert watch.is_lost


@pytest.mark.parametrize("status", [200, 429, 500, 503])
def test_any_answer_of_the_collector_ends_its_absence(status: int) -> None:
    clock = Clock()
    watch = make_watch(clock, [])
    for clock.seconds, heard in ((0, NO_ANSWER), (50, status), (400, NO_ANSWER), (459, NO_ANSWER)):
        watch.notice(heard)
    assert not watch.is_lost


def test_a_run_without_such_a_limit_waits_for_good() -> None:
    clock, lines = Clock(), list[str]()
    watch = make_watch(clock, lines, inf)
    for clock.seconds in (0, 1e9):
        watch.notice(NO_ANSWER)
    assert (watch.is_lost, lines) == (False, ["The collector is away; waiting."])


def test_each_change_is_said_once() -> None:
    lines = list[str]()
    watch = make_watch(Clock(), lines)
    for status in (200, 429, 429, 200, 200, 503, NO_ANSWER, 200):
        watch.notice(status)
    assert lines == [
        "The collector limits the rate; waiting as long as it says.",
        "The collector takes events again.",
        "The collector takes no events now; waiting for it.",
        "The collector takes events again.",
    ]
