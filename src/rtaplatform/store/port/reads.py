"""Reads of a shard, their answers, and the analytics' port `AggregateReader`.   Stage 4 of 6."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from msgspec import Struct

from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.buckets import BucketKind


class ReadFields(Struct, frozen=True):
    """Fields of one rollup in buckets of one size. `fields` None means all of them."""

    rollup: str
    kind: BucketKind
    starts: tuple[int, ...]
    fields: tuple[str, ...] | None = None


class ReadBuckets(Struct, frozen=True):
    """All fields of one rollup in buckets of one size, as they are stored."""

    rollup: str
    kind: BucketKind
    starts: tuple[int, ...]


class ReadBucketLog(Struct, frozen=True):
    """The changes of one bucket since a position of its log. Only large product buckets have a log."""

    rollup: str
    kind: BucketKind
    start: int
    since: str


class ReadPersons(Struct, frozen=True):
    """The number of distinct persons in the union of these buckets and values. Dimension "" with value "" means all."""

    buckets: tuple[tuple[BucketKind, int], ...]
    dimension: str = ""
    values: tuple[str, ...] = ("",)


class ReadPersonValues(Struct, frozen=True):
    """The values of a dimension that have a sketch in any of these buckets."""

    buckets: tuple[tuple[BucketKind, int], ...]
    dimension: str


class ReadPersonCounts(Struct, frozen=True):
    """The number of distinct persons for each value of a dimension, per bucket. May raise Unable."""

    dimension: str
    kind: BucketKind
    starts: tuple[int, ...]


class ReadPersonSketches(Struct, frozen=True):
    """The HyperLogLog of each value of a dimension, per bucket. May raise Unable."""

    dimension: str
    kind: BucketKind
    starts: tuple[int, ...]


class ReadOnline(Struct, frozen=True):
    """The number of persons whose last event lies between `since_ms` and `until_ms`, both included."""

    since_ms: int
    until_ms: int | None = None


Read = (
    ReadFields
    | ReadBuckets
    | ReadBucketLog
    | ReadPersons
    | ReadPersonValues
    | ReadPersonCounts
    | ReadPersonSketches
    | ReadOnline
)
CellsAnswer = list[dict[str, int]]  # one per bucket, in the order of the read


class BucketContent(Struct, frozen=True):
    """A bucket's content as a flat list: name, number as text or sketch, name, … The last entry of a name counts.

    `position` is the end of the bucket's log; "" if the bucket has no log, so its changes cannot be followed.
    """

    fields: list[bytes]
    position: str = ""


class Snapshot(Struct, frozen=True):
    """The answers to some reads and the shard's position, all of one moment.

    `ReadFields` → a list of dicts, field → number, one per start.
    `ReadBuckets`, `ReadPersonCounts`, `ReadPersonSketches` → a list of `BucketContent`.
    `ReadBucketLog` → `BucketContent`, or None if the log does not reach back to the position.
    `ReadPersons`, `ReadOnline` → a number. `ReadPersonValues` → a sorted list of values.
    A field whose number would have passed 64 bits is incomplete: then `!` followed by its name is a field too.
    """

    generation: str
    topics: dict[str, str]
    ledger: dict[PartitionId, LedgerRow]
    stops: dict[str, str]
    torn: bool
    project: ProjectSettings
    answers: tuple[CellsAnswer | list[BucketContent] | BucketContent | int | list[str] | None, ...]
    shard: int = 0
    starts: dict[PartitionId, int] = {}  # the manifest's: where a partition without a row begins


class ChangeNotification(Struct, frozen=True):
    """The numbers of these projects may have changed. None means all of the shard: a reconnect, or a new generation."""

    shard: int
    projects: frozenset[str] | None


class AggregateReader(Protocol):
    """The port that the analytics use."""

    async def read(self, project: str, reads: Sequence[Read]) -> Snapshot:
        """Answer all reads from one moment.

        Raises `NotFound` if the shard does not know the project, `Stopped` if it has no manifest, `Unavailable`.
        """
        ...

    def follow_notifications(self) -> AsyncIterator[ChangeNotification]:
        """Yield change notifications for ever. The first one, and the first after each reconnect, has projects None."""
