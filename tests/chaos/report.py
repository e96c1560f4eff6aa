"""What a run was, in lines to read: the faults, how long it took until all was in again, and what health has said."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from math import inf
from statistics import quantiles

from tests.chaos.history import History
from tests.chaos.truth import downs_told, stands_told


def fault_log(history: History) -> str:
    """One line a fault and a rebuild, in seconds of the clock by which wrong answers are named too."""
    done = sorted([*history.faults, *history.rebuilds], key=lambda one: one.at.since)
    return "\n".join(f"{one.at.since:.2f}–{one.at.until:.2f}  {one.name}" for one in done)


def recoveries(history: History) -> dict[str, list[float | None]]:
    """By fault: seconds from its end until the API said that all up to it is in; None where the next came first."""
    found: dict[str, list[float | None]] = defaultdict(list)
    good = [answer for answer in history.answers if answer.status == 200 and answer.complete]
    ends = [*(fault.at.since for fault in history.faults[1:]), inf]
    for fault, next_since in zip(history.faults, ends, strict=True):
        again = min((answer.at.until for answer in good if answer.includes(fault.at.until)), default=inf)
        found[fault.name].append(again - fault.at.until if again <= next_since else None)
    return found


def summary(history: History) -> Iterator[str]:
    found = recoveries(history)
    yield f"{'fault':26} {'times':>5} {'recovered before the next':>26} {'median':>7} {'p95':>7} {'max':>7} s"
    for name, of in [*sorted(found.items()), ("all", [one for some in found.values() for one in some])]:
        alone = [seconds for seconds in of if seconds is not None]
        numbers = [_quantile(alone, 50), _quantile(alone, 95), max(alone)] if alone else []
        yield f"{name:26} {len(of):5} {len(alone):26} " + " ".join(f"{seconds:7.1f}" for seconds in numbers)
    yield f"faults took {history.faults[-1].at.until - history.faults[0].at.since:.0f} s" if history.faults else ""
    runs = Counter(one.name for one in history.rebuilds)
    yield ", ".join(f"{n} × {name}" for name, n in runs.items()) or "no rebuild"
    refused = sum(answer.status == 503 for answer in history.answers)
    partial = sum(answer.status == 200 and not answer.complete for answer in history.answers)
    yield f"{len(history.answers)} answers, {refused} of them 503, {partial} not complete"
    yield f"{stands_told(history)} answers had to tell of a standstill, {downs_told(history)} of a server that is away"


def _quantile(of: list[float], percent: int) -> float:
    return of[0] if len(of) == 1 else quantiles(of, n=100, method="inclusive")[percent - 1]
