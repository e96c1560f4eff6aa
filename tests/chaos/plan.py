"""Which faults are done, how long each lasts and how long it is quiet before the next: a function of the seed.

Faults come in rounds of 40, in which each kind has its share, in an order of the round's own.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from tests.chaos.faults import KINDS

PAUSE_SECONDS = (0.3, 2.5)
EXTRA_SECONDS = 1.0  # of each, to be done and undone
KAFKA_SECONDS, CALM_SECONDS = 6.0, 6.0  # a broker's start; waiting for calm


class Step(NamedTuple):
    """One fault: its kind, how long it lasts, how long it is quiet afterwards, and the seed of its own choices."""

    kind: str
    seconds: float
    pause: float
    seed: int


def make_plan(seed: int, faults: int) -> list[Step]:
    rng, steps = Random(f"chaos:{seed}"), list[Step]()
    while len(steps) < faults:
        steps += _round(rng)[: faults - len(steps)]
    return steps


def _round(rng: Random) -> list[Step]:
    names = [name for name, kind in KINDS.items() for _ in range(kind.share)]
    rng.shuffle(names)
    return [
        Step(name, rng.uniform(*KINDS[name].seconds), rng.uniform(*PAUSE_SECONDS), rng.getrandbits(32))
        for name in names
    ]


def seconds_of(plan: list[Step]) -> float:
    """About how long it takes."""
    return sum(step.seconds + step.pause + _extra(step) for step in plan)


def _extra(step: Step) -> float:
    starts_kafka = "kafka" in step.kind and ("kill" in step.kind or "disk" in step.kind)
    waits = KINDS[step.kind].from_calm
    return EXTRA_SECONDS + KAFKA_SECONDS * starts_kafka + CALM_SECONDS * waits
