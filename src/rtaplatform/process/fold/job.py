"""What a worker counts, as a port: how records are decoded, and how they are folded.   Stage 3 of 6.

The worker's loop carries the guarantee and knows nothing of events. `ECOMMERCE_JOB` is what the platform counts;
benchmarks of the loop use jobs of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.fold.decode_run import DecodedRecord, decode_run
from rtaplatform.process.fold.dedup import RepeatFilter
from rtaplatform.process.fold.fold import EventFold
from rtaplatform.process.fold.loose_ids import LooseKey
from rtaplatform.process.fold.person_state import PersonBatch, PersonFold, PersonKey, PersonStates
from rtaplatform.process.people.people_fold import PeopleFold
from rtaplatform.store.port import Delta
from rtaplatform.stream.port import DeadLetter, RecordColumns


class DecodedRun(Protocol):
    """A run of records that has been decoded."""

    @property
    def columns(self) -> RecordColumns: ...
    @property
    def stream_time_ms(self) -> int:
        """Stream time at the run's last record."""
        ...

    def __len__(self) -> int: ...
    def skip_to(self, offset: int) -> DecodedRun:
        """The records from this offset on; often all, and perhaps none."""
        ...

    def select_items(self, shard: int, shards: int) -> Sequence[Any]:
        """What the shard has to fold."""
        ...

    def list_unknown_projects(self) -> Collection[str]:
        """The names of projects that were not found; they may have been made since the projects were read."""
        ...


class BatchFold(Protocol):
    """The fold of one batch in one shard."""

    @property
    def dead_letters(self) -> list[DeadLetter]: ...

    def add(self, place: str, items: Sequence[Any]) -> object: ...
    def make_delta(self) -> Delta:
        """What the batch adds. Take it once all items are there."""
        ...

    def take_back(self) -> None:
        """The store has refused the delta, because of persons or orders: what was cached of them is as it was before.

        The delta can be taken again, once the caches have what the store has.
        """
        ...


class Job(Protocol):
    def decode(
        self, run: RecordColumns, stream_time_ms: int, projects: Mapping[str, ProjectSettings], shards: int
    ) -> DecodedRun:
        """Decode the records of one partition; `stream_time_ms` is the stream time before the first of them."""
        ...

    def list_block_names(self, items: Sequence[Any]) -> Iterable[str]:
        """The dedup blocks that folding these items needs."""
        ...

    def list_loose_ids(self, items: Sequence[Any]) -> Iterable[LooseKey]:
        """The loose ids that folding these items needs."""
        ...

    def list_persons(self, items: Sequence[Any]) -> Iterable[PersonKey]:
        """The persons whose values folding these items needs."""
        ...

    def list_named_persons(self, key: PersonKey, value: bytes) -> Iterable[PersonKey]:
        """The persons whose values folding needs as well, because the value of `key` names them."""
        ...

    def fold(
        self, projects: Mapping[str, ProjectSettings], repeats: RepeatFilter, persons: PersonStates, server_s: int = 0
    ) -> BatchFold:
        """`server_s`: a time that the store's clock has passed; buckets that have expired by then may be left out."""
        ...


_PEOPLE_FOLD = PeopleFold()


class EcommerceJob:
    """Everything that the platform counts. With `person_fold=None` it counts no persons; benchmarks compare the two."""

    def __init__(self, person_fold: PersonFold | None = _PEOPLE_FOLD) -> None:
        self._person_fold = person_fold

    @property
    def counts_people(self) -> bool:
        """Whether days, cohorts and sessions are counted."""
        return self._person_fold is not None

    def decode(
        self, run: RecordColumns, stream_time_ms: int, projects: Mapping[str, ProjectSettings], shards: int
    ) -> DecodedRun:
        return decode_run(run, stream_time_ms, projects, shards)

    def list_block_names(self, items: Sequence[DecodedRecord]) -> Iterable[str]:
        return [block for record in items if (block := record.lookup.block)]

    def list_loose_ids(self, items: Sequence[DecodedRecord]) -> Iterable[LooseKey]:
        return [
            (loose_set, record.event.id)
            for record in items
            if (loose_set := record.lookup.loose) and record.event is not None
        ]

    def list_persons(self, items: Sequence[DecodedRecord]) -> Iterable[PersonKey]:
        if self._person_fold is None:
            return ()
        return self._person_fold.list_persons(items)

    def list_named_persons(self, key: PersonKey, value: bytes) -> Iterable[PersonKey]:
        return () if self._person_fold is None else self._person_fold.list_named_persons(key, value)

    def fold(
        self, projects: Mapping[str, ProjectSettings], repeats: RepeatFilter, persons: PersonStates, server_s: int = 0
    ) -> BatchFold:
        fold = EventFold(projects, repeats, server_s, keeps_online=self._person_fold is None)
        if self._person_fold is None:
            return fold
        return FoldWithPersons(fold, self._person_fold.begin(projects, persons), persons, server_s)


class FoldWithPersons:
    """The sums of a batch, and what its counted events change in the values of persons."""

    def __init__(self, fold: EventFold, batch: PersonBatch, persons: PersonStates, server_s: int) -> None:
        self._fold, self._batch, self._persons, self._server_s = fold, batch, persons, server_s
        self.dead_letters = fold.dead_letters

    def add(self, place: str, items: Sequence[DecodedRecord]) -> None:
        self._batch.add(self._fold.add(place, items))

    def make_delta(self) -> Delta:
        self._fold.rename(self._batch.settle(self._fold.decide_orders()))
        delta = self._fold.make_delta()
        self._persons.add_to(delta, self._server_s)
        for (project, note), n in self._batch.notes.items():
            delta.counts[f"{project}|{note}"] = n
        return delta

    def take_back(self) -> None:
        self._fold.take_back()
        self._persons.take_back()


ECOMMERCE_JOB = EcommerceJob()
