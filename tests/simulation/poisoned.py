"""A world where records raise, and other things fail too: only the former become `internal` dead letters.

Poison raises in whatever reads or folds it. Beside it a store refuses all writes for a while, memory is short, the zone
of a project is missing, and a record raises until three ends are counted and never after: none of these is a reason to
set a good record aside. The oracle knows poison by its marker, as dead letters of the project.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.events import Reason
from rtaplatform.core.ledger import read_next_offset
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.fold.decode_run import DecodedRecord
from rtaplatform.process.fold.job import DecodedRun, EcommerceJob
from rtaplatform.process.fold.person_state import PersonStates
from rtaplatform.process.people.people_fold import PeopleBatch, PeopleFold
from rtaplatform.process.worker.poison import ENDS_MAX, IsolatedFold, Poisoned, Quarantine, RecordRaised
from rtaplatform.process.worker.positions import Positions
from rtaplatform.simulate.oracle.oracle import ConsumedRecord
from rtaplatform.store.memory.memory_ends import MemoryEnds
from rtaplatform.store.port import Delta, Outcome
from rtaplatform.stream.port import Partition, RecordColumns
from tests.simulation.faults import Crash, Faults
from tests.simulation.home import RULES
from tests.simulation.persons import Witness
from tests.simulation.planted_ports import PlantedWorker
from tests.simulation.world import START_MS, Running, World

UNREADABLE, UNFOLDABLE, FLAKY = b"raises when read", b"raises when folded", b"raises until three ends are counted"
POISON = (UNREADABLE, UNFOLDABLE)
EVENT = b'{"projectId":"demo","type":"track","event":"%s","userId":"u","messageId":"%d"}'
LIKE_POISON = b'{"projectId":"demo","type":"unknown"}'  # to the oracle: dead, of the same project


class Refused(Exception):
    """What a server says to a user who lacks a right: no error of ours stands for it."""


class Prone(EcommerceJob):
    """The platform's counting, with its bug and its troubles."""

    def __init__(self, world: PoisonedWorld) -> None:
        super().__init__(Unkind(world))
        self._world = world

    def decode(
        self, run: RecordColumns, stream_time_ms: int, projects: Mapping[str, ProjectSettings], shards: int
    ) -> DecodedRun:
        for offset, value in zip(run.offsets, run.values, strict=True):
            self._world.read(run.partition, offset, value or b"")
        return super().decode(run, stream_time_ms, projects, shards)


class Unkind(PeopleFold):
    def __init__(self, world: PoisonedWorld) -> None:
        self._world = world

    def begin(self, projects: Mapping[str, ProjectSettings], persons: PersonStates) -> PeopleBatch:
        return UnkindBatch(projects, persons, self._world)


class UnkindBatch(PeopleBatch):
    def __init__(self, projects: Mapping[str, ProjectSettings], persons: PersonStates, world: PoisonedWorld) -> None:
        super().__init__(projects, persons)
        self._world = world

    def add(self, records: Sequence[DecodedRecord]) -> None:
        for event in filter(None, (record.event for record in records)):
            if event.name.encode() == UNFOLDABLE:
                raise KeyError(UNFOLDABLE)
            if self._world.is_zone_missing and event.project == "demo":
                raise LookupError("no such zone")  # as ZoneInfoNotFoundError is one
        super().add(records)


class PoisonedWorld(World):
    """`quarantine_of` is a worker's; a plant may stand in its place."""

    deaths = (Crash, Poisoned, Refused, MemoryError, LookupError, ValueError)
    sent = ill = 0

    def __init__(
        self, seed: int, *, steps: int = 100, quarantine_of: type[Quarantine] = Quarantine, **parts: Any
    ) -> None:
        self.is_zone_missing = self.is_memory_short = self.does_refuse = False
        self._quarantine_of = quarantine_of
        self.has_flaky = seed % 2 == 1  # a rebuild would judge such a record by counts of its own
        super().__init__(seed, steps=steps, **parts)
        self._refuse_in(self.store)

    def make_job(self) -> Prone:
        return Prone(self)

    def quarantine(self, rate: float) -> Quarantine:
        return self._quarantine_of(Faults(MemoryEnds(self.store), self.rng, rate))

    def read(self, partition: Partition, offset: int, value: bytes) -> None:
        if self.is_memory_short:
            raise MemoryError
        if UNREADABLE in value:
            raise ValueError(UNREADABLE)
        if FLAKY in value and not self._is_counted(partition, offset):
            raise ValueError(FLAKY)

    def _is_counted(self, partition: Partition, offset: int) -> bool:
        name = f"{self.broker.ids[partition.topic]}:{partition.number}:{offset}"
        ends: dict[str, int] = self.store.shards[0].ends
        return any(n >= ENDS_MAX for end, n in ends.items() if end.endswith(f"|{name}"))

    def _refuse_in(self, store: Any) -> None:
        really: Callable[[int, str, Delta], Outcome] = store.apply

        def apply(shard: int, generation: str, delta: Delta) -> Outcome:
            if self.does_refuse:
                raise Refused("NOPERM")
            return really(shard, generation, delta)

        store.apply = apply

    # happenings ------------------------------------------------------------------------------------------------

    def list_more_happenings(self) -> list[tuple[float, Callable[[], None]]]:
        flaky = [(1.0, lambda: self.send(FLAKY))] if self.has_flaky else super().list_more_happenings()
        return [
            (0.5, lambda: self.send(UNREADABLE)),
            (0.5, lambda: self.send(UNFOLDABLE)),
            (0.5, lambda: self.fall_ill("does_refuse")),
            (0.3, lambda: self.fall_ill("is_memory_short")),
            (0.5, lambda: self.fall_ill("is_zone_missing")),
            *flaky,
        ]

    def send(self, name: bytes) -> None:
        self.sent += 1
        partition = self.rng.choice(self.broker.list_partitions())
        newest = max((records[-1].timestamp_ms for records in self.broker.records.values()), default=START_MS)
        self.broker.append(partition, newest, b"demo:u", EVENT % (name, self.sent))

    def fall_ill(self, what: str) -> None:
        """For so long that every worker ends of it several times."""
        self.arrive()
        setattr(self, what, True)
        self.ill += 1
        for _ in range(5 * len(self.workers)):
            self.work()
        setattr(self, what, False)

    # the end ---------------------------------------------------------------------------------------------------

    def act_after_a_turn(self, running: Running) -> Running:
        try:
            return super().act_after_a_turn(running)
        except self.deaths:
            another = self.make_worker(fault_rate=0.0)
            another.log.assign(running.log.read_assignment()[1])
            return another

    def check(self, *, distinct_tolerance: float = 0.0) -> list[str]:
        last = self.make_worker(fault_rate=0.0)
        last.log.assign(self.broker.list_partitions())
        self.act_after_a_turn(last)
        wrong = super().check(distinct_tolerance=distinct_tolerance)
        dead_letters = self.broker.dead_letters.values()
        internal = [dead_letter for dead_letter in dead_letters if dead_letter.reason is Reason.INTERNAL]
        good = [
            dead_letter.origin
            for dead_letter in internal
            if not any(kind in (dead_letter.record.value or b"") for kind in POISON)
        ]
        wrong += [f"{origin} is good, and was quarantined" for origin in good]
        lasts = {f"{self.broker.ids[p.topic]}:{p.number}:{len(rs) - 1}" for p, rs in self.broker.records.items()}
        counted: Iterable[str] = self.store.shards[0].ends
        return wrong + [f"{name} is passed, and counted" for name in counted if name.split("|")[1] not in lasts]

    def recount(self) -> Witness:
        witness = Witness(RULES)
        for partition, records in self.broker.records.items():
            for r in records:
                value = LIKE_POISON if any(kind in (r.value or b"") for kind in POISON) else r.value
                witness.add(ConsumedRecord(*partition, r.offset, r.timestamp_ms, r.key, value))
        return witness


