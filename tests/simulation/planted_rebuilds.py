"""Bugs of rebuilds, planted one at a time: the simulation must find each. As in planted.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rtaplatform.core.ledger import PartitionId
from rtaplatform.process.rebuild.rebuild import Rebuild
from rtaplatform.process.rebuild.uncounted_dead_letters import UncountedDeadLetters
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import ChangeNotification, Delta, Outcome, SwitchOutcome
from rtaplatform.stream.port import Partition
from tests.simulation.planted import make_home
from tests.simulation.scripted import SwitchUnderACall
from tests.simulation.world import World


class RebuiltWorld(World):
    """Much to rebuild, and workers whose calls nobody comes between: what rebuilds meet is each other and these."""

    users = 30
    arrivals_max = 40
    lateness = 0.0

    def list_more_happenings(self) -> list[tuple[float, Callable[[], None]]]:
        return [(2 * weight, happening) for weight, happening in super().list_more_happenings()]

    def act_meanwhile(self) -> None:
        """They have the store for themselves."""


# Stores ------------------------------------------------------------------------------------------------------------


class SwitchWhileBehind(MemoryStore):
    """The switch does not look whether the new ledger is behind the old one."""

    def switch(self, shard: int, *, expected: str, generation: str, lost: dict[PartitionId, str]) -> SwitchOutcome:
        lost = dict(self.shards[shard].totals.ledger)
        return super().switch(shard, expected=expected, generation=generation, lost=lost)


class AnyGenerationIsBuilt(MemoryStore):
    """A batch is written to whatever generation the caller names, also to the one that is read since a switch."""

    def build(self, shard: int, generation: str, delta: Delta) -> Outcome:
        return self._apply(shard, generation, generation, delta)


class WhatIsBuiltIsTold(MemoryStore):
    """Readers are sent to look at what has not changed."""

    def build(self, shard: int, generation: str, delta: Delta) -> Outcome:
        self._publish(ChangeNotification(shard, frozenset({"demo"})))
        return super().build(shard, generation, delta)


class BothAreOneLedger(MemoryStore):
    """The position is the shard's, not the generation's: what is built skips what the live one has counted."""

    def build(self, shard: int, generation: str, delta: Delta) -> Outcome:
        at = self.shards[shard]
        if at.building == generation and at.generation:
            at.generations.setdefault(generation, type(at.totals)()).ledger |= at.totals.ledger
        return super().build(shard, generation, delta)


# Rebuilds ----------------------------------------------------------------------------------------------------------


class EveryDeadLetterAgain(Rebuild):
    """What the live workers have quarantined is quarantined once more."""

    def _find_counted_offset(self, partition: Partition) -> int:
        return 0


class NoDeadLetters(Rebuild):
    """It sets nothing aside, also where it is further than the live workers, who will never read that again."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._dead_letters = UncountedDeadLetters(_Nowhere(), self._find_counted_offset)


class _Nowhere:
    def quarantine(self, dead_letters: Any) -> None:
        """Lose them."""


STORES = (SwitchWhileBehind, AnyGenerationIsBuilt, WhatIsBuiltIsTold, BothAreOneLedger)
REBUILDS = (EveryDeadLetterAgain, NoDeadLetters)
PLANTS: tuple[type[Any], ...] = (*STORES, *REBUILDS)
SCRIPTED: dict[type[Any], type[World]] = {AnyGenerationIsBuilt: SwitchUnderACall}


def make_planted_world(plant: type[Any], seed: int) -> World:
    """The world of a seed with the plant in it."""
    if plant in STORES:
        return SCRIPTED.get(plant, RebuiltWorld)(seed, home=make_home(plant))
    return RebuiltWorld(seed, rebuild=plant)
