"""When records are sent, in milliseconds after the first.   simulate: [pace] → traffic.

A live run is even. History follows the hours of the day in the project's time zone, and keeps the average rate exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import count, islice, takewhile

from rtaplatform.core.time.buckets import MINUTE_MS
from rtaplatform.core.time.zones import load_zone
from rtaplatform.simulate.shop.plan import TIME_ZONE, SimulationPlan

# How busy each local hour is, in any unit: quiet at night, a small peak at noon, the highest in the evening.
_HOURS = (5, 3, 2, 2, 2, 3, 6, 10, 14, 17, 19, 21, 23, 22, 21, 21, 22, 24, 27, 30, 31, 27, 19, 10)


def slots(plan: SimulationPlan) -> Iterator[int]:
    """Yield one time per record, in rising order."""
    times = _space_evenly(plan) if plan.backfill_ms is None else _space_by_hour(plan, plan.backfill_ms)
    return times if plan.events_max is None else islice(times, plan.events_max)


def busyness(local: datetime) -> float:
    """Return how busy this local time is, interpolated between the values of the hours."""
    weight, next_weight = _HOURS[local.hour], _HOURS[(local.hour + 1) % 24]
    return weight + (next_weight - weight) * local.minute / 60


def _space_evenly(plan: SimulationPlan) -> Iterator[int]:
    step = 1000 / plan.events_per_second
    times = (int(number * step) for number in count())
    # At full speed the sender applies the duration, because it is seconds of the wall clock and not of the events.
    if plan.duration_ms is None or plan.rate == 0:
        return times
    end = plan.duration_ms
    return takewhile(lambda time: time < end, times)


def _space_by_hour(plan: SimulationPlan, span_ms: int) -> Iterator[int]:
    minutes = max(1, span_ms // MINUTE_MS)
    weights = [_weight(plan.first_ms + minute * MINUTE_MS) for minute in range(minutes)]
    events_per_weight = plan.events_per_second * span_ms / 1000 / sum(weights)
    expected, count_before = 0.0, 0
    for minute, weight in enumerate(weights):
        expected += weight * events_per_weight
        number = int(expected + 1e-6) - count_before
        count_before += number
        for position in range(number):
            yield minute * MINUTE_MS + position * MINUTE_MS // number


def _weight(time_ms: int) -> float:
    return busyness(datetime.fromtimestamp(time_ms / 1000, load_zone(TIME_ZONE)))
