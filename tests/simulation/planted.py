"""Bugs that a system of this kind has had, planted one at a time: the simulation must find each.

A plant is a worker, a store or a log with one promise broken, the rest as it is. What several partitions share, what is
refused, and logs that are damaged have theirs in planted_shared.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import structs

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.process.fold.decode_run import EventRun as FoldChunk
from rtaplatform.process.fold.decode_run import decode_run
from rtaplatform.process.fold.dedup import Lookup
from rtaplatform.process.fold.job import DecodedRun
from rtaplatform.process.worker.in_flight import BatchDeadLetters, InFlightApply, ShardBatch
from rtaplatform.process.worker.limits import BatchConflict
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import Advance, Applied, Delta, Outcome, ShardState
from rtaplatform.stream.memory import MemoryLog
from rtaplatform.stream.port import OffsetRange, Partition, RecordColumns
from tests.simulation.scripted import CallWithoutAnEffect
from tests.simulation.world import PROJECTS, MemoryHome, World

# Stores ------------------------------------------------------------------------------------------------------------


class Plain(MemoryStore):
    """A store whose `apply` a plant changes; the real one is `really`."""

    def really(self, shard: int, generation: str, delta: Delta) -> Outcome:
        return super().apply(shard, generation, delta)


class PositionBeforeTotals(Plain):
    """The position moves in a call of its own; a crash between the two loses the batch."""

    calls = 0

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        if not delta.cells:
            return self.really(shard, generation, delta)
        outcome = self.really(shard, generation, Delta(delta.moves))
        self.calls += 1
        if self.calls % 20 == 0 or not isinstance(outcome, Applied):
            raise Unavailable("redis", "died between position and totals")
        return self.really(shard, generation, structs.replace(delta, moves=[]))


class TotalsBeforePosition(Plain):
    """The totals are written first; a crash before the position counts the batch twice."""

    calls = 0

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        checked = self.really(
            shard, generation, Delta([Advance(m.place, m.after, m.after) for m in delta.moves if m.after])
        )
        if not delta.cells or not isinstance(checked, Applied):
            return self.really(shard, generation, delta)
        self.calls += 1
        if self.calls % 20 == 0:
            self.really(shard, generation, structs.replace(delta, moves=[], blocks=[]))
            raise Unavailable("redis", "died between totals and position")
        return self.really(shard, generation, delta)


class NoPositionCompared(Plain):
    """Whoever comes may write: a zombie's batch counts again."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        ledger = self.shards[shard].totals.ledger
        moves = [Advance(m.place, ledger.get(m.place, ""), m.upto) for m in delta.moves]
        return self.really(shard, generation, structs.replace(delta, moves=moves))


class NoGenerationCompared(Plain):
    """A worker of an emptied shard goes on with the old one's name."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        ledger = self.shards[shard].totals.ledger
        moves = [Advance(m.place, ledger.get(m.place, m.after), m.upto) for m in delta.moves]
        return self.really(shard, self.shards[shard].generation, structs.replace(delta, moves=moves))


class OffsetsComparedOnly(Plain):
    """An absent row is taken for any: a shard that was emptied goes on in the middle."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        totals = self.shards[shard].totals
        for move in delta.moves:
            totals.ledger.setdefault(move.place, move.after) if move.after else None
        return self.really(shard, self.shards[shard].generation, delta)


class BlocksExpire(Plain):
    """Blocks go by a clock on the wall: here, after so many calls."""

    calls = 0

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        self.calls += 1
        if self.calls % 10 == 0:
            self.shards[shard].totals.blocks.clear()
        return self.really(shard, generation, delta)


class BlocksReplaced(Plain):
    """New ids push out the ones that were there."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        blocks = [structs.replace(b, replace=bool(b.ids)) for b in delta.blocks]
        return self.really(shard, generation, structs.replace(delta, blocks=blocks))


class BlocksForgottenTooSoon(Plain):
    """Cleaning takes blocks that still decide."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        soon = {piece: before + 86_400_000 for piece, before in delta.expired_blocks.items()}
        return self.really(shard, generation, structs.replace(delta, expired_blocks=soon))


