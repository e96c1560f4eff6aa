"""Which shard has a project's state.   Pure.

The shards of short names are cached. Longer names cannot be projects, and records may contain any number of them.
"""

from __future__ import annotations

from functools import lru_cache

import xxhash

PROJECT_CHARACTERS_MAX = 63  # a slug's


def shard_of(project: str, shards: int) -> int:
    return _cached_shard_of(project, shards) if len(project) <= PROJECT_CHARACTERS_MAX else _shard_of(project, shards)


def _shard_of(project: str, shards: int) -> int:
    return xxhash.xxh3_64_intdigest(project.encode()) % shards


_cached_shard_of = lru_cache(maxsize=10_000)(_shard_of)
