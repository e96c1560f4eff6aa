"""Which shard has a project's state.   Pure.

The shards of short names are cached. Longer names cannot be projects, and records may contain any number of them.
"""

from __future__ import annotations

from functools import lru_cache

import xxhash

PROJECT_CHARACTERS_MAX = 63  # a slug's


def find_shard(project: str, shards: int) -> int:
    return (
        _find_cached_shard(project, shards)
        if len(project) <= PROJECT_CHARACTERS_MAX
        else _compute_shard(project, shards)
    )


def _compute_shard(project: str, shards: int) -> int:
    return xxhash.xxh3_64_intdigest(project.encode()) % shards


_find_cached_shard = lru_cache(maxsize=10_000)(_compute_shard)
