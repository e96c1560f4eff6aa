"""Rebuilds in the simulated world: begun, killed at any call, two at once, abandoned, over shards that are torn.

Everything else goes on meanwhile: live workers, roll-backs, lost shards, added partitions. Whatever generation is read
at the end, its totals must be the oracle's; and on the way no rebuild may write a letter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rtaplatform.core.errors import SetupError
from rtaplatform.process.merged import MergedLog
from rtaplatform.process.rebuild import Rebuild, drop
from rtaplatform.process.worker import Limits
from rtaplatform.store.memory import MemoryStore
from rtaplatform.store.port import Hint, Place
from rtaplatform.stream.memory import MemoryLog, MemoryPartitions
from rtaplatform.stream.port import Partition
from tests.simulation.faults import Crash, Faults

if TYPE_CHECKING:
    from tests.simulation.world import World

STEPS_MAX = 5_000
Live = dict[int, tuple[str, dict[Place, str]]]  # shard → the generation that is read, and its ledger


class Rebuilds:
    """The rebuilds of a world that run at the moment; `switches` counts what came of them."""

    def __init__(self, world: World, make: type[Rebuild] = Rebuild) -> None:
        self._world, self._make = world, make
        self.running: list[Rebuild] = []
        self.switches = 0
        self.wrong: list[str] = []
        self._heard = 0
        if isinstance(world.store, MemoryStore):
            self._listen(world.store)

    def happenings(self) -> list[tuple[float, Callable[[], None]]]:
        return [
            (1.2 if len(self.running) < 2 else 0.0, self.begin),
            (10.0 if self.running else 0.0, self.work),
            (0.1, self.abandon),
            (0.15, self.tear),
        ]

    def begin(self) -> None:
        world = self._world
        shard = world.rng.choice([None, world.rng.randrange(world.shards)])
        self.running.append(self.new(only=None if shard is None else [shard]))

    def work(self) -> None:
        """A turn of one of them; it may die of it, or give up."""
        rebuild = self._world.rng.choice(self.running)
        self._world.clock += self._world.rng.choice([0.01, 0.5])
        try:
            self._step(rebuild)
        except (Crash, SetupError):
            self.running.remove(rebuild)
        else:
            if not rebuild.left:
                self.running.remove(rebuild)

    def abandon(self) -> None:
        drop(self._world.home.generations, self._world.rng.randrange(self._world.shards))

    def tear(self) -> None:
        """A batch was written half: the shard stands still until it is built anew, or goes back in time."""
        self._world.home.tear(self._world.rng.randrange(self._world.shards))

    def new(self, only: list[int] | None = None, fault_rate: float | None = None) -> Rebuild:
        world = self._world
        rate = world.fault_rate if fault_rate is None else fault_rate
        reader = MemoryPartitions(world.broker, read_max=world.rng.choice([5, 40]))
        return self._make(
            MergedLog(Faults(reader, world.rng, rate), batch_max=world.rng.choice([20, 300])),
            Faults(MemoryLog(world.broker), world.rng, rate),
            Faults(world.home.generations, world.rng, rate),
            shards=world.shards,
            only=only,
            limits=Limits(
                dedup_ids_cached_max=world.rng.choice([10, 100_000]), idle_compare_seconds=world.rng.choice([0.0, 1.0])
            ),
            sleep=lambda _: None,
            clock=lambda: world.clock,
        )

    # the end ---------------------------------------------------------------------------------------------------

    def settle(self) -> list[str]:
        """Build anew what is torn, without faults. Everything that is wrong so far."""
        world = self._world
        torn = [shard for shard in range(world.shards) if self._is_torn(shard)]
        return self.wrong or (self.finish(self.new(torn, 0.0)) if torn else [])

    def finish(self, rebuild: Rebuild) -> list[str]:
        for _ in range(STEPS_MAX):
            self._step(rebuild)
            self._world.clock += 0.7
            if not rebuild.left:
                return self.wrong
        return [f"the rebuild of {rebuild.left} never came to its end"]

    def _is_torn(self, shard: int) -> bool:
        state = self._world.store.state(shard)
        return state is None or state.torn

    def _step(self, rebuild: Rebuild) -> None:
        letters, left, before = dict(self._world.broker.letters), list(rebuild.left), self._live()
        self._heard = 0
        counted = {partition: self._counted(partition, left) for partition in self._world.broker.all_partitions()}
        try:
            rebuild.step()
        finally:
            self.switches += len(left) - len(rebuild.left)
            self.wrong += self._what_readers_must_not_see(before)
            self.wrong += [
                f"a rebuild has set {origin} aside again"
                for origin, letter in self._world.broker.letters.items()
                if letters.get(origin) is not letter and letter.record.offset < counted[letter.record.partition]
            ]

    def _what_readers_must_not_see(self, before: Live) -> list[str]:
        """What is read changes only by a switch, which takes no row back; and only of that anybody is told."""
        wrong, switched = [], 0
        for shard, (generation, ledger) in self._live().items():
            if generation == before[shard][0]:
                wrong += [f"a rebuild has written to {generation}, which is read"] * (ledger != before[shard][1])
                continue
            switched += 1
            old = before[shard][1]
            wrong += [f"{place} went back" for place in old if _next_offset(ledger, place) < _next_offset(old, place)]
        return wrong + ["a rebuild has told of what nobody reads"] * (self._heard > switched)

    def _live(self) -> Live:
        states = {shard: self._world.store.state(shard) for shard in range(self._world.shards)}
        return {shard: (s.generation, s.ledger) if s else ("", {}) for shard, s in states.items()}

    def _listen(self, store: MemoryStore) -> None:
        really = store._publish

        def publish(hint: Hint) -> None:
            self._heard += 1
            really(hint)

        store._publish = publish  # type: ignore[method-assign]  # heard, and passed on

    def _counted(self, partition: Partition, shards: list[int]) -> int:
        """Up to where the live generations of these shards have counted a partition."""
        place = Place(self._world.broker.ids[partition.topic], partition.number)
        states = [self._world.store.state(shard) for shard in shards]
        return min(_next_offset(state.ledger, place) if state else 0 for state in states)


def _next_offset(ledger: dict[Place, str], place: Place) -> int:
    return int(ledger.get(place, "0").split("|")[0])
