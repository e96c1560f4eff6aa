"""More planted bugs: of what several partitions share (persons and dedup blocks), of refusals, of damaged logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import structs

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.process.fold.decode_run import DecodedRecord
from rtaplatform.process.fold.job import FoldWithPersons
from rtaplatform.process.fold.person_state import PersonKey
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.port import Advance, Applied, Conflicted, Delta, Moved, Outcome, ShardState
from rtaplatform.stream.memory import MemoryLog
from rtaplatform.stream.port import OffsetRange, Partition
from tests.simulation.damage import DamagedWorld
from tests.simulation.planted import Plain, make_home
from tests.simulation.planted_ports import OtherRows, PlantedWorker, Port, is_batch
from tests.simulation.scripted import (
    StoreGoesBackUnderACall,
    TwoMeetInALooseId,
    TwoMeetInSeveralRecords,
    TwoMeetSomebodyNew,
)
from tests.simulation.world import World


class CutWorld(DamagedWorld):
    """A log that is damaged all the time."""

    often = 6.0


# Stores ------------------------------------------------------------------------------------------------------------


class BlocksNotCompared(Plain):
    """Whoever has read a block may add to it, also after another has."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        stored = self.shards[shard].totals.blocks
        blocks = [structs.replace(b, expected=stored.get(b.name, b"")[:8]) for b in delta.blocks]
        return self.apply_really(shard, generation, structs.replace(delta, blocks=blocks))


class LooseNotCompared(Plain):
    """Whoever has read that an id is not there may write it, also after another has."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        stored = self.shards[shard].totals.loose
        loose = [
            structs.replace(w, expected_ms=[stored.get(w.name, {}).get(id, -1) for id in w.ids]) for w in delta.loose
        ]
        return self.apply_really(shard, generation, structs.replace(delta, loose=loose))


class PersonsNotCompared(Plain):
    """The last to write a person's value is right."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        stored = self.shards[shard].totals.persons
        persons = [structs.replace(p, expected=stored.get((p.project, p.person), b"")[:8]) for p in delta.persons]
        return self.apply_really(shard, generation, structs.replace(delta, persons=persons))


class AbsentIsAnyVersion(Plain):
    """A person who was not there when read is taken for new, whoever has come since."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        stored = self.shards[shard].totals.persons
        persons = [
            p if p.expected else structs.replace(p, expected=stored.get((p.project, p.person), b"")[:8])
            for p in delta.persons
        ]
        return self.apply_really(shard, generation, structs.replace(delta, persons=persons))


class DedupOutsideTheCall(Plain):
    """Ids are remembered in a call of their own; a crash after it, and the events are repeats when they come again."""

    calls = 0

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        moves = [Advance(m.place, m.from_row, m.from_row) for m in delta.moves if m.from_row]
        outcome = self.apply_really(shard, generation, Delta(moves, blocks=delta.blocks))
        self.calls += 1
        if not isinstance(outcome, Applied):
            return outcome
        if self.calls % 20 == 0:
            raise Unavailable("redis", "died between ids and totals")
        return self.apply_really(shard, generation, structs.replace(delta, blocks=[]))


class RetryAfterTorn(Plain):
    """A marker that was left is taken away, and the batch sent again."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        self.shards[shard].totals.inflight = ""
        return self.apply_really(shard, generation, delta)

    def read_state(self, shard: int) -> ShardState | None:
        state = super().read_state(shard)
        return state and structs.replace(state, torn=False)


# Workers -----------------------------------------------------------------------------------------------------------


class _MovesIgnored(OtherRows):
    def find_rows_of_ignored(self, outcome: Outcome, generation: str, delta: Delta) -> Mapping[PartitionId, str] | None:
        if isinstance(outcome, Moved) and outcome.generation == generation:
            return {place: row for place, row in outcome.rows.items() if row}
        return None


class MovedIsIgnored(PlantedWorker):
    """The position is taken from the answer, and reading goes on where it was."""

    store_port = _MovesIgnored


class _MovesRetried(Port):
    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        outcome: Outcome = self.target.apply(shard, generation, delta)
        if isinstance(outcome, Moved) and is_batch(delta):
            moves = [Advance(m.place, outcome.rows[m.place], m.to_row) for m in delta.moves]
            outcome = self.target.apply(shard, outcome.generation, structs.replace(delta, moves=moves))
        return outcome


class MovedIsRetried(PlantedWorker):
    """The position is taken from the answer, and the same batch sent again."""

    store_port = _MovesRetried


class _OldTokens(Port):
    """A batch that is folded, or what folds it."""

    def fold(self, *arguments: Any) -> _OldTokens:
        return _OldTokens(self.target.fold(*arguments), self.worker)

    def make_delta(self) -> Delta:
        delta: Delta = self.target.make_delta()
        delta.persons = [structs.replace(p, token=p.expected or p.token) for p in delta.persons]
        return delta


