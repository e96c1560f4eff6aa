"""The store in Redis or Valkey, the workers' side.   Stage 4 of 6: process → [store] → analytics.

Promise: `apply` is one atomic call, and its reply says what happened. Without a reply (`Unavailable`) the outcome
is unknown: read the ledger. The client library never sends a call twice.
The Lua functions are loaded at the start, and again whenever a server replies that it does not have them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from time import perf_counter
from typing import Any, Literal

import msgspec
import redis

from rtaplatform.core.errors import Stopped, Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.sharding import find_shard
from rtaplatform.settings import StoreSettings
from rtaplatform.store import redis_keys
from rtaplatform.store.port import (
    SCHEMA,
    Advance,
    Delta,
    LooseIdQuery,
    Outcome,
    ShardState,
    Tombstone,
)
from rtaplatform.store.redis.apply_payload import KEEPING, Retention, encode
from rtaplatform.store.redis.connections import connect
from rtaplatform.store.redis.person_erasure import forget_persons
from rtaplatform.store.redis.redis_errors import translating_errors
from rtaplatform.store.redis.redis_replies import read_outcome, read_state, to_text

PROJECTS_PER_CALL = VALUES_PER_CALL = 1_000


class RedisStore:
    """`AggregateStore` on one Redis or Valkey server (7.0 or newer)."""

    def __init__(
        self,
        settings: StoreSettings,
        keeping: Retention = KEEPING,
        note_call: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """`note_call` is told how many seconds each call of a batch took, from sending to the answer."""
        self._settings, self.keeping, self._note_call = settings, keeping, note_call
        self._client = self._connect(settings.url.get_secret_value())

    def _connect(self, url: str) -> redis.Redis:
        return connect(url, self._settings.timeout_seconds, self._settings.connection_seconds_max)

    @property
    def client(self) -> redis.Redis:
        return self._client

    # life cycle ------------------------------------------------------------------------------------------------

    def load_functions(self) -> None:
        """Load the Lua library into the server. Raises `Unavailable`."""
        folder = resources.files("rtaplatform.store.redis").joinpath("functions")
        code = "\n".join(folder.joinpath(f"{part}.lua").read_text() for part in redis_keys.FUNCTIONS)
        url = self._settings.loader_url or self._settings.url
        try:
            with translating_errors(), self._connect(url.get_secret_value()) as loader:
                loader.function_load(code, replace=True)
        except redis.exceptions.NoPermissionError as error:
            # The API's user has no right to load functions. A worker loads them with its next batch.
            raise Unavailable("redis", "it does not have our functions: run `rta migrate`") from error

    def has_totals(self, shard: int) -> bool:
        """Whether the shard has keys of any generation, current or not."""
        return next(self._scan_generation_keys(shard), None) is not None

    def delete_others(self, shard: int, generation: str) -> int:
        """Delete the keys of all generations but this one. Returns how many were deleted."""
        kept_prefix = redis_keys.make_generation_prefix(shard, generation).encode()
        keys_deleted = 0
        for key in self._scan_generation_keys(shard):
            if not key.startswith(kept_prefix):
                with translating_errors():
                    keys_deleted += self._client.unlink(key)
        return keys_deleted

    def _scan_generation_keys(self, shard: int) -> Iterator[bytes]:
        keys_of_shard = (
            redis_keys.make_shard_key,
            redis_keys.make_projects_key,
            redis_keys.make_stops_key,
            redis_keys.make_gaps_key,
            redis_keys.make_ends_key,
            redis_keys.make_retired_key,
        )
        no_generation = {key(shard).encode() for key in keys_of_shard}
        with translating_errors():
            for key in self._client.scan_iter(f"{redis_keys.make_shard_prefix(shard)}*", count=1_000):
                if key not in no_generation:
                    yield key

    def begin(
        self, shard: int, *, expected: str, generation: str, topics: dict[str, str], starts: dict[PartitionId, int]
    ) -> str:
        """Make `generation` current if `expected` is current ("": none yet). Returns the current one."""
        fields: list[str | int] = [expected, generation, SCHEMA, self._settings.shards]
        for name, topic_id in topics.items():
            fields += (f"topic:{name}", topic_id)
        for place, offset in starts.items():
            fields += (f"start:{redis_keys.write_place(place)}", offset)
        return to_text(self.call("rta_begin_v1", shard, *fields))

    def set_projects(self, projects: Sequence[ProjectSettings]) -> None:
        """Store the projects in their shards. Equal settings change nothing; no project is removed."""
        for shard in range(self._settings.shards):
            shard_projects = [p for p in projects if find_shard(p.slug, self._settings.shards) == shard]
            # In chunks, since the server serves nobody else meanwhile. A shard without projects gets one empty call.
            for first in range(0, max(1, len(shard_projects)), PROJECTS_PER_CALL):
                chunk = shard_projects[first : first + PROJECTS_PER_CALL]
                pairs = [item for p in chunk for item in (p.slug, msgspec.json.encode(p))]
                self.call("rta_projects_v1", shard, secrets.token_hex(8), *pairs)

    def forget(self, project: str, persons: Sequence[bytes], tombstone: Tombstone) -> dict[str, int]:
        """Put tombstones in the place of single persons (8 bytes each). Totals and sketches stay. Safe to repeat."""
        return forget_persons(self._client, find_shard(project, self._settings.shards), project, persons, tombstone)

    def adopt(
        self, shard: int, generation: str, topic: str, topic_id: str, moves: Sequence[Advance], gaps: dict[str, str]
    ) -> bool:
        """Accept a topic as it is now, and advance its rows. False if the ledger has moved meanwhile."""
        payload = {
            "generation": generation,
            "topic": topic,
            "topic_id": topic_id,
            "moves": [[redis_keys.write_place(move.place), move.from_row, move.to_row] for move in moves],
            "gaps": list(gaps.items()),
        }
        return to_text(self.call("rta_adopt_v1", shard, msgspec.msgpack.encode(payload))[0]) == "OK"

    def read_stops(self, shard: int) -> dict[str, str]:
        """Read the stops that workers have recorded: subject → reason."""
        with translating_errors():
            stops = self._client.hgetall(redis_keys.make_stops_key(shard))
        return {to_text(subject): to_text(reason) for subject, reason in stops.items()}

    def read_gaps(self, shard: int) -> dict[str, str]:
        """Read the gaps that operators have accepted: where one begins → what is not counted."""
        with translating_errors():
            gaps = self._client.hgetall(redis_keys.make_gaps_key(shard))
        return {to_text(start): to_text(description) for start, description in gaps.items()}

    def check(self) -> None:
        """Raise `Stopped` if the server may evict our keys, or our user lacks the right to a command."""
        with translating_errors():
            policy = to_text(self._client.info("memory").get("maxmemory_policy", "noeviction"))
        if policy != "noeviction":
            raise Stopped("redis", "eviction", f"maxmemory-policy is {policy}: set it to noeviction.")
        try:
            self.call("rta_probe_v6", 0)
        except redis.ResponseError as error:
            raise Stopped("redis", "rights", f"The user lacks a right that apply needs: {error}") from error

    def check_writes(self) -> None:
        """Raise `Unable` if the server takes no writes: it is a replica, has too few replicas, or a full disk."""
        with translating_errors():
            self._client.unlink(redis_keys.ABSENT_KEY)

    def close(self) -> None:
        self._client.close()

    # the port --------------------------------------------------------------------------------------------------

    def read_state(self, shard: int) -> ShardState | None:
        return self.read_generation(shard, "generation")

    def read_generation(self, shard: int, role: Literal["generation", "building"]) -> ShardState | None:
        """Read the generation that the shard's record names under `role`; None where it names none."""
        while True:
            with translating_errors():
                name = self._client.hget(redis_keys.make_shard_key(shard), role)
                if name is None:
                    return None
                state = _read_named(self._client, shard, role, to_text(name))
            if state is not None:
                return state

    def apply(self, shard: int, generation: str, delta: Delta) -> Outcome:
        return self.write_batch("rta_apply_v6", shard, generation, delta)

    def write_batch(self, function: str, shard: int, generation: str, delta: Delta) -> Outcome:
        """Send a batch to one of the two functions that take one."""
        payload, start_s = encode(generation, delta, self.keeping), perf_counter()
        try:
            reply = self.call(function, shard, payload)
        finally:
            self._note_call(perf_counter() - start_s)
        return read_outcome(reply, delta)

    def read_blocks(self, shard: int, generation: str, names: Sequence[str]) -> list[bytes]:
        if not names:
            return []
        prefix = redis_keys.make_generation_prefix(shard, generation)
        with translating_errors():
            blocks: list[Any] = self._client.mget([f"{prefix}b:{name}" for name in names])
        return [block or b"" for block in blocks]

    def read_loose_ids(self, shard: int, generation: str, query: LooseIdQuery) -> list[list[int]]:
        prefix = redis_keys.make_generation_prefix(shard, generation)
        with translating_errors(), self._client.pipeline(transaction=False) as pipe:
            for name, ids in query:
                members: list[Any] = list(ids)
                pipe.zmscore(f"{prefix}i:{name}", members)
            replies: list[Any] = pipe.execute()
        return [[-1 if written_ms is None else int(written_ms) for written_ms in reply] for reply in replies]

    def read_persons(self, shard: int, generation: str, keys: Sequence[tuple[str, bytes]]) -> list[bytes]:
        prefix = redis_keys.make_generation_prefix(shard, generation)
        portions = [keys[first : first + VALUES_PER_CALL] for first in range(0, len(keys), VALUES_PER_CALL)]
        calls = [(slug, [p for s, p in part if s == slug]) for part in portions for slug in {s for s, _ in part}]
        with translating_errors(), self._client.pipeline(transaction=False) as pipe:
            for project, persons in calls:
                pipe.hmget(f"{prefix}person:{project}", persons)
            replies: list[Any] = pipe.execute()
        pairs = (
            (slug, zip(persons, reply, strict=True)) for (slug, persons), reply in zip(calls, replies, strict=True)
        )
        values = {(slug, person): value for slug, pair in pairs for person, value in pair}
        return [values[key] or b"" for key in keys]

    def read_projects(self, shard: int, slugs: Sequence[str]) -> dict[str, ProjectSettings]:
        with translating_errors():
            texts: Any = self._client.hmget(redis_keys.make_projects_key(shard), list(slugs)) if slugs else []
        pairs = zip(slugs, texts, strict=True)
        return {slug: msgspec.json.decode(text, type=ProjectSettings) for slug, text in pairs if text is not None}

    def read_clock_s(self) -> int:
        with translating_errors():
            try:
                return int(self._client.time()[0])
            except redis.ResponseError as error:  # our user lacks the right
                raise Unavailable("redis", f"does not tell its time: {error}") from error

    def read_memory(self) -> tuple[int, int]:
        """Read how many bytes the server uses, and how many it may use (0: no limit)."""
        with translating_errors():
            try:
                memory = self._client.info("memory")
            except redis.exceptions.NoPermissionError as error:
                raise Unavailable("redis", f"does not tell its memory: {error}") from error
        return int(memory["used_memory"]), int(memory.get("maxmemory", 0))

    def set_stop(self, shard: int, subject: str, reason: str) -> None:
        with translating_errors():
            if reason:
                self._client.hset(redis_keys.make_stops_key(shard), subject, reason)
            else:
                self._client.hdel(redis_keys.make_stops_key(shard), subject)

    def call(self, function: str, shard: int, *args: Any) -> Any:
        """Call a Lua function; load the library first if the server does not have it."""
        for attempt in (1, 2):
            try:
                with translating_errors():
                    return self._client.fcall(function, 1, redis_keys.make_shard_key(shard), *args)
            except redis.ResponseError as error:
                # The server was restarted or is new. It refused the whole call, so the call may be sent again.
                if attempt == 2 or "Function not found" not in str(error):
                    raise
                self.load_functions()
        raise AssertionError("unreachable")


def _read_named(client: redis.Redis, shard: int, role: str, name: str) -> ShardState | None:
    """None where another generation has taken the role meanwhile."""
    prefix = redis_keys.make_generation_prefix(shard, name)
    with client.pipeline(transaction=True) as pipe:
        pipe.hgetall(redis_keys.make_shard_key(shard))
        pipe.hgetall(f"{prefix}manifest")
        pipe.hgetall(f"{prefix}ledger")
        pipe.hgetall(redis_keys.make_projects_key(shard))
        pipe.exists(f"{prefix}inflight")
        record, manifest, ledger, projects, inflight = pipe.execute()
    if to_text(record.get(role.encode(), b"")) != name:
        return None
    # The record has schema and shards of the current generation, a building one has them in its manifest.
    head = record | manifest | {b"generation": name.encode()}
    return read_state(head, manifest, ledger, projects, bool(inflight))
