"""What a worker counts: how records are read, and how they are folded.   Stage 3 of 6.

The worker's loop carries the guarantee and knows nothing of events. `SHOP` is what the platform counts; benchmarks of
the loop bring another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from rtaplatform.process.dedup import Seen
from rtaplatform.process.fold import Fold, Understood, understand
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

    def names_unknown_projects(self) -> bool: ...


class Folding(Protocol):
    """One batch in one shard."""

    letters: list[DeadLetter]

    def add(self, place: str, read: Sequence[Any]) -> None: ...
    def delta(self) -> Delta: ...


class Counting(Protocol):
    def understand(self, run: Run, record_ms: int, projects: Mapping[str, Project], shards: int) -> Chunk: ...
    def block_names(self, read: Sequence[Any]) -> Iterable[str]:
        """The dedup blocks that folding these will ask for."""
        ...

    def fold(self, projects: Mapping[str, Project], seen: Seen) -> Folding: ...


class Shop:
    """Everything that the platform counts."""

    def understand(self, run: Run, record_ms: int, projects: Mapping[str, Project], shards: int) -> Chunk:
        return understand(run, record_ms, projects, shards)

    def block_names(self, read: Sequence[Understood]) -> Iterable[str]:
        return (name for each in read for name in each.blocks)

    def fold(self, projects: Mapping[str, Project], seen: Seen) -> Folding:
        return Fold(projects, seen)


SHOP = Shop()