# Plants ------------------------------------------------------------------------------------------------------------


class QuarantinedUnseen(Quarantine):
    """What was counted three times is quarantined without another look."""

    def _decode_condemned(self, run: RecordColumns, stream_time_ms: int, isolated: IsolatedFold) -> DecodedRecord:
        return super()._decode_condemned(
            run, stream_time_ms, Guilty(isolated.job, isolated.projects, isolated.shards, isolated.server_s)
        )


class Guilty(IsolatedFold, frozen=True):
    """It raises, whatever it does."""

    def find_error(self, run: RecordColumns, stream_time_ms: int) -> Exception | None:
        return ValueError()

    def accepts_harmless_record(self, run: RecordColumns, stream_time_ms: int) -> bool:
        return True


class NeverCleared(Quarantine):
    """What was counted stays counted, whoever has passed it."""

    def forget_passed(self, positions: Positions) -> None:
        """Keep it."""


class CountedOnUnavailable(PlantedWorker):
    """Whatever ends the worker is held against the next record, which is quarantined for it."""

    def __init__(
        self, log: Any, dead_letters: Any, store: Any, *, quarantine: Quarantine, shards: int, **more: Any
    ) -> None:
        super().__init__(log, dead_letters, store, quarantine=quarantine, shards=shards, **more)
        self._extents, self._accused, self._numbers = log.read_extents, quarantine, range(shards)

    def turn(self) -> None:
        try:
            super().turn()
        except (Refused, MemoryError):
            with suppress(Unavailable):
                self._hold_against_the_next()
            raise

    def _hold_against_the_next(self) -> None:
        states = [state for shard in self._numbers if (state := self.store.read_state(shard)) is not None]
        for extent in self._extents(self.positions.extents).values():
            offset = min(read_next_offset(state.ledger.get(extent.place, "")) for state in states)
            if offset < extent.high:
                self._accused._ends.count_ends([self._accused._name(extent.place, offset)])


class HarmlessNotTried(Quarantine):
    """Nobody asks whether a harmless record would fare better."""

    def decode(self, run: RecordColumns, stream_time_ms: int, isolated: IsolatedFold) -> DecodedRun:
        return super().decode(run, stream_time_ms, _make_credulous(isolated))

    def count_and_raise(
        self, raised: RecordRaised, isolated: IsolatedFold, positions: Positions, is_well: Callable[[], bool]
    ) -> NoReturn:
        super().count_and_raise(raised, _make_credulous(isolated), positions, is_well)


def _make_credulous(isolated: IsolatedFold) -> Credulous:
    return Credulous(isolated.job, isolated.projects, isolated.shards, isolated.server_s)


class Credulous(IsolatedFold, frozen=True):
    def accepts_harmless_record(self, run: RecordColumns, stream_time_ms: int) -> bool:
        return True


PLANTS: tuple[type[Any], ...] = (QuarantinedUnseen, NeverCleared, CountedOnUnavailable, HarmlessNotTried)


def make_planted_world(plant: type[Any], seed: int) -> World:
    """The world of a seed with the plant in it."""
    if plant is CountedOnUnavailable:
        return PoisonedWorld(seed, worker=plant, quarantine_of=QuarantinedUnseen)
    return (
        PoisonedWorld(seed, quarantine_of=plant) if issubclass(plant, Quarantine) else PoisonedWorld(seed, worker=plant)
    )
