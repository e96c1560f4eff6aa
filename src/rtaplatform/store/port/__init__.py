"""The port of the store: what the workers write and what the analytics read.   Stage 4 of 6.

Two adapters hold to it under one contract suite: `store/redis/redis_store.py` and `store/memory/memory_store.py`.
A shard is named by its number; a project's shard is `shard_of(project, shards)`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from rtaplatform.core.ledger import LedgerRow, PartitionId, next_offset
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.time.buckets import BucketKind

SCHEMA = "1"
NO_TOTALS = "Redis has no totals: run `rta migrate`, which begins to count, or says what was lost."


class ShardState(Struct, frozen=True):
    """A shard's generation, its manifest and its ledger, read at one moment."""

    generation: str
    schema: str
    shards: int
    topics: dict[str, str]  # name → topic id
    starts: dict[PartitionId, int]  # the offset at which this generation begins
    ledger: dict[PartitionId, str]  # rows as stored
    torn: bool
    projects_version: str
    projects: dict[str, ProjectSettings]

    def next_offset(self, place: PartitionId) -> int:
        """The first offset that is not counted yet: without a row it is where the generation begins."""
        row = self.ledger.get(place)
        return next_offset(row) if row else self.starts.get(place, 0)


# What a batch changes ---------------------------------------------------------------------------------------------


class CellsKey(NamedTuple):
    project: str
    rollup: str
    kind: BucketKind
    start: int


# From so many persons on a sketch takes them as the registers that they come to. It is as large in the server anyway.
PERSONS_LISTED_MAX = 1_500


class SketchKey(NamedTuple):
    """`dimension` "" is the sketch of all persons."""

    project: str
    kind: BucketKind
    start: int
    dimension: str
    value: str


class BlockWrite(Struct, frozen=True):
    """New ids (8 bytes each) of a dedup block: appended, or instead of what has run out.

    `expected` is the token that was read (empty: no block), `token` the new one, 8 random bytes each.
    Without ids it is a comparison only.
    """

    name: str
    expected: bytes
    token: bytes
    last_write_ms: int
    ids: bytes
    replace: bool


class LooseWrite(Struct, frozen=True):
    """Ids (8 bytes each) of a set `project:topic:slice`, which remembers of each the record time of its write.

    `expected_ms` are the times that were read, `written_ms` the new ones. -1: it was not there; it is only compared.
    """

    name: str
    ids: list[bytes]
    expected_ms: list[int]
    written_ms: list[int]


LooseAsked = Sequence[tuple[str, Sequence[bytes]]]  # set, ids


class PersonWrite(Struct, frozen=True):
    """A person's value, whole; empty deletes it. Tokens as for blocks."""

    project: str
    person: bytes
    expected: bytes
    token: bytes
    value: bytes


class Advance(Struct, frozen=True):
    """One partition's ledger row: from `after` (text as stored) to `upto`."""

    place: PartitionId
    after: str
    upto: str


class ErasedKeys(Struct, frozen=True):
    """A record of rta.control: these persons (8 bytes each) are forgotten. `upto`: the next offset of its partition."""

    project: str
    persons: tuple[bytes, ...]
    place: PartitionId
    upto: int


class Delta(Struct):
    """All that a batch changes in one shard. Increments merge in any order."""

    moves: list[Advance]
    projects_version: str | None = None  # compared where the batch used the projects
    cells: dict[CellsKey, dict[str, int]] = {}
    sketches: Mapping[SketchKey, Collection[bytes]] = {}  # a person may be there twice
    online: dict[str, dict[bytes, int]] = {}  # project → person → newest event time, ms
    blocks: list[BlockWrite] = []
    loose: list[LooseWrite] = []
    persons: list[PersonWrite] = []
    dead: dict[str, int] = {}  # origin → record time, ms
    replayed: list[str] = []  # origins that must still be set aside; they are taken out
    counts: dict[str, int] = {}  # for the law: "place|outcome" and "project|outcome"
    expired_blocks: dict[str, int] = {}  # "topic:slice" → record time: blocks, and loose ids, written up to it may go
    dead_before_ms: int = 0  # origins older than this may go: the dead-letter topic has forgotten them


