"""Run many drafts through steps, one step after the other, and time each by its name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rtaplatform.collect.body.draft import Draft, DraftRefused

Step = Callable[[Draft], Draft | DraftRefused]


class StepClock:
    """Adds the time since the last note to the seconds of a step."""

    def __init__(self, step_seconds: dict[str, float]) -> None:
        self._step_seconds, self._started_at = step_seconds, time.perf_counter()

    def note(self, name: str) -> None:
        now = time.perf_counter()
        self._step_seconds[name] = self._step_seconds.get(name, 0.0) + now - self._started_at
        self._started_at = now


def run_timed(steps: Iterable[Step], drafts: list[Draft], clock: StepClock) -> tuple[list[Draft], list[DraftRefused]]:
    """Return the drafts that pass all steps, and the refusals of the others."""
    accepted, refusals = drafts, list[DraftRefused]()
    for step in steps:
        results = list(map(step, accepted))
        if results != accepted:  # a step returns the draft that it got, so this compares addresses only
            refusals += [result for result in results if isinstance(result, DraftRefused)]
            accepted = [result for result in results if isinstance(result, Draft)]
        clock.note(step.__name__)
    return accepted, refusals
