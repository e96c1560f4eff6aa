"""What a worker caches of one shard: dedup blocks, loose ids, orders, persons, members of sketches.   Stage 3 of 6.

All of it is a copy of what the store will have once the batch in flight has been applied. `apply` compares blocks,
loose ids, orders and persons with the store, so a stale copy of them can never decide. The members of sketches are not
compared: they are dropped whenever the ledger is read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from msgspec import Struct

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.fold.dedup import BlockCache, RepeatFilter
from rtaplatform.process.fold.job import BatchFold, Job
from rtaplatform.process.fold.known_orders import KnownOrders
from rtaplatform.process.fold.loose_ids import LooseKey
from rtaplatform.process.fold.person_state import PersonCache, PersonKey, PersonStates
from rtaplatform.process.fold.replays import SettledReplays
from rtaplatform.process.fold.sketch_members import SketchMemberCache
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.store.port import AggregateStore, Conflicted, Delta


class MissingCopies(Struct):
    """What folding needs and is not cached. The store must be asked for it first."""

    blocks: list[str]
    loose: list[LooseKey]
    persons: list[PersonKey]

    def __bool__(self) -> bool:
        return bool(self.blocks or self.loose or self.persons)


class ShardCaches:
    """The copies of one shard, with the shard's share of the worker's limits."""

    def __init__(self, limits: WorkerLimits, shards: int) -> None:
        self.blocks = BlockCache(limits.dedup_ids_cached_max // shards)  # and the loose ids
        self.persons = PersonCache(limits.person_values_cached_max // shards)
        self.orders = KnownOrders(max(1, limits.orders_known_max // shards))
        self.members = SketchMemberCache(limits.sketch_members_cached_max // shards)
        self.settled_replays = SettledReplays()

    def list_missing(self, job: Job, items: Sequence[Any]) -> MissingCopies:
        """What folding these items needs and is not cached."""
        return MissingCopies(
            self.blocks.list_missing(job.list_block_names(items)),
            self.blocks.loose.list_missing(job.list_loose_ids(items)),
            self.persons.list_missing(job.list_persons(items), job.list_named_persons),
        )

    def load(
        self, job: Job, copies: Sequence[MissingCopies], store: AggregateStore, shard: int, generation: str
    ) -> None:
        """Ask the store for all of these, with one call for each kind; two for persons that point at others."""
        self.blocks.load(chain.from_iterable(m.blocks for m in copies), partial(store.read_blocks, shard, generation))
        loose = chain.from_iterable(m.loose for m in copies)
        self.blocks.loose.load(loose, partial(store.read_loose_ids, shard, generation))
        persons = chain.from_iterable(m.persons for m in copies)
        self.persons.load(persons, partial(store.read_persons, shard, generation), job.list_named_persons)

    def begin_fold(self, job: Job, projects: Mapping[str, ProjectSettings], server_s: int) -> BatchFold:
        """Begin to fold a batch over these copies. Folding does not change them; `accept` does."""
        return job.fold(
            projects, RepeatFilter(self.blocks, self.orders, self.settled_replays), PersonStates(self.persons), server_s
        )

    def accept(self, delta: Delta) -> None:
        """The delta is sent: update the copies as if it had been applied; but `members` once it is."""
        self.blocks.accept(delta.blocks)
        self.blocks.loose.accept(delta.loose)
        self.accept_again(delta)

    def accept_again(self, delta: Delta) -> None:
        """The delta is sent once more, with other persons and orders."""
        self.orders.accept(delta.orders)
        self.persons.accept(delta.persons)

    def learn(self, conflict: Conflicted, job: Job, store: AggregateStore, shard: int, generation: str) -> None:
        """Read the persons and orders that another worker has changed, once the fold has taken back its delta."""
        self.orders.learn(conflict.orders)
        self.persons.drop(conflict.persons)
        self.persons.load(conflict.persons, partial(store.read_persons, shard, generation), job.list_named_persons)

    def drop(self, delta: Delta) -> None:
        """The delta met a conflict: drop the copies that it was computed from."""
        self.blocks.drop(write.name for write in delta.blocks)
        self.orders.take_back(delta.orders)
        self.persons.drop((write.project, write.person) for write in delta.persons)

    def clear(self) -> None:
        """Drop all copies but the orders: the next conflict corrects those."""
        self.blocks.clear()
        self.persons.clear()
        self.members.clear()

    def clear_uncompared(self) -> None:
        """Keep blocks and persons only: `drop` has removed those that another worker has changed."""
        self.blocks.loose.clear()
        self.members.clear()

    def trim(self) -> None:
        """Drop the least recently used copies, down to the limits. Call it between batches only."""
        self.blocks.trim()
        self.orders.trim()
        self.persons.trim()