# What comes of it --------------------------------------------------------------------------------------------------


class Applied(Struct, frozen=True):
    pass


class Moved(Struct, frozen=True):
    """Another worker was here, the store went back in time, or another generation began. Nothing was written."""

    generation: str
    rows: dict[PartitionId, str]


class Conflicted(Struct, frozen=True):
    """What the batch was computed from has changed; the keys that did. Nothing was written."""

    blocks: list[str]
    persons: list[tuple[str, bytes]]
    replayed: list[str]
    projects: bool
    loose: list[str] = []  # sets


class Torn(Struct, frozen=True):
    """An earlier call died half-way: the shard's totals can't be trusted."""

    by: str


Outcome = Applied | Moved | Conflicted | Torn


class AggregateStore(Protocol):
    """What a worker needs. Errors: `Unavailable` (nothing is known of the outcome: read the ledger), `Stopped`."""

    def state(self, shard: int) -> ShardState | None:
        """None where the shard has no manifest."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome: ...

    def blocks(self, shard: int, generation: str, names: Sequence[str]) -> list[bytes]:
        """Each block as stored (token, last write, ids), b"" where there is none."""

    def loose_ids(self, shard: int, generation: str, asked: LooseAsked) -> list[list[int]]:
        """For each set, the record times at which these ids of it were written; -1 where there is none."""
        ...

    def persons(self, shard: int, generation: str, keys: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """Each person's token and value, b"" where there is none."""

    def projects(self, shard: int, slugs: Sequence[str]) -> dict[str, ProjectSettings]:
        """Those of these projects that the shard has been told of."""

    def clock_s(self) -> int:
        """The server's clock, in seconds: what buckets expire by. 0: nothing expires."""

    def set_stop(self, shard: int, what: str, reason: str) -> None:
        """Say in the shard that a partition stands still, and why; an empty reason takes it back."""


# A generation that is built beside the one that is read -----------------------------------------------------------


class Switched(Struct, frozen=True):
    """The generation that was built is the one that is read now."""


class Behind(Struct, frozen=True):
    """Not switched: the one that is read has counted more in these places."""

    places: list[PartitionId]


class Replaced(Struct, frozen=True):
    """Not switched: another generation is read, or another one is being built."""

    generation: str
    building: str


SwitchOutcome = Switched | Behind | Replaced | Torn


class GenerationStore(Protocol):
    """What a rebuild needs. Errors as of `AggregateStore`, whose `state` and other reads it needs too."""

    def building(self, shard: int) -> ShardState | None:
        """The generation that is being built; None where there is none."""

    def begin_building(
        self, shard: int, *, expected: str, generation: str, topics: dict[str, str], starts: dict[PartitionId, int]
    ) -> str:
        """Begin to build in place of `expected` ("": none); "" only drops that. Returns what is being built now."""

    def build(self, shard: int, generation: str, delta: Delta) -> Outcome:
        """`apply` to the generation that is being built. Nobody is told."""

    def erase(self, shard: int, generation: str, erasure: ErasedKeys) -> bool:
        """Take persons out of what is built, once: what was read up to there before is passed over.

        False where another one is built.
        """
        ...

    def switch(self, shard: int, *, expected: str, generation: str, gone: dict[PartitionId, str]) -> SwitchOutcome:
        """Read what was built, in place of `expected`, if it is not behind; `gone`: rows whose records the log lost."""


# What the analytics read ------------------------------------------------------------------------------------------


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

    def hints(self) -> AsyncIterator[ChangeNotification]:
        """Never ends by itself; yields a Hint with projects None first, and after each reconnect."""
