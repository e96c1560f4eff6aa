"""When records are sent, in milliseconds after the first.   simulate: [pace] → traffic.

Live runs are even. History follows the day of the project's time zone and ends having kept the average rate
exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import count, islice, takewhile

from rtaplatform.core.time.buckets import MINUTE_MS
from rtaplatform.core.time.zones import load_zone
from rtaplatform.simulate.shop.plan import TIME_ZONE, SimulationPlan

# How busy each local hour is, in any unit: quiet at night, a hill at noon, the summit in the evening.
_HOURS = (5, 3, 2, 2, 2, 3, 6, 10, 14, 17, 19, 21, 23, 22, 21, 21, 22, 24, 27, 30, 31, 27, 19, 10)


def slots(plan: SimulationPlan) -> Iterator[int]:
    """Yield one time per record, rising."""
    times = _even(plan) if plan.backfill_ms is None else _daily(plan, plan.backfill_ms)
    return times if plan.events_max is None else islice(times, plan.events_max)


def busyness(local: datetime) -> float:
    """Return how busy this local time is, going straight from one hour's value to the next."""
    here, ahead = _HOURS[local.hour], _HOURS[(local.hour + 1) % 24]
    return here + (ahead - here) * local.minute / 60


def _even(plan: SimulationPlan) -> Iterator[int]:
    step = 1000 / plan.events_per_second
    times = (int(number * step) for number in count())
    # At full speed the duration is the sender's: seconds of the wall clock, not of the events.
    if plan.duration_ms is None or plan.rate == 0:
        return times
    end = plan.duration_ms
    return takewhile(lambda time: time < end, times)


def _daily(plan: SimulationPlan, span_ms: int) -> Iterator[int]:
    minutes = max(1, span_ms // MINUTE_MS)
    weights = [_weight(plan.first_ms + minute * MINUTE_MS) for minute in range(minutes)]
    each = plan.events_per_second * span_ms / 1000 / sum(weights)
    expected, sent = 0.0, 0
    for minute, weight in enumerate(weights):
        expected += weight * each
        number = int(expected + 1e-6) - sent
        sent += number
        for position in range(number):
            yield minute * MINUTE_MS + position * MINUTE_MS // number


def _weight(time_ms: int) -> float:
    return busyness(datetime.fromtimestamp(time_ms / 1000, load_zone(TIME_ZONE)))
