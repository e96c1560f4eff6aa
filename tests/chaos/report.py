"""What a run was, in lines to read: the faults, how long it took until all was in again, and what health has said."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from math import inf
from statistics import quantiles

from tests.chaos.history import History
from tests.chaos.truth import count_downs_told, count_stands_told


def write_fault_log(history: History) -> str:
    """One line a fault and a rebuild, in seconds of the clock by which wrong answers are named too."""
    faults = sorted([*history.faults, *history.rebuilds], key=lambda fault: fault.at.since)
    return "\n".join(f"{fault.at.since:.2f}–{fault.at.until:.2f}  {fault.name}" for fault in faults)


def compute_recoveries(history: History) -> dict[str, list[float | None]]:
    """By fault: seconds from its end until the API said that all up to it is in; None where the next came first."""
    recoveries: dict[str, list[float | None]] = defaultdict(list)
    good = [answer for answer in history.answers if answer.status == 200 and answer.complete]
    ends = [*(fault.at.since for fault in history.faults[1:]), inf]
    for fault, next_since in zip(history.faults, ends, strict=True):
        again = min((answer.at.until for answer in good if answer.includes(fault.at.until)), default=inf)
        recoveries[fault.name].append(again - fault.at.until if again <= next_since else None)
    return recoveries


def write_summary(history: History) -> Iterator[str]:
    recoveries = compute_recoveries(history)
    yield f"{'fault':26} {'times':>5} {'recovered before the next':>26} {'median':>7} {'p95':>7} {'max':>7} s"
    for name, of in [
        *sorted(recoveries.items()),
        ("all", [seconds for recovery_times in recoveries.values() for seconds in recovery_times]),
    ]:
        alone = [seconds for seconds in of if seconds is not None]
        numbers = [_compute_quantile(alone, 50), _compute_quantile(alone, 95), max(alone)] if alone else []
        yield f"{name:26} {len(of):5} {len(alone):26} " + " ".join(f"{seconds:7.1f}" for seconds in numbers)
    yield f"faults took {history.faults[-1].at.until - history.faults[0].at.since:.0f} s" if history.faults else ""
    runs = Counter(rebuild.name for rebuild in history.rebuilds)
    yield ", ".join(f"{n} × {name}" for name, n in runs.items()) or "no rebuild"
    refused = sum(answer.status == 503 for answer in history.answers)
    partial = sum(answer.status == 200 and not answer.complete for answer in history.answers)
    yield f"{len(history.answers)} answers, {refused} of them 503, {partial} not complete"
    stands, downs = count_stands_told(history), count_downs_told(history)
    yield f"{stands} answers had to tell of a standstill, {downs} of a server that is away"


def _compute_quantile(of: list[float], percent: int) -> float:
    return of[0] if len(of) == 1 else quantiles(of, n=100, method="inclusive")[percent - 1]
