"""Each shard is looked at, whatever is wrong with another, and though PostgreSQL was away at the start."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from rtaplatform.analytics.freshness.shard_observer import ShardObserver
from rtaplatform.core.errors import NotFound, Unavailable
from rtaplatform.core.sharding import find_shard

SLUGS = [f"shop-{n}" for n in range(20)]
SHARDS = 4


class _World:
    def __init__(self) -> None:
        self.shards: list[int] = []
        self.broken: dict[int, Exception] = {}
        self.is_catalog_away = False

    async def read_slugs(self) -> list[str]:
        if self.is_catalog_away:
            raise Unavailable("postgres", "away")
        return SLUGS

    async def look(self, slug: str) -> None:
        shard = find_shard(slug, SHARDS)
        if shard in self.broken:
            raise self.broken[shard]
        self.shards.append(shard)


@pytest.mark.parametrize("trouble", [NotFound("no such project"), ValueError("a row that is none")])
async def test_an_unknown_or_damaged_project_does_not_hide_other_shards(trouble: Exception) -> None:
    world = _World()
    observer = ShardObserver(world.read_slugs, world.look, SHARDS, lambda: 0.0)
    for broken in range(SHARDS):
        world.broken, world.shards = {broken: trouble}, []
        with capture_logs() as lines:
            await observer.observe()
            await observer.observe()
        assert set(world.shards) == set(range(SHARDS)) - {broken}
        assert [(line["event"], line["shard"]) for line in lines] == [("shard_not_observed", broken)]


async def test_without_postgres_at_the_start_the_next_call_tries_again() -> None:
    world = _World()
    world.is_catalog_away = True
    observer = ShardObserver(world.read_slugs, world.look, SHARDS, lambda: 0.0)
    with pytest.raises(Unavailable):
        await observer.observe()
    world.is_catalog_away = False
    await observer.observe()
    assert set(world.shards) == set(range(SHARDS))


async def test_without_postgres_known_shards_are_still_read() -> None:
    world, clock = _World(), [0.0]
    observer = ShardObserver(world.read_slugs, world.look, SHARDS, lambda: clock[0])
    await observer.observe()
    world.is_catalog_away, clock[0], world.shards = True, 100.0, []
    with pytest.raises(Unavailable):
        await observer.observe()
    assert set(world.shards) == set(range(SHARDS))
