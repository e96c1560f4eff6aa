"""One run of the simulator through a collector: traffic → sdk_events → http_sender, with the truth beside it.

Promise: the collector acknowledges every event once, or the run says how many it could not send. The truth counts the
records that the collector must make of the events, without a look at what it made. A collector that stays away ends the
run, also while it waits for the last answers.
Limits: a dead letter is what a worker refuses. What the collector refuses is no record: it is counted under `refused`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from rtaplatform.core.errors import SetupError
from rtaplatform.simulate.over_http.collector_watch import CollectorWatch
from rtaplatform.simulate.over_http.http_sender import HttpSender
from rtaplatform.simulate.over_http.refused_events import break_event
from rtaplatform.simulate.over_http.sdk_events import SdkEvent, make_sdk_event
from rtaplatform.simulate.run import SimulationRun, choose_settings, send_plan
from rtaplatform.simulate.sent_truth import SentLog, SentTruth
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.simulate.shop.records import TOPICS
from rtaplatform.simulate.traffic import draw_events

# The partitions of a topic by default. They decide about stream times alone, and all records arrive now.
_PARTITIONS = 4


class CollectorAddress(NamedTuple):
    """Where the collector is, the key that opens it, and how long it may give no answer."""

    url: str
    write_key: str
    away_seconds_max: float = 60.0


def draw_sdk_events(plan: SimulationPlan) -> Iterator[SdkEvent]:
    """Yield the plan's events as SDKs send them, the share of broken ones among them."""
    rng = Random(f"rta-http:{plan.seed}")
    for record in draw_events(replace(plan, malformed=0)):
        event = make_sdk_event(record)
        yield break_event(event, rng) if rng.random() < plan.malformed else event


def simulate_over_http(
    run: SimulationRun, collector: CollectorAddress, truth_file: Path | None = None
) -> dict[str, Any]:
    """Send the plan's events to a collector and return the summary. Raises SetupError."""
    watch = CollectorWatch(run.say, collector.away_seconds_max)
    run = replace(run, is_stopped=_stop_when_lost(run.is_stopped, watch))
    truth = SentTruth(choose_settings(run), SentLog(dict.fromkeys(TOPICS, _PARTITIONS))) if truth_file else None
    sender = HttpSender(collector.url, collector.write_key, watch=watch, is_stopped=run.is_stopped)

    def count(event: SdkEvent) -> None:
        if event.refusal:
            run.refused[event.refusal] += 1
            return
        run.sent_by_topic[event.collected.topic] += 1
        if truth is not None:
            truth.add(event.collected._replace(timestamp=time.time_ns() // 1_000_000))

    try:
        send_plan(run, draw_sdk_events(run.plan), sender, count)
    finally:
        if truth is not None and truth_file is not None:
            truth.write(truth_file, run.summarise())
    if watch.is_lost:
        raise SetupError(
            f"The collector {collector.url} gave no answer for {collector.away_seconds_max:g} s: "
            f"{run.unsent:,} events were not acknowledged.",
            "See whether it runs and can be reached, then run it again. --give-up sets how long it may be away.",
        )
    return run.summarise()


def _stop_when_lost(is_stopped: Callable[[], bool], watch: CollectorWatch) -> Callable[[], bool]:
    return lambda: is_stopped() or watch.is_lost
