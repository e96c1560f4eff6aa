"""One run of the simulator: traffic → sender, at the plan's pace, until its end or until it is stopped.

Promise: within five seconds after a stop, every record in flight is acknowledged or counted as unsent, and the truth is
written. Limits: the pace follows the wall clock, so after an outage or a suspend the run catches up at full speed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.settings import KafkaSettings
from rtaplatform.simulate.progress import Progress
from rtaplatform.simulate.sender import Notify, Sender, read_partition_counts
from rtaplatform.simulate.sent_truth import SentLog, SentTruth, read_log_ends
from rtaplatform.simulate.shop.demo_catalog import CURRENCY
from rtaplatform.simulate.shop.plan import TIME_ZONE, SimulationPlan
from rtaplatform.simulate.shop.records import SimulatedRecord, write_time
from rtaplatform.simulate.traffic import draw_events

_TICK_SECONDS = 0.02
_SERVE_EVERY = 256
Sent = TypeVar("Sent", contravariant=True)


class EventSender(Protocol[Sent]):
    """What sends a plan's events: `Sender` to Kafka, `HttpSender` to a collector."""

    def send(self, event: Sent, /) -> bool: ...

    def serve(self) -> None: ...

    def finish(self) -> int: ...


@dataclass
class SimulationRun:
    """A run and its results. `is_stopped` is checked all the time.

    `project`: the settings by which the truth is counted; by default those of the demo project. `refused`: broken
    events that a collector has refused, by reason.
    """

    plan: SimulationPlan
    say: Notify
    is_stopped: Callable[[], bool]
    project: ProjectSettings | None = None
    sent_by_topic: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unsent: int = 0
    started: float = field(default_factory=time.time)

    def summarise(self) -> dict[str, Any]:
        """Return the numbers of the run, and the parameters that repeat it."""
        seconds = time.time() - self.started
        total = sum(self.sent_by_topic.values())
        return {
            "sent": total,
            "refused": dict(sorted(self.refused.items())),
            "unsent": self.unsent,
            "seconds": round(seconds, 3),
            "per_second": round(total / seconds, 1) if seconds else None,
            "by_topic": dict(sorted(self.sent_by_topic.items())),
            "project": self.plan.project,
            "seed": self.plan.seed,
            "start": write_time(self.plan.start_ms),
        }


def simulate(run: SimulationRun, kafka: KafkaSettings, truth_file: Path | None = None) -> dict[str, Any]:
    """Send the plan's records to Kafka and return the summary. Raises Unavailable, SetupError."""
    counts = read_partition_counts(kafka, is_stopped=run.is_stopped)
    truth = SentTruth(choose_settings(run), SentLog(counts, read_log_ends(kafka, counts))) if truth_file else None
    sender = Sender(kafka, say=run.say, is_stopped=run.is_stopped)

    def count(record: SimulatedRecord) -> None:
        run.sent_by_topic[record.topic] += 1
        if truth is not None:
            truth.add(record)

    try:
        send_plan(run, draw_events(run.plan), sender, count)
    finally:
        if truth is not None and truth_file is not None:
            truth.write(truth_file, run.summarise())
    return run.summarise()


def choose_settings(run: SimulationRun) -> ProjectSettings:
    """Return the settings by which the truth is counted."""
    return run.project or ProjectSettings(run.plan.project, TIME_ZONE, CURRENCY)


def expect_count(plan: SimulationPlan) -> int | None:
    """Return the number of records in the plan. None if it has no end."""
    span_ms = plan.duration_ms if plan.backfill_ms is None else plan.backfill_ms
    if span_ms is None or (plan.rate == 0 and plan.backfill_ms is None):
        return plan.events_max
    number = int(span_ms / 1000 * plan.events_per_second)
    return number if plan.events_max is None else min(number, plan.events_max)


def send_plan(
    run: SimulationRun, plan: Iterable[Sent], sender: EventSender[Sent], count: Callable[[Sent], None]
) -> None:
    """Send all of the plan's events at its pace, and wait until they are sent. `count` is told each of them."""
    wait = _choose_pace(run, sender.serve)
    with Progress("simulate", "sent", expect_count(run.plan), say=run.say) as progress:
        for number, event in enumerate(plan):
            if number % _SERVE_EVERY == 0:
                sender.serve()
                progress.show(number)
            if not wait(number) or not sender.send(event):
                break
            count(event)
    run.unsent = sender.finish()


def _choose_pace(run: SimulationRun, serve: Callable[[], None]) -> Callable[[int], bool]:
    """Return a function that waits until a record is due, and returns whether to continue."""
    if run.plan.rate == 0 or run.plan.backfill_ms is not None:
        return _pace_at_full_speed(run)
    return _pace_evenly(run, serve)


def _pace_at_full_speed(run: SimulationRun) -> Callable[[int], bool]:
    end = None if run.plan.duration_ms is None else run.started + run.plan.duration_ms / 1000

    def wait(number: int) -> bool:
        if number % _SERVE_EVERY:
            return True
        return not run.is_stopped() and (end is None or time.time() < end)

    return wait


def _pace_evenly(run: SimulationRun, serve: Callable[[], None]) -> Callable[[int], bool]:
    due = 0

    def wait(number: int) -> bool:
        nonlocal due
        while number >= due:
            if run.is_stopped():
                return False
            due = int((time.time() - run.started) * run.plan.rate) + 1
            if number >= due:
                serve()
                time.sleep(_TICK_SECONDS)
        return True

    return wait
