"""Planted bugs of a worker that catches up: each would read somebody's events too late, or not at all."""

from __future__ import annotations

from math import inf
from typing import Any

from msgspec import structs

from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.positions import Positions
from rtaplatform.process.worker.worker import Worker
from tests.simulation.catch_up_world import CatchUpWorld


class AlignmentForgotten(Worker):
    """Partitions are read as the log delivers them."""

    def __init__(self, *ports: Any, limits: WorkerLimits, **parts: Any) -> None:
        super().__init__(*ports, limits=structs.replace(limits, apart_ms_max=inf), **parts)


class OtherWorkersForgotten(Worker):
    """A worker aligns its own partitions, whatever the others read."""

    def __init__(self, *ports: Any, **parts: Any) -> None:
        super().__init__(*ports, **parts)
        self._log._backlog._list_others = set  # type: ignore[method-assign]  # the plant


class HeldSurvivesASeek(Worker):
    """What is held is handed out after positions were found again, before what precedes it now."""

    def __init__(self, *ports: Any, **parts: Any) -> None:
        super().__init__(*ports, **parts)
        really, log = self._log.seek, self._log

        def seek(positions: Positions) -> None:
            records_held = {p: records for p, records in log._held_records.items() if p in positions.extents}
            really(positions)
            log._held_records.update(records_held)

        log.seek = seek  # type: ignore[method-assign]  # the plant


PLANTS: tuple[type[Any], ...] = (AlignmentForgotten, OtherWorkersForgotten, HeldSurvivesASeek)


def make_planted_world(plant: type[Any], seed: int) -> CatchUpWorld:
    """The world of a seed with the plant in it."""
    return CatchUpWorld(seed, worker=plant)
