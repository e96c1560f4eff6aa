"""What a worker counts: how records are read, and how they are folded.   Stage 3 of 6.

The worker's loop carries the guarantee and knows nothing of events. `ECOMMERCE_JOB` is what the platform counts;
benchmarks of the loop bring another one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

from rtaplatform.core.projects import ProjectSettings
from rtaplatform.process.fold.decode_run import DecodedRecord, decode_run
from rtaplatform.process.fold.dedup import RepeatFilter
from rtaplatform.process.fold.fold import EventFold
from rtaplatform.process.fold.loose_ids import LooseKey
from rtaplatform.process.fold.person_state import PersonFold, PersonKey, PersonStates
from rtaplatform.store.port import Delta
from rtaplatform.stream.port import DeadLetter, RecordColumns


class DecodedRun(Protocol):
    """A run of records that has been read."""

    @property
    def run(self) -> RecordColumns: ...
    @property
    def stream_time_ms(self) -> int:
        """Stream time at its end."""
        ...

    def __len__(self) -> int: ...
    def since(self, offset: int) -> DecodedRun:
        """Those from this offset on; often all, and perhaps none."""
        ...

    def of(self, shard: int, shards: int) -> Sequence[Any]:
        """What there is to fold in that shard."""
        ...

    def unknown_projects(self) -> Collection[str]:
        """The projects that are named in vain; they may have been made since we looked."""
        ...


class BatchFold(Protocol):
    """One batch in one shard."""

    dead_letters: list[DeadLetter]

    def add(self, place: str, read: Sequence[Any]) -> object: ...
    def delta(self) -> Delta: ...


class Job(Protocol):
    def understand(
        self, run: RecordColumns, stream_time_ms: int, projects: Mapping[str, ProjectSettings], shards: int
    ) -> DecodedRun: ...
    def block_names(self, read: Sequence[Any]) -> Iterable[str]:
        """The dedup blocks that folding these will ask for."""
        ...

    def loose_ids(self, read: Sequence[Any]) -> Iterable[LooseKey]:
        """The loose ids that folding these will ask for."""
        ...

    def persons(self, read: Sequence[Any]) -> Iterable[PersonKey]:
        """The persons whose values folding these will look at."""
        ...

    def fold(
        self, projects: Mapping[str, ProjectSettings], seen: RepeatFilter, people: PersonStates, server_s: int = 0
    ) -> BatchFold:
        """`server_s`: what the store's clock has passed; buckets that it would not keep any more may be left out."""
        ...


class EcommerceJob:
    """Everything that the platform counts."""

    def __init__(self, person_fold: PersonFold | None = None) -> None:
        self._person_fold = person_fold

    def understand(
        self, run: RecordColumns, stream_time_ms: int, projects: Mapping[str, ProjectSettings], shards: int
    ) -> DecodedRun:
        return decode_run(run, stream_time_ms, projects, shards)

    def block_names(self, read: Sequence[DecodedRecord]) -> Iterable[str]:
        return [block for each in read if (block := each.where.block)]

    def loose_ids(self, read: Sequence[DecodedRecord]) -> Iterable[LooseKey]:
        return [(loose, each.event.id) for each in read if (loose := each.where.loose) and each.event is not None]

    def persons(self, read: Sequence[DecodedRecord]) -> Iterable[PersonKey]:
        if self._person_fold is None:
            return ()
        return chain.from_iterable(self._person_fold.touches(each) for each in read if each.event is not None)

    def fold(
        self, projects: Mapping[str, ProjectSettings], seen: RepeatFilter, people: PersonStates, server_s: int = 0
    ) -> BatchFold:
        fold = EventFold(projects, seen, server_s)
        return fold if self._person_fold is None else FoldWithPeople(fold, self._person_fold, projects, people)


class FoldWithPeople:
    """A batch's sums, and what it changes in the values of persons: by the events that count, and by no other."""

    def __init__(
        self, fold: EventFold, persons: PersonFold, projects: Mapping[str, ProjectSettings], people: PersonStates
    ) -> None:
        self._fold, self._persons, self._projects, self._people = fold, persons, projects, people
        self.dead_letters = fold.dead_letters

    def add(self, place: str, read: Sequence[DecodedRecord]) -> None:
        others = set(map(id, self._fold.add(place, read)))
        for each in read:
            if each.event is not None and id(each) not in others:
                self._persons.add(each, self._projects[each.event.project], self._people)

    def delta(self) -> Delta:
        delta = self._fold.delta()
        self._people.add_to(delta)
        return delta


ECOMMERCE_JOB = EcommerceJob()
