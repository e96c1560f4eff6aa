"""What a batch changes in a shard, what comes of it, and `AggregateStore`, which the workers need.   Stage 4 of 6."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from rtaplatform.core.ledger import PartitionId, next_offset
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
    """Ids (8 bytes each) of a set `project:topic:dedup_partition`. The set keeps the stream time of each id's write.

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


class Delta(Struct):
    """All that a batch changes in one shard. Increments merge in any order."""

    moves: list[Advance]
    projects_version: str | None = None  # compared where the batch used the projects
    cells: dict[CellsKey, dict[str, int]] = {}
    sketches: Mapping[SketchKey, Collection[bytes]] = {}  # a person may be there twice
    online: dict[str, dict[bytes, int]] = {}  # project → person → newest event time, ms
    left_online: Mapping[str, Collection[bytes]] = {}  # project → persons who are known under another id now
    blocks: list[BlockWrite] = []
    loose: list[LooseWrite] = []
    persons: list[PersonWrite] = []
    dead: dict[str, int] = {}  # origin → stream time, ms
    replayed: list[str] = []  # origins that must still be quarantined; they are taken out
    counts: dict[str, int] = {}  # for the law: "place|outcome" and "project|outcome"
    expired_blocks: dict[
        str, int
    ] = {}  # "topic:dedup_partition" → stream time: blocks, and loose ids, written up to it may go
    dead_before_ms: int = 0  # origins older than this may go: the dead-letter topic has forgotten them


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
        """For each set, the stream times at which these ids of it were written; -1 where there is none."""
        ...

    def persons(self, shard: int, generation: str, keys: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """Each person's token and value, b"" where there is none."""

    def projects(self, shard: int, slugs: Sequence[str]) -> dict[str, ProjectSettings]:
        """Those of these projects that the shard has been told of."""

    def clock_s(self) -> int:
        """The server's clock, in seconds: what buckets expire by. 0: nothing expires."""

    def set_stop(self, shard: int, what: str, reason: str) -> None:
        """Say in the shard that a partition stands still, and why; an empty reason takes it back."""
