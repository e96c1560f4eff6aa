"""Bugs that a system of this kind has had, planted one at a time: the simulation must find each.

A plant is a worker, a store or a log with one promise broken, the rest as it is. What several partitions share, what is
refused, and logs that are damaged have theirs in planted_shared.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import structs

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.process.fold.decode_run import EventRun
from rtaplatform.process.fold.dedup import Lookup
from rtaplatform.process.fold.job import DecodedRun
from rtaplatform.process.fold.sketch_members import SketchMemberCache
from rtaplatform.process.worker.in_flight import CallStarter
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.memory.memory_store import MemoryStore
from rtaplatform.store.port import Advance, Applied, Conflicted, Delta, Outcome, ShardState
from rtaplatform.stream.memory import MemoryLog
from rtaplatform.stream.port import DeadLetter, OffsetRange, Partition, RecordColumns
from tests.simulation.planted_ports import OtherRows, PlantedWorker, Port, is_batch
from tests.simulation.scripted import CallWithoutAnEffect
from tests.simulation.world import PROJECTS, MemoryHome, World

# Stores ------------------------------------------------------------------------------------------------------------


class Plain(MemoryStore):
    """A store whose `apply` a plant changes; the real one is `apply_really`."""

    def apply_really(self, shard: int, generation: str, delta: Delta) -> Outcome:
        return super().apply(shard, generation, delta)


class PositionBeforeTotals(Plain):
    """The position moves in a call of its own; a crash between the two loses the batch."""

    calls = 0

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        if not delta.cells:
            return self.apply_really(shard, generation, delta)
        outcome = self.apply_really(shard, generation, Delta(delta.moves))
        self.calls += 1
        if self.calls % 20 == 0 or not isinstance(outcome, Applied):
            raise Unavailable("redis", "died between position and totals")
        return self.apply_really(shard, generation, structs.replace(delta, moves=[]))


class TotalsBeforePosition(Plain):
    """The totals are written first; a crash before the position counts the batch twice."""

    calls = 0

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        checked = self.apply_really(
            shard, generation, Delta([Advance(m.place, m.from_row, m.from_row) for m in delta.moves if m.from_row])
        )
        if not delta.cells or not isinstance(checked, Applied):
            return self.apply_really(shard, generation, delta)
        self.calls += 1
        if self.calls % 20 == 0:
            self.apply_really(shard, generation, structs.replace(delta, moves=[], blocks=[]))
            raise Unavailable("redis", "died between totals and position")
        return self.apply_really(shard, generation, delta)


class NoPositionCompared(Plain):
    """Whoever comes may write: a zombie's batch counts again."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        ledger = self.shards[shard].totals.ledger
        moves = [Advance(m.place, ledger.get(m.place, ""), m.to_row) for m in delta.moves]
        return self.apply_really(shard, generation, structs.replace(delta, moves=moves))


class NoGenerationCompared(Plain):
    """A worker of an emptied shard goes on with the old one's name."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        ledger = self.shards[shard].totals.ledger
        moves = [Advance(m.place, ledger.get(m.place, m.from_row), m.to_row) for m in delta.moves]
        return self.apply_really(shard, self.shards[shard].generation, structs.replace(delta, moves=moves))


class OffsetsComparedOnly(Plain):
    """An absent row is taken for any: a shard that was emptied goes on in the middle."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        totals = self.shards[shard].totals
        for move in delta.moves:
            totals.ledger.setdefault(move.place, move.from_row) if move.from_row else None
        return self.apply_really(shard, self.shards[shard].generation, delta)


class BlocksExpire(Plain):
    """Blocks go by a clock on the wall: here, after so many calls."""

    calls = 0

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        self.calls += 1
        if self.calls % 10 == 0:
            self.shards[shard].totals.blocks.clear()
        return self.apply_really(shard, generation, delta)


class BlocksReplaced(Plain):
    """New ids push out the ones that were there."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        blocks = [structs.replace(b, replace=bool(b.ids)) for b in delta.blocks]
        return self.apply_really(shard, generation, structs.replace(delta, blocks=blocks))


class BlocksForgottenTooSoon(Plain):
    """Cleaning takes blocks that still decide."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        soon = {dedup_partition: before + 86_400_000 for dedup_partition, before in delta.expired_blocks.items()}
        return self.apply_really(shard, generation, structs.replace(delta, expired_blocks=soon))


