"""What a worker counts: how records are read, and how they are folded.   Stage 3 of 6.

The worker's loop carries the guarantee and knows nothing of events. `SHOP` is what the platform counts; benchmarks of
the loop bring another one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

from rtaplatform.process.dedup import Seen
from rtaplatform.process.fold import Fold, Understood, understand
from rtaplatform.process.loose import LooseKey
from rtaplatform.process.people import People, PersonFold, PersonKey
from rtaplatform.store.port import Delta, Project
from rtaplatform.stream.port import DeadLetter, Run


class Chunk(Protocol):
    """A run of records that has been read."""

    @property
    def run(self) -> Run: ...
    @property
    def record_ms(self) -> int:
        """Record time at its end."""
        ...

    def __len__(self) -> int: ...
    def since(self, offset: int) -> Chunk:
        """Those from this offset on; often all, and perhaps none."""
        ...

    def of(self, shard: int, shards: int) -> Sequence[Any]:
        """What there is to fold in that shard."""
        ...

    def unknown_projects(self) -> Collection[str]:
        """The projects that are named in vain; they may have been made since we looked."""
        ...


class Folding(Protocol):
    """One batch in one shard."""

    letters: list[DeadLetter]

    def add(self, place: str, read: Sequence[Any]) -> object: ...
    def delta(self) -> Delta: ...


class Counting(Protocol):
    def understand(self, run: Run, record_ms: int, projects: Mapping[str, Project], shards: int) -> Chunk: ...
    def block_names(self, read: Sequence[Any]) -> Iterable[str]:
        """The dedup blocks that folding these will ask for."""
        ...

    def loose_ids(self, read: Sequence[Any]) -> Iterable[LooseKey]:
        """The loose ids that folding these will ask for."""
        ...

    def persons(self, read: Sequence[Any]) -> Iterable[PersonKey]:
        """The persons whose values folding these will look at."""
        ...

    def fold(self, projects: Mapping[str, Project], seen: Seen, people: People, server_s: int = 0) -> Folding:
        """`server_s`: what the store's clock has passed; buckets that it would not keep any more may be left out."""
        ...


class Shop:
    """Everything that the platform counts."""

    def __init__(self, person_fold: PersonFold | None = None) -> None:
        self._person_fold = person_fold

    def understand(self, run: Run, record_ms: int, projects: Mapping[str, Project], shards: int) -> Chunk:
        return understand(run, record_ms, projects, shards)

    def block_names(self, read: Sequence[Understood]) -> Iterable[str]:
        return [block for each in read if (block := each.where.block)]

    def loose_ids(self, read: Sequence[Understood]) -> Iterable[LooseKey]:
        return [(loose, each.event.id) for each in read if (loose := each.where.loose) and each.event is not None]

    def persons(self, read: Sequence[Understood]) -> Iterable[PersonKey]:
        if self._person_fold is None:
            return ()
        return chain.from_iterable(self._person_fold.touches(each) for each in read if each.event is not None)

    def fold(self, projects: Mapping[str, Project], seen: Seen, people: People, server_s: int = 0) -> Folding:
        fold = Fold(projects, seen, server_s)
        return fold if self._person_fold is None else FoldWithPeople(fold, self._person_fold, projects, people)


class FoldWithPeople:
    """A batch's sums, and what it changes in the values of persons: by the events that count, and by no other."""

    def __init__(self, fold: Fold, persons: PersonFold, projects: Mapping[str, Project], people: People) -> None:
        self._fold, self._persons, self._projects, self._people = fold, persons, projects, people
        self.letters = fold.letters

    def add(self, place: str, read: Sequence[Understood]) -> None:
        others = set(map(id, self._fold.add(place, read)))
        for each in read:
            if each.event is not None and id(each) not in others:
                self._persons.add(each, self._projects[each.event.project], self._people)

    def delta(self) -> Delta:
        delta = self._fold.delta()
        self._people.add_to(delta)
        return delta


SHOP = Shop()
