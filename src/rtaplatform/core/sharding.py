"""Which shard a project's state sits in. Pure.

Shards of names that may be a project's are kept. Of others nothing is: records name projects as they like.
"""

from __future__ import annotations

from functools import lru_cache

import xxhash

PROJECT_CHARS_KEPT_MAX = 63  # a slug's


def shard_of(project: str, shards: int) -> int:
    return _kept_shard_of(project, shards) if len(project) <= PROJECT_CHARS_KEPT_MAX else _shard_of(project, shards)


def _shard_of(project: str, shards: int) -> int:
    return xxhash.xxh3_64_intdigest(project.encode()) % shards


_kept_shard_of = lru_cache(maxsize=10_000)(_shard_of)
