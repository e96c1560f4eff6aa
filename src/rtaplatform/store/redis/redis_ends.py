"""Counts in Redis how often a record has ended a worker.   Stage 4 of 6.   The port is `EndCounts`.

The counts are kept in the first shard beside its totals, so that both go back in time together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rtaplatform.store import redis_keys
from rtaplatform.store.port import ENDS_KEPT_MAX
from rtaplatform.store.redis.redis_errors import translating_errors
from rtaplatform.store.redis.redis_store import RedisStore


class RedisEnds:
    def __init__(self, store: RedisStore) -> None:
        self._client, self._key = store.client, redis_keys.make_ends_key(0)

    def read_ends(self) -> dict[str, int]:
        with translating_errors():
            counts: dict[Any, Any] = self._client.hgetall(self._key)
        return {name.decode(): int(n) for name, n in counts.items()}

    def count_ends(self, names: Sequence[str]) -> None:
        """Count one end more for each name."""
        with translating_errors(), self._client.pipeline(transaction=True) as pipe:
            if self._client.hlen(self._key) + len(names) > ENDS_KEPT_MAX:
                pipe.unlink(self._key)
            for name in names:
                pipe.hincrby(self._key, name, 1)
            pipe.execute()

    def forget_ends(self, names: Sequence[str]) -> None:
        if names:
            with translating_errors():
                self._client.hdel(self._key, *names)
