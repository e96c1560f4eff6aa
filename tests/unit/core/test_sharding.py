"""Which shard has a project's state."""

from __future__ import annotations

import tracemalloc

from rtaplatform.core.sharding import PROJECT_CHARACTERS_MAX, find_shard


def test_names_too_long_for_a_project_are_not_cached() -> None:
    """Anyone may produce records: the name in one may be as long as the record."""
    find_shard("demo", 4)
    tracemalloc.start()
    shards = {find_shard(f"{number}" + "x" * 32_000, 4) for number in range(300)}
    bytes_held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shards == {0, 1, 2, 3}
    assert bytes_held < 300_000


def test_a_long_name_has_the_shard_that_a_short_one_would_have() -> None:
    for length in (PROJECT_CHARACTERS_MAX, PROJECT_CHARACTERS_MAX + 1):
        assert find_shard("p" * length, 64) == find_shard("p" * length, 128) % 64