class LooseForgottenTooSoon(Plain):
    """Cleaning takes loose ids that still decide: after an hour."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        outcome, loose = self.apply_really(shard, generation, delta), self.shards[shard].totals.loose
        for dedup_partition, before in delta.expired_blocks.items():
            for name in [name for name in loose if name.endswith(f":{dedup_partition}")]:
                loose[name] = {id: at for id, at in loose[name].items() if at > before + 23 * 3_600_000}
        return outcome


class LostShardIsNew(MemoryStore):
    """A shard without a manifest is begun where Kafka stands, as if it were new."""

    def read_state(self, shard: int) -> ShardState | None:
        state = super().read_state(shard)
        if state is None:
            self.begin(shard, expected="", generation="again", topics={}, starts={})
            topics = {name: f"{name}-1" for name in ("rta.events.web", "rta.events.mobile", "rta.events.server")}
            rows = dict.fromkeys((PartitionId(i, n) for i in topics.values() for n in range(2)), "7|6|1||0|1")
            self.shards[shard].manifests["again"] = (topics, {})
            self.shards[shard].totals.ledger |= rows
            self.set_projects(PROJECTS, "again")
            return super().read_state(shard)
        return state


# Workers -----------------------------------------------------------------------------------------------------------


class NothingIsNew(PlantedWorker):
    """What a shard has already is folded into it again."""

    def on_found_positions(self) -> None:
        self.positions.find_next_uncounted_offset = lambda *_: 0  # type: ignore[method-assign]  # the plant


class _HeldDeadLetters(Port):
    """They are not sent when they should be."""

    letters_on_hold: Sequence[DeadLetter] = ()

    def quarantine(self, dead_letters: Sequence[DeadLetter]) -> None:
        self.letters_on_hold = dead_letters


class _DeadLettersLast(Port):
    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        letters_on_hold, self.worker.dead_letters.letters_on_hold = self.worker.dead_letters.letters_on_hold, ()
        outcome: Outcome = self.target.apply(shard, generation, delta)
        if letters_on_hold:
            self.worker.dead_letters.target.quarantine(letters_on_hold)
        return outcome


class DeadLettersAfterTheLedger(PlantedWorker):
    """The dead letters are sent once the ledger has moved: a crash between loses them."""

    dead_letters_port, store_port = _HeldDeadLetters, _DeadLettersLast


class _NeverCleared(SketchMemberCache):
    def clear(self) -> None:
        """Keep them."""


class CachesOutliveTrouble(Worker):
    """What was kept here is trusted after another worker or a roll-back."""

    def __init__(self, *ports: Any, **more: Any) -> None:
        super().__init__(*ports, **more)
        for caches in self._parts.caches:
            caches.members = _NeverCleared(WorkerLimits().sketch_members_cached_max)


class _TimeOfBatch(Port):
    def decode(self, run: RecordColumns, stream_time_ms: int, *more: Any) -> DecodedRun:
        read: DecodedRun = self.target.decode(run, max(*run.timestamps_ms, stream_time_ms), *more)
        return read


class BatchClock(PlantedWorker):
    """Stream time is that of the batch, so that another cut of the log decides otherwise."""

    job_port = _TimeOfBatch


class _TimeFromZero(Port):
    def decode(self, run: RecordColumns, _stream_time_ms: int, *more: Any) -> DecodedRun:
        read: DecodedRun = self.target.decode(run, 0, *more)
        return read


class NoStreamTime(PlantedWorker):
    """Stream time begins anew with every worker."""

    job_port = _TimeFromZero


class _ConflictsIgnored(OtherRows):
    def find_rows_of_ignored(self, outcome: Outcome, generation: str, delta: Delta) -> Mapping[PartitionId, str] | None:
        is_ignored = isinstance(outcome, Conflicted) and not outcome.projects
        return {move.place: move.from_row for move in delta.moves} if is_ignored else None


class ConflictIsLeftBehind(PlantedWorker):
    """A batch that met a conflict is given up, and reading goes on behind it."""

    store_port = _ConflictsIgnored


class _FromAnywhere(Port):
    """After a failure that nobody minded, a call begins wherever the ledger stands."""

    has_failed = False

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        if self.has_failed and (state := self.target.read_state(shard)) is not None:
            moves = [Advance(move.place, state.ledger.get(move.place, ""), move.to_row) for move in delta.moves]
            delta = structs.replace(delta, moves=moves)
        outcome: Outcome = self.target.apply(shard, generation, delta)
        return outcome


class FailureIsLeftBehind(PlantedWorker):
    """So is one whose call has no answer."""

    store_port = _FromAnywhere

    def on_found_positions(self) -> None:
        self.store.has_failed = False

    def wrap_starter(self, start_call: CallStarter) -> CallStarter:
        def start_and_ignore(call: Callable[[], Outcome]) -> Callable[[], Outcome]:
            wait = start_call(call)

            def outcome() -> Outcome:
                try:
                    return wait()
                except Unavailable:
                    self.store.has_failed = True
                    for caches in self._parts.caches:  # else a conflict of blocks would show what was left behind
                        caches.clear()
                    return Applied()

            return outcome

        return start_and_ignore


class _BlockOnly(Port):
    def decode(self, *arguments: Any) -> DecodedRun:
        read = self.target.decode(*arguments)
        assert isinstance(read, EventRun)
        for record in read.items:
            block, loose = (record.lookup.block, "") if record.lookup.is_near else ("", record.lookup.loose)
            record.lookup = Lookup(block, loose, record.lookup.is_near)
        return read


class OnePlaceIsAsked(PlantedWorker):
    """An id is looked for only where it would be written now, not where it may have been a day ago."""

    job_port = _BlockOnly


class _JudgedElsewhere(Port):
    def decode(self, *arguments: Any) -> DecodedRun:
        read = self.target.decode(*arguments)
        assert isinstance(read, EventRun)
        running = self.worker.positions.shards
        for record in read.items:
            if record.dead_letter is not None and record.shard not in running:
                record.shard = next(iter(running), 0)
        return read


class UnknownWhileLost(PlantedWorker):
    """A project whose shard stands still is judged unknown, and its events are quarantined by another."""

    job_port = _JudgedElsewhere


class _FirstMoveOnly(Port):
    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        moves = delta.moves[:1] if is_batch(delta) else delta.moves
        outcome: Outcome = self.target.apply(shard, generation, structs.replace(delta, moves=moves))
        return outcome


class PartitionOfEachBatchOnly(PlantedWorker):
    """Only the first partition of a batch moves its position."""

    store_port = _FirstMoveOnly


# Logs --------------------------------------------------------------------------------------------------------------


class ResetToLatest(MemoryLog):
    """After each assignment reading goes on at the end."""

    def seek(self, positions: Mapping[Partition, int]) -> None:
        ends = self.read_extents(positions)
        super().seek({p: offset if offset else ends[p].high for p, offset in positions.items()})


class NewPartitionsFromTheEnd(MemoryLog):
    """A partition that was added is read from where it ends."""

    def read_extents(self, partitions: Iterable[Partition]) -> dict[Partition, OffsetRange]:
        return {p: e for p, e in super().read_extents(partitions).items() if p.number < 4}


def make_home(store: type[MemoryStore]) -> type[MemoryHome]:
    class Home(MemoryHome):
        def __init__(self, shards: int) -> None:
            self.store = self.generations = store(shards)

    return Home


STORES = (
    PositionBeforeTotals, TotalsBeforePosition, NoPositionCompared, NoGenerationCompared, OffsetsComparedOnly,
    BlocksExpire, BlocksReplaced, BlocksForgottenTooSoon, LooseForgottenTooSoon, LostShardIsNew,
)  # fmt: skip
WORKERS = (
    NothingIsNew, DeadLettersAfterTheLedger, CachesOutliveTrouble, BatchClock, NoStreamTime,
    ConflictIsLeftBehind, FailureIsLeftBehind, OnePlaceIsAsked, UnknownWhileLost, PartitionOfEachBatchOnly,
)  # fmt: skip
LOGS = (ResetToLatest, NewPartitionsFromTheEnd)


SCRIPTED: dict[type[Any], type[World]] = {FailureIsLeftBehind: CallWithoutAnEffect}  # what chance seldom finds


def make_planted_world(plant: type[Any], seed: int) -> World:
    """The world of a seed with the plant in it."""
    if plant in STORES:
        return World(seed, home=make_home(plant))
    if plant in WORKERS:
        return SCRIPTED.get(plant, World)(seed, worker=plant)
    return World(seed, log=plant)


PLANTS: tuple[type[Any], ...] = (*STORES, *WORKERS, *LOGS)
