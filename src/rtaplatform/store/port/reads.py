"""What can be read of a shard, its answers, and `AggregateReader`, which the analytics need.   Stage 4 of 6."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from msgspec import Struct

from rtaplatform.core.ledger import LedgerRow, PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.buckets import BucketKind


class ReadFields(Struct, frozen=True):
    """The fields of one rollup in some buckets of one size. `fields` None: all of them."""

    rollup: str
    kind: BucketKind
    starts: tuple[int, ...]
    fields: tuple[str, ...] | None = None


class ReadBuckets(Struct, frozen=True):
    """All fields of one rollup in some buckets of one size, as they are stored."""

    rollup: str
    kind: BucketKind
    starts: tuple[int, ...]


class ReadBucketLog(Struct, frozen=True):
    """What has changed in one bucket since a position of its log, which large buckets of products have."""

    rollup: str
    kind: BucketKind
    start: int
    since: str


class ReadPersons(Struct, frozen=True):
    """Distinct persons in the union of buckets and values of a dimension (the dimension "" has the value "": all)."""

    buckets: tuple[tuple[BucketKind, int], ...]
    dimension: str = ""
    values: tuple[str, ...] = ("",)


class ReadPersonValues(Struct, frozen=True):
    """The values of a dimension that have sketches in any of the buckets."""

    buckets: tuple[tuple[BucketKind, int], ...]
    dimension: str


class ReadPersonCounts(Struct, frozen=True):
    """Distinct persons of each value of a dimension, in each of some buckets of one size. May raise Unable."""

    dimension: str
    kind: BucketKind
    starts: tuple[int, ...]


class PersonSketches(Struct, frozen=True):
    """The HyperLogLog of each value of a dimension, in each of some buckets of one size. May raise Unable."""

    dimension: str
    kind: BucketKind
    starts: tuple[int, ...]


class ReadOnline(Struct, frozen=True):
    """How many persons were seen last from `since_ms` on, and not after `until_ms`."""

    since_ms: int
    until_ms: int | None = None


Read = (
    ReadFields
    | ReadBuckets
    | ReadBucketLog
    | ReadPersons
    | ReadPersonValues
    | ReadPersonCounts
    | PersonSketches
    | ReadOnline
)
CellsAnswer = list[dict[str, int]]  # one per bucket, in the order asked


class BucketContent(Struct, frozen=True):
    """What a bucket holds: field or value, number as text or sketch, field, …; where one comes again, the last is true.

    `position` is the end of the bucket's log, "" where it has none: then it can't be followed from here.
    """

    fields: list[bytes]
    position: str = ""


class Snapshot(Struct, frozen=True):
    """Answers to some reads, and where the shard stood: all of one moment.

    Per read: `ReadFields` → list of dicts (field → number, one per start), `ReadBuckets`, `ReadPersonCounts` and
    `PersonSketches` → list of `BucketContent`, `ReadBucketLog` → `BucketContent`, or None where the log does not reach
    back so far, `ReadPersons` and `ReadOnline` → number, `ReadPersonValues` → sorted list of values. Where a field
    lacks what would have passed 64 bits, `!` and its name is a field too.
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
    """A shard has moved: these projects' numbers may have changed. None: all may (reconnect, new generation)."""

    shard: int
    projects: frozenset[str] | None


class AggregateReader(Protocol):
    """What the analytics need."""

    async def read(self, project: str, reads: Sequence[Read]) -> Snapshot:
        """Raises `NotFound` for a project unknown to the shard, `Unavailable`, `Stopped` without manifest."""

    def change_notifications(self) -> AsyncIterator[ChangeNotification]:
        """Never ends by itself; yields one with projects None first, and after each reconnect."""
