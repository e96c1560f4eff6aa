"""What a run was, in lines to read: the faults, how long it took until all was in again, and what health has said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from statistics import quantiles

from tests.chaos.history import History
from tests.chaos.truth import downs_told, stands_told


def fault_log(history: History) -> str:
    """One line a fault, in seconds since the first."""
    began = history.faults[0].at.since if history.faults else 0.0
    return "\n".join(f"{f.at.since - began:8.2f} to {f.at.until - began:8.2f}  {f.name}" for f in history.faults)


def recoveries(history: History) -> dict[str, list[float]]:
    """By fault: seconds from its end until the API said that all up to that end is in, whatever happened meanwhile."""
    found: dict[str, list[float]] = defaultdict(list)
    good = [answer for answer in history.answers if answer.status == 200 and answer.complete]
    for fault in history.faults:
        again = (answer.at.until for answer in good if answer.includes(fault.at.until))
        found[fault.name].append(min(again) - fault.at.until)
    return found


def summary(history: History) -> Iterator[str]:
    every = [seconds for of in recoveries(history).values() for seconds in of]
    yield f"{'fault':26} {'times':>5} {'all in again after: median':>26} {'p95':>7} {'max':>7} s"
    for name, of in sorted({**recoveries(history), "all": every}.items()):
        yield f"{name:26} {len(of):5} {_quantile(of, 50):26.1f} {_quantile(of, 95):7.1f} {max(of):7.1f}"
    refused = sum(answer.status == 503 for answer in history.answers)
    partial = sum(answer.status == 200 and not answer.complete for answer in history.answers)
    yield f"{len(history.answers)} answers, {refused} of them 503, {partial} not complete"
    yield f"{stands_told(history)} answers had to tell of a standstill, {downs_told(history)} of a server that is away"


def _quantile(of: list[float], percent: int) -> float:
    return of[0] if len(of) == 1 else quantiles(of, n=100, method="inclusive")[percent - 1]
