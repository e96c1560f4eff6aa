"""More planted bugs: of what several partitions share (persons and dedup blocks), of refusals, of damaged logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import structs

from rtaplatform.core.errors import Unavailable
from rtaplatform.process.fold.decode_run import DecodedRecord
from rtaplatform.process.fold.job import FoldWithPeople
from rtaplatform.process.worker.in_flight import InFlightApply, ShardBatch
from rtaplatform.process.worker.limits import BatchConflict
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.port import Advance, Applied, Conflicted, Delta, Moved, Outcome, ShardState
from rtaplatform.stream.memory import MemoryLog
from rtaplatform.stream.port import OffsetRange, Partition, RecordColumns
from tests.simulation.damage import DamagedWorld
from tests.simulation.planted import Plain, home_of
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
        return self.really(shard, generation, structs.replace(delta, blocks=blocks))


class LooseNotCompared(Plain):
    """Whoever has read that an id is not there may write it, also after another has."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        stored = self.shards[shard].totals.loose
        loose = [
            structs.replace(w, expected_ms=[stored.get(w.name, {}).get(each, -1) for each in w.ids])
            for w in delta.loose
        ]
        return self.really(shard, generation, structs.replace(delta, loose=loose))


class PersonsNotCompared(Plain):
    """The last to write a person's value is right."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        stored = self.shards[shard].totals.persons
        persons = [structs.replace(p, expected=stored.get((p.project, p.person), b"")[:8]) for p in delta.persons]
        return self.really(shard, generation, structs.replace(delta, persons=persons))


class AbsentIsAnyVersion(Plain):
    """A person who was not there when read is taken for new, whoever has come since."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        stored = self.shards[shard].totals.persons
        persons = [
            p if p.expected else structs.replace(p, expected=stored.get((p.project, p.person), b"")[:8])
            for p in delta.persons
        ]
        return self.really(shard, generation, structs.replace(delta, persons=persons))


class DedupOutsideTheCall(Plain):
    """Ids are remembered in a call of their own; a crash after it, and the events are repeats when they come again."""

    calls = 0

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        moves = [Advance(m.place, m.after, m.after) for m in delta.moves if m.after]
        outcome = self.really(shard, generation, Delta(moves, blocks=delta.blocks))
        self.calls += 1
        if not isinstance(outcome, Applied):
            return outcome
        if self.calls % 20 == 0:
            raise Unavailable("redis", "died between ids and totals")
        return self.really(shard, generation, structs.replace(delta, blocks=[]))


class RetryAfterTorn(Plain):
    """A marker that was left is taken away, and the batch sent again."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        self.shards[shard].totals.inflight = ""
        return self.really(shard, generation, delta)

    def state(self, shard: int) -> ShardState | None:
        state = super().state(shard)
        return state and structs.replace(state, torn=False)


# Workers -----------------------------------------------------------------------------------------------------------


class MovedIsIgnored(Worker):
    """The position is taken from the answer, and reading goes on where it was."""

    def _judge(self, sent: InFlightApply, outcome: Outcome) -> None:
        if isinstance(outcome, Moved) and outcome.generation == self._at.shards[sent.shard].generation:
            rows = [Advance(place, "", row) for place, row in outcome.rows.items() if row]
            self._at.accept(sent.shard, rows)
        else:
            super()._judge(sent, outcome)


class MovedIsRetried(Worker):
    """The position is taken from the answer, and the same batch sent again."""

    def _judge(self, sent: InFlightApply, outcome: Outcome) -> None:
        if isinstance(outcome, Moved):
            moves = [Advance(m.place, outcome.rows[m.place], m.upto) for m in sent.delta.moves]
            outcome = self._store.apply(sent.shard, outcome.generation, structs.replace(sent.delta, moves=moves))
        super()._judge(sent, outcome)


class TokensStay(Worker):
    """A value that is written keeps its version."""

    def _delta(self, shard: int, part: ShardBatch) -> Delta:
        delta = super()._delta(shard, part)
        delta.persons = [structs.replace(p, token=p.expected or p.token) for p in delta.persons]
        return delta


class OnlyTheTokenIsReadAgain(Worker):
    """After a conflict the old copy of the value goes on, under the new version."""

    def _judge(self, sent: InFlightApply, outcome: Outcome) -> None:
        copies = self._caches[sent.shard].persons
        kept = dict(copies._stored)
        try:
            super()._judge(sent, outcome)
        except BatchConflict:
            assert isinstance(outcome, Conflicted)
            found = self._store.persons(sent.shard, self._at.shards[sent.shard].generation, outcome.persons)
            for key, stored in zip(outcome.persons, found, strict=True):
                copies._stored[key] = stored[:8] + kept.get(key, stored)[8:]
            raise


class RepeatsChangePersons(Worker):
    """What is no new event is counted in the value of its person all the same."""

    def _open_part(self, shard: int) -> ShardBatch:
        part = super()._open_part(shard)
        assert isinstance(part.folding, FoldWithPeople)
        add = part.folding._fold.add

        def add_all(place: str, read: Sequence[DecodedRecord]) -> list[DecodedRecord]:
            add(place, read)
            return []

        part.folding._fold.add = add_all  # type: ignore[method-assign]  # the plant
        return part


# Of damaged logs ---------------------------------------------------------------------------------------------------


class NoFingerprint(Worker):
    """Another record under the same offset is not noticed."""

    def _is_ours(self, run: RecordColumns) -> bool:
        return run.partition in self._at.extents and str(run.partition) not in self._at.stops


class BareOffsets(NoFingerprint):
    """A position is a number: whichever topic it was counted in."""

    def _begin(self) -> None:
        really, log = self._log, _Bare(self._log, self._store.state(0))
        self._log = log
        try:
            super()._begin()
        finally:
            self._log = really


class _Bare:
    """The log, where each topic has the id that was counted."""

    def __init__(self, log: Any, state: ShardState | None) -> None:
        self._log, self._topics = log, state.topics if state else {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        return {
            p: structs.replace(e, place=e.place._replace(topic_id=self._topics.get(p.topic, e.place.topic_id)))
            for p, e in self._log.extents(partitions).items()
        }


class GapsAreSkipped(MemoryLog):
    """An offset that is out of range is set to the nearest that is there."""

    def extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        return {p: structs.replace(e, low=0, high=2**40) for p, e in super().extents(partitions).items()}

    def seek(self, positions: Mapping[Partition, int]) -> None:
        there = super().extents(positions)
        super().seek({p: min(max(offset, there[p].low), there[p].high) for p, offset in positions.items()})


class MissingRowIsZero(Plain):
    """A partition without a row is read from offset 0, wherever its generation began."""

    def state(self, shard: int) -> ShardState | None:
        state = super().state(shard)
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


def planted_world(plant: type[Any], seed: int) -> World:
    """The world of a seed with the plant in it: the one that is made for what it breaks."""
    if plant in STORES:
        return SCRIPTED.get(plant, World)(seed, home=home_of(plant))
    if plant in WORKERS:
        return SCRIPTED.get(plant, World)(seed, worker=plant)
    if issubclass(plant, Worker):
        return CutWorld(seed, worker=plant)
    return CutWorld(seed, log=plant) if issubclass(plant, MemoryLog) else CutWorld(seed, home=home_of(plant))
