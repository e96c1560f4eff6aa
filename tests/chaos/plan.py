"""Which faults are done, how long each lasts and how long it is quiet before the next: a function of the seed.

Faults come in rounds of 40, in which each kind has its share, in an order of the round's own. Somewhere in the middle
of a round those come, one after the other, that are done while totals are counted again.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from tests.chaos.faults import KINDS, OVER_A_REBUILD

PAUSE_SECONDS = (0.3, 2.5)
EXTRA_SECONDS = 1.0  # of each, to be done and undone
KAFKA_SECONDS, CALM_SECONDS = 6.0, 6.0  # a broker's start; waiting for calm
REBUILD_SECONDS, BEGUN_AGAIN_SECONDS = 0.5, 2.0  # where one has to be begun before a fault; after a kill


class Step(NamedTuple):
    """One fault: its kind, how long it lasts, how long it is quiet afterwards, and the seed of its own choices.

    `over_rebuild`: it is done while a rebuild runs; where none does, one is begun before.
    """

    kind: str
    seconds: float
    pause: float
    seed: int
    over_rebuild: bool = False


def make_plan(seed: int, faults: int) -> list[Step]:
    rng, steps = Random(f"chaos:{seed}"), list[Step]()
    while len(steps) < faults:
        steps += _round(rng)[: faults - len(steps)]
    return steps


def _round(rng: Random) -> list[Step]:
    names = [name for name, kind in KINDS.items() for _ in range(kind.share)]
    rng.shuffle(names)
    over = list(OVER_A_REBUILD)
    rng.shuffle(over)
    for name in over:
        names.remove(name)
    begin = rng.randint(len(names) // 3, len(names) // 2)
    names[begin:begin] = over
    return [
        Step(
            name, rng.uniform(*KINDS[name].seconds), rng.uniform(*PAUSE_SECONDS), rng.getrandbits(32),
            begin <= number < begin + len(over),
        )
        for number, name in enumerate(names)
    ]  # fmt: skip


def estimate_seconds(plan: list[Step]) -> float:
    """About how long it takes."""
    return sum(step.seconds + step.pause + _estimate_extra(step) for step in plan)


def _estimate_extra(step: Step) -> float:
    starts_kafka = "kafka" in step.kind and ("kill" in step.kind or "disk" in step.kind)
    waits = KINDS[step.kind].from_calm
    rebuild = REBUILD_SECONDS * step.over_rebuild + BEGUN_AGAIN_SECONDS * (step.kind == "kill rebuild")
    return EXTRA_SECONDS + KAFKA_SECONDS * starts_kafka + CALM_SECONDS * waits + rebuild
