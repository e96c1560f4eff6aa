"""When records are sent, in milliseconds after the first.   simulate: [pace] → traffic.

A live run is even. History follows the hours of the day in the visitors' countries, and keeps the average rate exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice, takewhile

from rtaplatform.core.time.buckets import MINUTE_MS
from rtaplatform.simulate.shop.people.countries import measure_total_busyness
from rtaplatform.simulate.shop.plan import SimulationPlan

_QUARTER_MINUTES = 15  # within a quarter of an hour the busyness is taken for constant


def plan_slots(plan: SimulationPlan) -> Iterator[int]:
    """Yield one time per record, in rising order."""
    times = _space_evenly(plan) if plan.backfill_ms is None else _space_by_hour(plan, plan.backfill_ms)
    return times if plan.events_max is None else islice(times, plan.events_max)


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
    weights = _weigh_minutes(plan.first_ms, minutes)
    events_per_weight = plan.events_per_second * span_ms / 1000 / sum(weights)
    expected_count, count_before = 0.0, 0
    for minute, weight in enumerate(weights):
        expected_count += weight * events_per_weight
        number = int(expected_count + 1e-6) - count_before
        count_before += number
        for position in range(number):
            yield minute * MINUTE_MS + position * MINUTE_MS // number


def _weigh_minutes(first_ms: int, minutes: int) -> list[float]:
    """Return how busy each minute is."""
    quarters = [measure_total_busyness(first_ms + minute * MINUTE_MS) for minute in range(0, minutes, _QUARTER_MINUTES)]
    return [quarters[minute // _QUARTER_MINUTES] for minute in range(minutes)]