class TokensStay(PlantedWorker):
    """A value that is written keeps its version."""

    job_port = _OldTokens


class _OldValues(Port):
    """Persons whom a conflict has named are read with what the refused batch has made of them."""

    def __init__(self, target: Any, worker: Any) -> None:
        super().__init__(target, worker)
        self._refused: dict[PersonKey, bytes] = {}

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        outcome: Outcome = self.target.apply(shard, generation, delta)
        if isinstance(outcome, Conflicted) and not outcome.projects:
            written = {(write.project, write.person): write.value for write in delta.persons}
            self._refused |= {key: value for key, value in written.items() if key in outcome.persons}
        return outcome

    def read_persons(self, shard: int, generation: str, keys: Sequence[PersonKey]) -> list[bytes]:
        values = self.target.read_persons(shard, generation, keys)
        return [stored[:8] + self._refused.pop(key, stored[8:]) for key, stored in zip(keys, values, strict=True)]


class OnlyTheTokenIsReadAgain(PlantedWorker):
    """After a conflict the old copy of the value goes on, under the new version."""

    store_port = _OldValues


class _AllEventsForPersons(Port):
    def fold(self, *arguments: Any) -> FoldWithPersons:
        folding = self.target.fold(*arguments)
        assert isinstance(folding, FoldWithPersons)
        add = folding._fold.add

        def add_all(place: str, records: Sequence[DecodedRecord]) -> list[DecodedRecord]:
            add(place, records)
            return [record for record in records if record.event is not None]

        folding._fold.add = add_all  # type: ignore[method-assign]  # the plant
        return folding


class RepeatsChangePersons(PlantedWorker):
    """What is no new event is counted in the value of its person all the same."""

    job_port = _AllEventsForPersons


# Of damaged logs ---------------------------------------------------------------------------------------------------


class NoFingerprint(PlantedWorker):
    """Another record under the same offset is not noticed."""

    def on_found_positions(self) -> None:
        self.positions.find_mismatch = lambda run: None  # type: ignore[method-assign]  # the plant


class _TopicsAsCounted(Port):
    """The log, where each topic has the id that was counted."""

    def read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        state = self.worker.store.read_state(0)
        topics = state.topics if state else {}
        return {
            p: structs.replace(e, place=e.place._replace(topic_id=topics.get(p.topic, e.place.topic_id)))
            for p, e in self.target.read_extents(partitions).items()
        }


class BareOffsets(NoFingerprint):
    """A position is a number: whichever topic it was counted in."""

    log_port = _TopicsAsCounted


class GapsAreSkipped(MemoryLog):
    """An offset that is out of range is set to the nearest that is there."""

    def read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        return {p: structs.replace(e, low=0, high=2**40) for p, e in super().read_extents(partitions).items()}

    def seek(self, positions: Mapping[Partition, int]) -> None:
        there = super().read_extents(positions)
        super().seek({p: min(max(offset, there[p].low), there[p].high) for p, offset in positions.items()})


class MissingRowIsZero(Plain):
    """A partition without a row is read from offset 0, wherever its generation began."""

    def read_state(self, shard: int) -> ShardState | None:
        state = super().read_state(shard)
        return state and structs.replace(state, starts={})


STORES = (
    BlocksNotCompared,
    LooseNotCompared,
    PersonsNotCompared,
    AbsentIsAnyVersion,
    DedupOutsideTheCall,
    RetryAfterTorn,
)
WORKERS = (
    MovedIsIgnored, MovedIsRetried, TokensStay, OnlyTheTokenIsReadAgain, RepeatsChangePersons,
)  # fmt: skip
OF_A_CUT_LOG = (NoFingerprint, BareOffsets, GapsAreSkipped, MissingRowIsZero)
PLANTS: tuple[type[Any], ...] = (*STORES, *WORKERS, *OF_A_CUT_LOG)
SCRIPTED: dict[type[Any], type[World]] = {
    LooseNotCompared: TwoMeetInALooseId,
    AbsentIsAnyVersion: TwoMeetSomebodyNew,
    OnlyTheTokenIsReadAgain: TwoMeetInSeveralRecords,
    MovedIsIgnored: StoreGoesBackUnderACall,
}


def make_planted_world(plant: type[Any], seed: int) -> World:
    """The world of a seed with the plant in it: the one that is made for what it breaks."""
    if plant in STORES:
        return SCRIPTED.get(plant, World)(seed, home=make_home(plant))
    if plant in WORKERS:
        return SCRIPTED.get(plant, World)(seed, worker=plant)
    if issubclass(plant, Worker):
        return CutWorld(seed, worker=plant)
    return CutWorld(seed, log=plant) if issubclass(plant, MemoryLog) else CutWorld(seed, home=make_home(plant))
