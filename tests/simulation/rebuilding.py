"""Rebuilds in the simulated world: begun, killed at any call, two at once, abandoned, over shards that are torn.

Everything else goes on meanwhile: live workers, roll-backs, lost shards, added partitions. Whatever generation is read
at the end, its totals must be the oracle's; and each call of a rebuild is watched: what is read changes only by a
switch, which takes no position back; nobody is told of what is built; no dead letter is written again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rtaplatform.core.errors import SetupError
from rtaplatform.core.ledger import PartitionId
from rtaplatform.process.rebuild.rebuild import Rebuild, drop
from rtaplatform.process.rebuild.time_ordered_log import TimeOrderedLog
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import ChangeNotification, Delta, Outcome, SwitchOutcome
from rtaplatform.stream.memory import MemoryLog, MemoryPartitions
from rtaplatform.stream.port import DeadLetter, Partition
from tests.simulation.faults import Faults

if TYPE_CHECKING:
    from tests.simulation.world import World

STEPS_MAX = 5_000
Live = dict[int, tuple[str, dict[PartitionId, str]]]  # shard → the generation that is read, and its ledger


class Rebuilds:
    """The rebuilds of a world that run at the moment; `switches` counts what came of them."""

    def __init__(self, world: World, make: type[Rebuild] = Rebuild) -> None:
        self.world, self._make = world, make
        self.running: list[Rebuild] = []
        self._at_work: list[Rebuild] = []  # whose turn it is; another one's may lie between two calls of it
        self.switches = self.heard = 0
        self.wrong: list[str] = []
        self.is_calm = False  # nobody else does anything between two calls of a rebuild
        if isinstance(world.store, MemoryStore):
            self._listen(world.store)

    def list_happenings(self) -> list[tuple[float, Callable[[], None]]]:
        return [
            (0.8 if len(self.running) < 2 else 0.0, self.begin),
            (10.0 if self.running else 0.0, self.work),
            (0.1, self.abandon),
            (0.15, self.tear),
        ]

    def begin(self) -> None:
        """One, or two at once over the same shards."""
        shard = self.world.rng.choice([None, self.world.rng.randrange(self.world.shards)])
        for _ in range(self.world.rng.choice([1, 2])):
            self.running.append(self.make_rebuild(only=None if shard is None else [shard]))

    def work(self) -> None:
        """A few turns of one of them."""
        self.world.clock += self.world.rng.choice([0.01, 0.5])
        self._let_work(self.world.rng.choice(self.running), turns=self.world.rng.choice([1, 4]))

    def _let_work(self, rebuild: Rebuild, turns: int) -> None:
        """It may die of it, or give up."""
        try:
            for _ in range(turns):
                self._step(rebuild)
        except SetupError:
            self.running.remove(rebuild)
        except self.world.deaths:
            self.running.remove(rebuild)
        else:
            if not rebuild.remaining:
                self.running.remove(rebuild)

    def abandon(self) -> None:
        drop(self.world.home.generations, self.world.rng.randrange(self.world.shards))

    def tear(self) -> None:
        """A batch was written half: the shard stands still until it is built anew, or goes back in time."""
        self.world.home.tear(self.world.rng.randrange(self.world.shards))

    def act_meanwhile(self) -> None:
        """Between two calls of a rebuild events arrive, workers count some of them, another rebuild goes on."""
        if self.is_calm:
            return
        if self.world.rng.random() < 0.4:
            self.world.arrive()
            for _ in range(self.world.rng.choice([0, 0, 4])):
                self.world.work()
        others = [rebuild for rebuild in self.running if rebuild not in self._at_work]
        if others and self.world.rng.random() < 0.5:
            self._let_work(self.world.rng.choice(others), turns=self.world.rng.choice([1, 2, 3]))

    def make_rebuild(self, only: list[int] | None = None, fault_rate: float | None = None) -> Rebuild:
        world = self.world
        rate = world.fault_rate if fault_rate is None else fault_rate
        # It reads each partition by itself, far more often than it calls the store: else it would hardly switch.
        reader = MemoryPartitions(world.broker, read_max=world.rng.choice([5, 40, 200]))
        dead_letters = WatchedDeadLetters(self)
        rebuild = self._make(
            TimeOrderedLog(Faults(reader, world.rng, rate / 6), batch_max=world.rng.choice([60, 600])),
            Faults(dead_letters, world.rng, rate),
            Faults(WatchedStore(self), world.rng, rate),
            shards=world.shards,
            only=only,
            job=world.make_job(),
            start_call=world.begin_call,
            limits=WorkerLimits(
                dedup_ids_cached_max=world.rng.choice([10, 100_000]), idle_compare_seconds=world.rng.choice([0.0, 1.0])
            ),
            sleep=lambda _: None,
            clock=lambda: world.clock,
        )
        dead_letters.shards = rebuild.remaining
        return rebuild

    def live(self) -> Live:
        states = {shard: self.world.store.read_state(shard) for shard in range(self.world.shards)}
        return {shard: (s.generation, s.ledger) if s else ("", {}) for shard, s in states.items()}

    # the end ---------------------------------------------------------------------------------------------------

    def settle(self) -> list[str]:
        """Build anew what is torn, without faults. Everything that is wrong so far."""
        torn = [shard for shard in range(self.world.shards) if self._is_torn(shard)]
        return self.wrong or (self.finish(self.make_rebuild(torn, 0.0)) if torn else [])

    def finish(self, rebuild: Rebuild) -> list[str]:
        self.is_calm = True
        for _ in range(STEPS_MAX):
            try:
                self._step(rebuild)
            except self.world.deaths:  # the operator begins it again
                rebuild = self.make_rebuild(rebuild.remaining, 0.0)
            self.world.clock += 0.7
            if not rebuild.remaining:
                return self.wrong
        return [f"the rebuild of {rebuild.remaining} never came to its end"]

    def _is_torn(self, shard: int) -> bool:
        state = self.world.store.read_state(shard)
        return state is None or state.torn

    def _step(self, rebuild: Rebuild) -> None:
        remaining_before = len(rebuild.remaining)
        self._at_work.append(rebuild)
        try:
            rebuild.step()
        finally:
            self._at_work.pop()
            self.switches += remaining_before - len(rebuild.remaining)

    def _listen(self, store: MemoryStore) -> None:
        really = store._publish

        def publish(notification: ChangeNotification) -> None:
            self.heard += 1
            really(notification)

        store._publish = publish  # type: ignore[method-assign]  # heard, and passed on


class WatchedStore:
    """The store as a rebuild has it; what readers must not see is noted."""

    def __init__(self, rebuilds: Rebuilds) -> None:
        self._rebuilds, self._store = rebuilds, rebuilds.world.home.generations

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def build(self, shard: int, generation: str, delta: Delta) -> Outcome:
        before, heard = self._rebuilds.live(), self._rebuilds.heard
        outcome: Outcome = self._store.build(shard, generation, delta)
        if self._rebuilds.live() != before:
            self._rebuilds.wrong.append(f"a rebuild has written to {generation}, which is read")
        if self._rebuilds.heard != heard:
            self._rebuilds.wrong.append("a rebuild has told of what nobody reads")
        return outcome

    def switch(self, shard: int, *, expected: str, generation: str, lost: dict[PartitionId, str]) -> SwitchOutcome:
        self._rebuilds.act_meanwhile()
        old = self._rebuilds.live()[shard][1]
        outcome: SwitchOutcome = self._store.switch(shard, expected=expected, generation=generation, lost=lost)
        new = self._rebuilds.live()[shard][1]
        back = [place for place in old if _find_next_offset(new, place) < _find_next_offset(old, place)]
        self._rebuilds.wrong += [f"a switch has taken {place} back" for place in back]
        return outcome


class WatchedDeadLetters:
    """Where a rebuild of `shards` writes dead letters; what they have counted before must not come again."""

    def __init__(self, rebuilds: Rebuilds) -> None:
        self._rebuilds, self._log = rebuilds, MemoryLog(rebuilds.world.broker)
        self.shards: Sequence[int] = ()

    def quarantine(self, dead_letters: Sequence[DeadLetter]) -> None:
        again = [
            dead_letter
            for dead_letter in dead_letters
            if dead_letter.record.offset < self._find_counted_offset(dead_letter.record.partition)
        ]
        self._rebuilds.wrong += [f"a rebuild has quarantined {dead_letter.origin} again" for dead_letter in again]
        self._log.quarantine(dead_letters)

    def _find_counted_offset(self, partition: Partition) -> int:
        """Up to where the generations that are read have counted a partition, in all of the shards."""
        place = PartitionId(self._rebuilds.world.broker.ids[partition.topic], partition.number)
        live = self._rebuilds.live()
        return min(_find_next_offset(live[shard][1], place) for shard in self.shards)


def _find_next_offset(ledger: dict[PartitionId, str], place: PartitionId) -> int:
    return int(ledger.get(place, "0").split("|")[0])
