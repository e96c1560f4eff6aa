"""The store in Redis or Valkey, the workers' side.   Stage 4 of 6: process → [store] → analytics.

Promise: `apply` is one atomic call; what it answers is what happened. Where no answer came
(`Unavailable`), nothing is known: read the ledger. No call is ever sent twice by the client library.
The functions are loaded at the start, and again whenever a server answers that it does not have them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, Literal

import msgspec
import redis

from rtaplatform.core.errors import Stopped, Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.sharding import shard_of
from rtaplatform.settings import StoreSettings
from rtaplatform.store import redis_keys
from rtaplatform.store.port import (
    SCHEMA,
    Advance,
    Delta,
    LooseAsked,
    Outcome,
    ShardState,
)
from rtaplatform.store.redis.apply_payload import KEEPING, Retention, encode
from rtaplatform.store.redis.connections import connect
from rtaplatform.store.redis.redis_errors import unavailable
from rtaplatform.store.redis.redis_replies import read_outcome, read_state, text_of

PROJECTS_AT_ONCE = 1_000


class RedisStore:
    """`AggregateStore` on one Redis or Valkey server (7.0 or newer)."""

    def __init__(self, settings: StoreSettings, keeping: Retention = KEEPING) -> None:
        self._settings, self.keeping = settings, keeping
        self._client = self._connect(settings.url.get_secret_value())

    def _connect(self, url: str) -> redis.Redis:
        return connect(url, self._settings.timeout_seconds, self._settings.connection_seconds_max)

    @property
    def client(self) -> redis.Redis:
        return self._client

    # life cycle ------------------------------------------------------------------------------------------------

    def load_functions(self) -> None:
        folder = resources.files("rtaplatform.store.redis").joinpath("functions")
        code = "\n".join(folder.joinpath(f"{part}.lua").read_text() for part in redis_keys.FUNCTIONS)
        url = self._settings.loader_url or self._settings.url
        try:
            with unavailable(), self._connect(url.get_secret_value()) as loader:
                loader.function_load(code, replace=True)
        except redis.exceptions.NoPermissionError as error:
            # The API has no user for it: a worker loads them with the next batch.
            raise Unavailable("redis", "it does not have our functions: run `rta migrate`") from error

    def has_totals(self, shard: int) -> bool:
        """Whether there is anything of a generation, current or not."""
        return next(self._keys_of_generations(shard), None) is not None

    def delete_others(self, shard: int, generation: str) -> int:
        """Delete what other generations than this have left. Returns the number of keys."""
        kept = redis_keys.base(shard, generation).encode()
        gone = 0
        for key in self._keys_of_generations(shard):
            if not key.startswith(kept):
                with unavailable():
                    gone += self._client.unlink(key)
        return gone

    def _keys_of_generations(self, shard: int) -> Iterator[bytes]:
        names = (
            redis_keys.shard_key,
            redis_keys.projects_key,
            redis_keys.stops_key,
            redis_keys.gaps_key,
            redis_keys.ends_key,
            redis_keys.retired_key,
        )
        apart = {key(shard).encode() for key in names}
        with unavailable():
            for key in self._client.scan_iter(f"{redis_keys.shard_prefix(shard)}*", count=1_000):
                if key not in apart:
                    yield key

    def begin(
        self, shard: int, *, expected: str, generation: str, topics: dict[str, str], starts: dict[PartitionId, int]
    ) -> str:
        """Make `generation` the current one if `expected` is ("": none yet). Returns the one that is current now."""
        fields: list[str | int] = [expected, generation, SCHEMA, self._settings.shards]
        for name, topic_id in topics.items():
            fields += (f"topic:{name}", topic_id)
        for place, offset in starts.items():
            fields += (f"start:{redis_keys.place(place)}", offset)
        return text_of(self.call("rta_begin_v1", shard, *fields))

    def set_projects(self, projects: Sequence[ProjectSettings]) -> None:
        """Tell each shard its projects; without a difference nothing changes, and none is forgotten."""
        for shard in range(self._settings.shards):
            mine = [p for p in projects if shard_of(p.slug, self._settings.shards) == shard]
            # In portions: the server answers nobody else meanwhile. Without projects it is told that there are none.
            for first in range(0, max(1, len(mine)), PROJECTS_AT_ONCE):
                portion = mine[first : first + PROJECTS_AT_ONCE]
                pairs = [item for p in portion for item in (p.slug, msgspec.json.encode(p))]
                self.call("rta_projects_v1", shard, secrets.token_hex(8), *pairs)

    def forget(self, project: str, persons: Sequence[bytes]) -> dict[str, int]:
        """Take persons (8 bytes each) out of what is kept of single ones. Totals and sketches stay. Safe to repeat."""
        shard = shard_of(project, self._settings.shards)
        while True:
            try:
                with unavailable(), self._client.pipeline() as pipe:
                    return self._forget(pipe, shard, project, persons)
            except redis.WatchError:
                continue  # another generation has begun meanwhile

    def _forget(self, pipe: Any, shard: int, project: str, persons: Sequence[bytes]) -> dict[str, int]:
        """From the generation that is read, the one that is built, and those that are kept frozen."""
        pipe.watch(redis_keys.shard_key(shard))
        named = pipe.hmget(redis_keys.shard_key(shard), "generation", "building") + pipe.hkeys(
            redis_keys.retired_key(shard)
        )
        pipe.multi()
        for generation in filter(None, named):
            base = redis_keys.base(shard, text_of(generation))
            pipe.zrem(f"{base}online:{project}", *persons)
            pipe.hdel(f"{base}person:{project}", *persons)
        pipe.publish(redis_keys.channel(shard), project)
        *gone, _listeners = pipe.execute()
        return {"online": sum(gone[::2]), "values": sum(gone[1::2])}

    def adopt(
        self, shard: int, generation: str, topic: str, topic_id: str, moves: Sequence[Advance], gaps: dict[str, str]
    ) -> bool:
        """Take a topic as it is now, each row from what stands there. False where the ledger has moved meanwhile."""
        payload = {
            "generation": generation,
            "topic": topic,
            "topic_id": topic_id,
            "moves": [[redis_keys.place(move.place), move.after, move.upto] for move in moves],
            "gaps": list(gaps.items()),
        }
        return text_of(self.call("rta_adopt_v1", shard, msgspec.msgpack.encode(payload))[0]) == "OK"

    def stops(self, shard: int) -> dict[str, str]:
        """What stands still, and why, as the workers have said."""
        with unavailable():
            found = self._client.hgetall(redis_keys.stops_key(shard))
        return {text_of(what): text_of(why) for what, why in found.items()}

    def gaps(self, shard: int) -> dict[str, str]:
        with unavailable():
            found = self._client.hgetall(redis_keys.gaps_key(shard))
        return {text_of(where): text_of(what) for where, what in found.items()}

    def check(self) -> None:
        """Raises `Stopped` where the server may drop keys of ours by itself, or refuses us a command that we need."""
        with unavailable():
            policy = text_of(self._client.info("memory").get("maxmemory_policy", "noeviction"))
        if policy != "noeviction":
            raise Stopped("redis", "eviction", f"maxmemory-policy is {policy}: set it to noeviction.")
        try:
            self.call("rta_probe_v5", 0)
        except redis.ResponseError as error:
            raise Stopped("redis", "rights", f"The user lacks a right that apply needs: {error}") from error

    def check_writes(self) -> None:
        """Raise `Unable` where the server takes no writes: a replica, too few replicas, a full disk."""
        with unavailable():
            self._client.unlink(redis_keys.ABSENT_KEY)

    def close(self) -> None:
        self._client.close()

    # the port --------------------------------------------------------------------------------------------------

    def state(self, shard: int) -> ShardState | None:
        return self.read_generation(shard, "generation")

    def read_generation(self, shard: int, role: Literal["generation", "building"]) -> ShardState | None:
        """Read the generation that the shard's record names under `role`; None where it names none."""
        while True:
            with unavailable():
                name = self._client.hget(redis_keys.shard_key(shard), role)
                if name is None:
                    return None
                state = self._read_named(shard, role, text_of(name))
            if state is not None:
                return state

    def _read_named(self, shard: int, role: str, name: str) -> ShardState | None:
        """None where another generation has taken the role meanwhile."""
        base = redis_keys.base(shard, name)
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hgetall(redis_keys.shard_key(shard))
            pipe.hgetall(f"{base}manifest")
            pipe.hgetall(f"{base}ledger")
            pipe.hgetall(redis_keys.projects_key(shard))
            pipe.exists(f"{base}inflight")
            record, manifest, ledger, projects, inflight = pipe.execute()
        if text_of(record.get(role.encode(), b"")) != name:
            return None
        # The record has schema and shards of the current generation, a building one has them in its manifest.
        head = record | manifest | {b"generation": name.encode()}
        return read_state(head, manifest, ledger, projects, bool(inflight))

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        return read_outcome(self.call("rta_apply_v4", shard, encode(generation, delta, self.keeping)), delta)

    def blocks(self, shard: int, generation: str, names: Sequence[str]) -> list[bytes]:
        if not names:
            return []
        base = redis_keys.base(shard, generation)
        with unavailable():
            found: list[Any] = self._client.mget([f"{base}b:{name}" for name in names])
        return [value or b"" for value in found]

    def loose_ids(self, shard: int, generation: str, asked: LooseAsked) -> list[list[int]]:
        base = redis_keys.base(shard, generation)
        with unavailable(), self._client.pipeline(transaction=False) as pipe:
            for name, ids in asked:
                members: list[Any] = list(ids)
                pipe.zmscore(f"{base}i:{name}", members)
            found: list[Any] = pipe.execute()
        return [[-1 if at is None else int(at) for at in written] for written in found]

    def persons(self, shard: int, generation: str, keys: Sequence[tuple[str, bytes]]) -> list[bytes]:
        base = redis_keys.base(shard, generation)
        with unavailable(), self._client.pipeline(transaction=False) as pipe:
            for project, person in keys:
                pipe.hget(f"{base}person:{project}", person)
            found: list[Any] = pipe.execute()
        return [value or b"" for value in found]

    def projects(self, shard: int, slugs: Sequence[str]) -> dict[str, ProjectSettings]:
        with unavailable():
            found: Any = self._client.hmget(redis_keys.projects_key(shard), list(slugs)) if slugs else []
        known = zip(slugs, found, strict=True)
        return {slug: msgspec.json.decode(value, type=ProjectSettings) for slug, value in known if value is not None}

    def clock_s(self) -> int:
        with unavailable():
            try:
                return int(self._client.time()[0])
            except redis.ResponseError as error:  # a user who may not ask
                raise Unavailable("redis", f"does not tell its time: {error}") from error

    def memory(self) -> tuple[int, int]:
        """Bytes that the server uses, and may use (0: no limit)."""
        with unavailable():
            try:
                memory = self._client.info("memory")
            except redis.exceptions.NoPermissionError as error:
                raise Unavailable("redis", f"does not tell its memory: {error}") from error
        return int(memory["used_memory"]), int(memory.get("maxmemory", 0))

    def set_stop(self, shard: int, what: str, reason: str) -> None:
        with unavailable():
            if reason:
                self._client.hset(redis_keys.stops_key(shard), what, reason)
            else:
                self._client.hdel(redis_keys.stops_key(shard), what)

    def call(self, function: str, shard: int, *args: Any) -> Any:
        for attempt in (1, 2):
            try:
                with unavailable():
                    return self._client.fcall(function, 1, redis_keys.shard_key(shard), *args)
            except redis.ResponseError as error:
                # A restarted or fresh server: the call was refused as a whole, so it may be sent again.
                if attempt == 2 or "Function not found" not in str(error):
                    raise
                self.load_functions()
        raise AssertionError("unreachable")
