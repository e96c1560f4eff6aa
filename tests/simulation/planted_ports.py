"""Where faults are planted: between a worker and its log, store, dead letters and job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from msgspec import structs

from rtaplatform.core.ledger import PartitionId
from rtaplatform.process.worker.in_flight import CallStarter
from rtaplatform.process.worker.worker import Worker
from rtaplatform.store.port import Advance, Applied, Delta, Outcome, ShardState
from rtaplatform.stream.port import Partition


class Port:
    """A neighbour of a worker, of which a plant changes a call or two."""

    def __init__(self, target: Any, worker: Any) -> None:
        self.target, self.worker = target, worker

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


class PlantedWorker(Worker):
    """A worker with other ports than it believes to have."""

    log_port: ClassVar[type[Port]] = Port
    dead_letters_port: ClassVar[type[Port]] = Port
    store_port: ClassVar[type[Port]] = Port
    job_port: ClassVar[type[Port]] = Port

    def __init__(
        self, log: Any, dead_letters: Any, store: Any, *, job: Any, start_call: CallStarter, **more: Any
    ) -> None:
        self.store: Any = self.store_port(store, self)
        self.dead_letters: Any = self.dead_letters_port(dead_letters, self)
        super().__init__(
            _Sought(self.log_port(log, self), self.on_found_positions),
            self.dead_letters,
            self.store,
            job=self.job_port(job, self),
            start_call=self.wrap_starter(start_call),
            **more,
        )

    def on_found_positions(self) -> None:
        """`positions` are those of the ledgers just now: a plant may change them."""

    def wrap_starter(self, start_call: CallStarter) -> CallStarter:
        return start_call


class _Sought:
    """The log; somebody is told when a worker has found its positions."""

    def __init__(self, log: Any, tell: Callable[[], None]) -> None:
        self._log, self._tell = log, tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def seek(self, positions: Mapping[Partition, int]) -> None:
        self._log.seek(positions)
        self._tell()


def is_batch(delta: Delta) -> bool:
    """Whether it is no comparison."""
    return bool(delta.projects_version)


class OtherRows(Port):
    """A store; after an outcome that a plant ignores, the next call begins at the row that the plant names."""

    def __init__(self, target: Any, worker: Any) -> None:
        super().__init__(target, worker)
        self._rows: dict[tuple[int, PartitionId], str] = {}

    def find_rows_of_ignored(self, outcome: Outcome, generation: str, delta: Delta) -> Mapping[PartitionId, str] | None:
        """None: the outcome is not ignored."""
        raise NotImplementedError

    def read_state(self, shard: int) -> ShardState | None:
        state: ShardState | None = self.target.read_state(shard)
        self._rows = {key: row for key, row in self._rows.items() if key[0] != shard}
        return state

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        moves = [Advance(m.place, self._rows.get((shard, m.place), m.from_row), m.to_row) for m in delta.moves]
        delta = structs.replace(delta, moves=moves)
        outcome: Outcome = self.target.apply(shard, generation, delta)
        for move in moves:
            self._rows.pop((shard, move.place), None)
        rows = self.find_rows_of_ignored(outcome, generation, delta) if is_batch(delta) else None
        if rows is None:
            return outcome
        self._rows |= {(shard, place): row for place, row in rows.items()}
        return Applied()
