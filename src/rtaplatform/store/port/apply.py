"""A batch's change to a shard (`Delta`), its outcome, and the workers' port `AggregateStore`.   Stage 4 of 6."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from rtaplatform.core.ledger import PartitionId, read_next_offset
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

    def find_next_offset(self, place: PartitionId) -> int:
        """Return the first offset not counted yet. A partition without a row begins where the generation does."""
        row = self.ledger.get(place)
        return read_next_offset(row) if row else self.starts.get(place, 0)


class CellsKey(NamedTuple):
    project: str
    rollup: str
    kind: BucketKind
    start: int


# Above this many persons a HyperLogLog is sent instead of the list: the one in Redis has the dense encoding by then.
PERSONS_LISTED_MAX = 1_500


class SketchKey(NamedTuple):
    """The key of a sketch. With `dimension` "" it counts all persons of the bucket."""

    project: str
    kind: BucketKind
    start: int
    dimension: str
    value: str


class BlockWrite(Struct, frozen=True):
    """New ids (8 bytes each) for a dedup block: appended, or with `replace` in place of expired ids.

    `expected` is the token that was read (empty: there was no block) and `token` the new one, 8 random bytes each.
    A write without ids only compares.
    """

    name: str
    expected: bytes
    token: bytes
    last_write_ms: int
    ids: bytes
    replace: bool


class LooseWrite(Struct, frozen=True):
    """Ids (8 bytes each) of a set `project:topic:dedup_partition`. The set keeps the stream time of each id's write.

    `expected_ms` are the times that were read, `written_ms` the new ones. -1: it was not there; it is only compared.
    """

    name: str
    ids: list[bytes]
    expected_ms: list[int]
    written_ms: list[int]


LooseIdQuery = Sequence[tuple[str, Sequence[bytes]]]  # name of a set, ids to look up in it


class OrderWrite(Struct, frozen=True):
    """Order ids (8 bytes each) of a project, with the stream time at which each was counted last.

    `expected_ms` are the times that the batch took for true, `written_ms` the new ones. -1: the id was not there; it is
    only compared.
    """

    project: str
    ids: list[bytes]
    expected_ms: list[int]
    written_ms: list[int]


class PersonWrite(Struct, frozen=True, gc=False):
    """The new value of a person, as a whole; an empty one deletes it. The tokens work as in `BlockWrite`."""

    project: str
    person: bytes
    expected: bytes
    token: bytes
    value: bytes


class Advance(Struct, frozen=True):
    """The move of one partition's ledger row, as stored text: from the row that the batch began at to the new one."""

    place: PartitionId
    from_row: str  # "": there was no row
    to_row: str


class Delta(Struct):
    """Everything that a batch changes in one shard. Increments merge in any order."""

    moves: list[Advance]
    projects_version: str | None = None  # compared with the shard's unless None: the batch did not use the projects
    cells: dict[CellsKey, dict[str, int]] = {}
    sketches: Mapping[SketchKey, Collection[bytes]] = {}  # a person may occur twice
    online: dict[str, dict[bytes, int]] = {}  # project → person → newest event time, ms
    left_online: Mapping[str, Collection[bytes]] = {}  # project → persons who are known under another id now
    blocks: list[BlockWrite] = []
    loose: list[LooseWrite] = []
    orders: list[OrderWrite] = []
    persons: list[PersonWrite] = []
    dead: dict[str, int] = {}  # origin → stream time, ms
    replayed: list[str] = []  # origins that must still be in quarantine; apply removes them
    counts: dict[str, int] = {}  # outcomes: "place|outcome" and "project|outcome"
    expired_blocks: dict[str, int] = {}  # "topic:dedup partition" → stream time up to which blocks and loose ids expire
    dead_before_ms: int = 0  # older origins may be deleted: the dead-letter topic no longer holds their records


class Applied(Struct, frozen=True):
    """The whole delta was written, and the ledger advanced."""


class Moved(Struct, frozen=True):
    """The ledger or the generation is not the expected one. Nothing was written.

    Another worker has advanced it, the store went back in time, or a new generation began.
    """

    generation: str
    rows: dict[PartitionId, str]


class Conflicted(Struct, frozen=True):
    """Data that the batch was computed from has changed: these keys. Nothing was written."""

    blocks: list[str]
    persons: list[tuple[str, bytes]]
    replayed: list[str]
    projects: bool
    loose: list[str] = []  # names of sets
    orders: dict[tuple[str, bytes], int] = {}  # project and id → the stored time, -1 if there is none

    @property
    def needs_records(self) -> bool:
        """Whether the records must be folded again. Else the delta can be made again from what was folded."""
        return bool(self.blocks or self.replayed or self.projects or self.loose)


class Torn(Struct, frozen=True):
    """The shard is partially applied: an earlier call, `by`, died half-way, and the totals cannot be trusted."""

    by: str


Outcome = Applied | Moved | Conflicted | Torn


class AggregateStore(Protocol):
    """The port that workers use.

    Calls raise `Unavailable` when the outcome is unknown (read the ledger to find out), and `Stopped`.
    """

    def read_state(self, shard: int) -> ShardState | None:
        """Read the current generation; None if the shard has no manifest."""

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        """Write the delta and advance the ledger in one atomic call, or write nothing."""
        ...

    def read_blocks(self, shard: int, generation: str, names: Sequence[str]) -> list[bytes]:
        """Read blocks as stored: token, last write, ids. A missing block is b""."""

    def read_loose_ids(self, shard: int, generation: str, query: LooseIdQuery) -> list[list[int]]:
        """For each set, the stream times at which these ids were written; -1 for an absent id."""
        ...

    def read_persons(self, shard: int, generation: str, keys: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """Read the token and value of each person; b"" if there is none."""

    def read_projects(self, shard: int, slugs: Sequence[str]) -> dict[str, ProjectSettings]:
        """Read the settings of those of these projects that the shard knows."""

    def read_clock_s(self) -> int:
        """Read the server's clock in seconds; buckets expire by it. 0 means that nothing expires."""

    def set_stop(self, shard: int, subject: str, reason: str) -> None:
        """Record in the shard that a partition or shard (`subject`) is stopped, and why; "" removes the record."""