class LooseForgottenTooSoon(Plain):
    """Cleaning takes loose ids that still decide: after an hour."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        outcome, loose = self.really(shard, generation, delta), self.shards[shard].totals.loose
        for piece, before in delta.expired_blocks.items():
            for name in [name for name in loose if name.endswith(f":{piece}")]:
                loose[name] = {each: at for each, at in loose[name].items() if at > before + 23 * 3_600_000}
        return outcome


class LostShardIsNew(MemoryStore):
    """A shard without a manifest is begun where Kafka stands, as if it were new."""

    def state(self, shard: int) -> ShardState | None:
        state = super().state(shard)
        if state is None:
            self.begin(shard, expected="", generation="again", topics={}, starts={})
            topics = {name: f"{name}-1" for name in ("rta.events.web", "rta.events.mobile", "rta.events.server")}
            rows = dict.fromkeys((PartitionId(i, n) for i in topics.values() for n in range(2)), "7|6|1||0|1")
            self.shards[shard].manifests["again"] = (topics, {})
            self.shards[shard].totals.ledger |= rows
            self.set_projects(PROJECTS, "again")
            return super().state(shard)
        return state


# Workers -----------------------------------------------------------------------------------------------------------


class NothingIsNew(Worker):
    """What a shard has already is folded into it again."""

    def _begin(self) -> None:
        super()._begin()
        self._at.next_of = lambda *_: 0  # type: ignore[method-assign]  # the plant


class LettersAfterTheLedger(Worker):
    """The dead letters are sent once the ledger has moved: a crash between loses them."""

    def _apply(self, shard: int, part: ShardBatch, letters: BatchDeadLetters | None) -> InFlightApply:
        sent = super()._apply(shard, part, None)
        if part.folding.letters:
            sent.outcome()
            self._letters.set_aside(part.folding.letters)
        return sent


class CachesOutliveTrouble(Worker):
    """What was kept here is trusted after another worker or a roll-back."""

    def _begin(self) -> None:
        kept = [dict(caches.members._sketches) for caches in self._caches]
        super()._begin()
        for caches, sketches in zip(self._caches, kept, strict=True):
            caches.members._sketches.update(sketches)


class BatchClock(Worker):
    """Record time is that of the batch, so that another cut of the log decides otherwise."""

    def _understand(self, runs: Mapping[Partition, RecordColumns]) -> dict[Partition, DecodedRun]:
        projects = self._at.projects()
        newest = {p: max(run.timestamps_ms) for p, run in runs.items()}
        return {
            p: decode_run(run, max(newest[p], self._at.record_ms(p)), projects, self._shards) for p, run in runs.items()
        }


class NoRecordTime(Worker):
    """Record time begins anew with every worker."""

    def _understand(self, runs: Mapping[Partition, RecordColumns]) -> dict[Partition, DecodedRun]:
        return {p: decode_run(run, 0, self._at.projects(), self._shards) for p, run in runs.items()}


class ConflictIsLeftBehind(Worker):
    """A batch that met a conflict is given up, and reading goes on behind it."""

    def _settle(self) -> None:
        try:
            super()._settle()
        except BatchConflict:
            _leave_behind(self)


class FailureIsLeftBehind(Worker):
    """So is one whose call has no answer."""

    def _settle(self) -> None:
        try:
            super()._settle()
        except Unavailable:
            _leave_behind(self)


def _leave_behind(worker: Worker) -> None:
    for sent in worker._sent:
        worker._at.accept(sent.shard, [Advance(move.place, move.upto, move.after) for move in sent.delta.moves])
        worker._caches[sent.shard].blocks.clear()
        worker._caches[sent.shard].persons.clear()
    worker._sent = []
    again = [worker._looked_at(each.shard, each.partition, each.chunk) for each in worker._waiting]
    worker._waiting = [each for each in again if each is not None]


class OnePlaceIsAsked(Worker):
    """An id is looked for only where it would be written now, not where it may have been a day ago."""

    def _understand(self, runs: Mapping[Partition, RecordColumns]) -> dict[Partition, DecodedRun]:
        read = super()._understand(runs)
        for chunk in read.values():
            assert isinstance(chunk, FoldChunk)
            for u in chunk.items:
                block, loose = (u.where.block, "") if u.where.is_near else ("", u.where.loose)
                u.where = Lookup(block, loose, u.where.is_near)
        return read


class UnknownWhileLost(Worker):
    """A project whose shard stands still is judged unknown, and its events are set aside by another."""

    def _understand(self, runs: Mapping[Partition, RecordColumns]) -> dict[Partition, DecodedRun]:
        read = super()._understand(runs)
        standing = next(iter(self._at.shards), 0)
        for chunk in read.values():
            assert isinstance(chunk, FoldChunk)
            for u in chunk.items:
                if u.dead is not None and u.shard not in self._at.shards:
                    u.shard = standing
        return read


class PartitionOfEachBatchOnly(Worker):
    """Only the first partition of a batch moves its position."""

    def _delta(self, shard: int, part: ShardBatch) -> Delta:
        delta = super()._delta(shard, part)
        delta.moves = delta.moves[:1]
        return delta


# Logs --------------------------------------------------------------------------------------------------------------


class ResetToLatest(MemoryLog):
    """After each assignment reading goes on at the end."""

    def seek(self, positions: Mapping[Partition, int]) -> None:
        ends = self.extents(positions)
        super().seek({p: offset if offset else ends[p].high for p, offset in positions.items()})


class NewPartitionsFromTheEnd(MemoryLog):
    """A partition that was added is read from where it ends."""

    def extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        return {p: e for p, e in super().extents(partitions).items() if p.number < 4}


def home_of(store: type[MemoryStore]) -> type[MemoryHome]:
    class Home(MemoryHome):
        def __init__(self, shards: int) -> None:
            self.store = self.generations = store(shards)

    return Home


STORES = (
    PositionBeforeTotals, TotalsBeforePosition, NoPositionCompared, NoGenerationCompared, OffsetsComparedOnly,
    BlocksExpire, BlocksReplaced, BlocksForgottenTooSoon, LooseForgottenTooSoon, LostShardIsNew,
)  # fmt: skip
WORKERS = (
    NothingIsNew, LettersAfterTheLedger, CachesOutliveTrouble, BatchClock, NoRecordTime,
    ConflictIsLeftBehind, FailureIsLeftBehind, OnePlaceIsAsked, UnknownWhileLost, PartitionOfEachBatchOnly,
)  # fmt: skip
LOGS = (ResetToLatest, NewPartitionsFromTheEnd)


SCRIPTED: dict[type[Any], type[World]] = {FailureIsLeftBehind: CallWithoutAnEffect}  # what chance seldom finds


def planted_world(plant: type[Any], seed: int) -> World:
    """The world of a seed with the plant in it."""
    if plant in STORES:
        return World(seed, home=home_of(plant))
    if plant in WORKERS:
        return SCRIPTED.get(plant, World)(seed, worker=plant)
    return World(seed, log=plant)


PLANTS: tuple[type[Any], ...] = (*STORES, *WORKERS, *LOGS)
