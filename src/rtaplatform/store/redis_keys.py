"""The names of everything in Redis, and the shape of what is kept there.   Stage 4 of 6.

Pure. One prefix a shard with its hash tag, `rta:{s00}:`, so that all of a project's state sits in one
slot; below it one prefix a generation. docs/reference/store.md is the table of all keys.
"""

from __future__ import annotations

from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import CellsKey, SketchKey

PREFIX = "rta:"
ABSENT_KEY = f"{PREFIX}absent"  # never there: to delete it is a write that changes nothing
# The parts of one library, in their order.
FUNCTIONS = ("rta_v1", "rta_v1_cells", "rta_v1_writes", "rta_v1_shards", "rta_v1_rebuild", "rta_v1_reads")


def shard_prefix(shard: int) -> str:
    return f"{PREFIX}{{s{shard:02d}}}:"


def shard_key(shard: int) -> str:
    return f"{shard_prefix(shard)}shard"


def projects_key(shard: int) -> str:
    return f"{shard_prefix(shard)}projects"


def stops_key(shard: int) -> str:
    return f"{shard_prefix(shard)}stops"


def gaps_key(shard: int) -> str:
    """What an operator has accepted not to count: `topic:partition:from` → a sentence."""
    return f"{shard_prefix(shard)}gaps"


def ends_key(shard: int) -> str:
    """How often a record has ended a worker: `version|topic id:partition:offset` → number."""
    return f"{shard_prefix(shard)}ends"


def retired_key(shard: int) -> str:
    """Generations that are neither read nor built: name → the second since 1970 from which their keys may go."""
    return f"{shard_prefix(shard)}retired"


def channel(shard: int) -> str:
    return f"{shard_prefix(shard)}moved"


def base(shard: int, generation: str) -> str:
    return f"{shard_prefix(shard)}{generation}:"


def cells(key: CellsKey) -> str:
    return f"{cells_of(key.project, key.rollup, key.kind)}{key.start}"


def cells_of(project: str, rollup: str, kind: BucketKind) -> str:
    """What the names of buckets of one size begin with; their start follows."""
    return f"{project}:{rollup}:{kind.value}:"


def sketch(key: SketchKey) -> str:
    bucket = f"{key.project}:{key.kind.value}:{key.start}"
    return f"{bucket}:{key.dimension}:{key.value}" if key.dimension else bucket


def sketch_index(project: str, kind: BucketKind, start: int, dimension: str) -> str:
    """The set of a dimension's values that have a sketch in the bucket."""
    return f"{project}:{kind.value}:{start}:{dimension}"


def place(value: PartitionId) -> str:
    return f"{value.topic_id}:{value.partition}"


def read_place(text: str) -> PartitionId:
    topic_id, partition = text.rsplit(":", 1)
    return PartitionId(topic_id, int(partition))


def dedup_partition_of(name: str) -> str:
    """The `topic:dedup_partition` of a block's name, or of a set of loose ids, whose name ends without a minute.

    All ids of a dedup partition expire by the stream time of one partition.
    """
    _project, topic, index, *_minute = name.split(":")
    return f"{topic}:{index}"
