"""The names of a shard's own keys in Redis, and the prefixes below which all others lie.   Stage 4 of 6.

Pure. Each shard has a prefix with its hash tag, `rta:{s00}:`, so that all state of a project is in one slot. Below it
each generation has a prefix. docs/reference/store.md lists all keys.
"""

from __future__ import annotations

from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.time.buckets import BucketKind
from rtaplatform.store.port import CellsKey, SketchKey

PREFIX = "rta:"
ABSENT_KEY = f"{PREFIX}absent"  # never exists: deleting it is a write that changes nothing
# The files of the Lua library, in the order in which they are joined.
FUNCTIONS = (
    "rta_v1", "rta_v1_cells", "rta_v1_orders", "rta_v1_persons", "rta_v1_writes", "rta_v1_shards", "rta_v1_rebuild",
    "rta_v1_reads",
)  # fmt: skip


def make_shard_prefix(shard: int) -> str:
    return f"{PREFIX}{{s{shard:02d}}}:"


def make_shard_key(shard: int) -> str:
    return f"{make_shard_prefix(shard)}shard"


def make_projects_key(shard: int) -> str:
    return f"{make_shard_prefix(shard)}projects"


def make_stops_key(shard: int) -> str:
    return f"{make_shard_prefix(shard)}stops"


def make_gaps_key(shard: int) -> str:
    """Gaps that an operator has accepted: `topic:partition:from` → a sentence."""
    return f"{make_shard_prefix(shard)}gaps"


def make_ends_key(shard: int) -> str:
    """How often a record has ended a worker: `version|topic id:partition:offset` → count."""
    return f"{make_shard_prefix(shard)}ends"


def make_retired_key(shard: int) -> str:
    """Retired generations: name → the second since 1970 from which its keys may be deleted."""
    return f"{make_shard_prefix(shard)}retired"


def make_changes_channel(shard: int) -> str:
    """The pub/sub channel of the shard's change notifications."""
    return f"{make_shard_prefix(shard)}moved"


def make_generation_prefix(shard: int, generation: str) -> str:
    return f"{make_shard_prefix(shard)}{generation}:"


def make_cells_key(key: CellsKey) -> str:
    return f"{make_cells_prefix(key.project, key.rollup, key.kind)}{key.start}"


def make_cells_prefix(project: str, rollup: str, kind: BucketKind) -> str:
    """The names of all buckets of one size begin with this; the bucket's start follows."""
    return f"{project}:{rollup}:{kind.value}:"


def make_sketch_key(key: SketchKey) -> str:
    bucket = f"{key.project}:{key.kind.value}:{key.start}"
    return f"{bucket}:{key.dimension}:{key.value}" if key.dimension else bucket


def make_sketch_index_key(project: str, kind: BucketKind, start: int, dimension: str) -> str:
    """The name of the set of a dimension's values that have a sketch in the bucket."""
    return f"{project}:{kind.value}:{start}:{dimension}"


def write_place(value: PartitionId) -> str:
    return f"{value.topic_id}:{value.partition}"


def read_place(text: str) -> PartitionId:
    topic_id, partition = text.rsplit(":", 1)
    return PartitionId(topic_id, int(partition))


def read_dedup_partition(name: str) -> str:
    """The `topic:dedup_partition` of a block's name, or of a set of loose ids, whose name ends without a minute.

    All ids of a dedup partition expire by the stream time of one partition.
    """
    _project, topic, index, *_minute = name.split(":")
    return f"{topic}:{index}"
