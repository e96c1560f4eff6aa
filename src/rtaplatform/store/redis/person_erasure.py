"""Tombstones in the place of persons, in Redis or Valkey.   Stage 4 of 6.

A worker compares the token of a value that it has cached, so no later batch of it brings an erased value back.

A generation that is being built counts the time before the erasure yet. There the tombstones wait for the record in
`rta.control`, or for the switch if the rebuild has passed that record already.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import redis

from rtaplatform.store import redis_keys
from rtaplatform.store.port import Tombstone
from rtaplatform.store.redis.redis_errors import translating_errors
from rtaplatform.store.redis.redis_replies import to_text

TOKEN_BYTES = 8


def forget_persons(
    client: redis.Redis, shard: int, project: str, persons: Sequence[bytes], tombstone: Tombstone
) -> dict[str, int]:
    """Erase them in all generations. Returns how many were online, and how many had a value."""
    while True:
        try:
            with translating_errors(), client.pipeline() as pipe:
                return _forget(pipe, shard, project, persons, tombstone)
        except redis.WatchError:
            continue  # another generation began meanwhile


def _forget(pipe: Any, shard: int, project: str, persons: Sequence[bytes], tombstone: Tombstone) -> dict[str, int]:
    pipe.watch(redis_keys.make_shard_key(shard))
    current, building = pipe.hmget(redis_keys.make_shard_key(shard), "generation", "building")
    names = [to_text(name) for name in (current, *pipe.hkeys(redis_keys.make_retired_key(shard))) if name]
    prefixes = [redis_keys.make_generation_prefix(shard, name) for name in names]
    erasing = f"{redis_keys.make_generation_prefix(shard, to_text(building))}erasing" if building else ""
    pipe.multi()
    for prefix in prefixes:
        pipe.hmget(f"{prefix}person:{project}", persons)
        pipe.hset(f"{prefix}person:{project}", mapping=dict(make_pairs(persons, tombstone)))
        pipe.zrem(f"{prefix}online:{project}", *persons)
    if erasing:
        pipe.hset(
            erasing, mapping={person + project.encode(): value for person, value in make_pairs(persons, tombstone)}
        )
    pipe.publish(redis_keys.make_changes_channel(shard), project)
    replies: list[Any] = pipe.execute()
    values = [
        packed_person[TOKEN_BYTES:]
        for reply in replies[: 3 * len(prefixes) : 3]
        for packed_person in reply
        if packed_person
    ]
    other_ids = find_other_ids(values, tombstone)
    pipe.multi()  # no worker adds them again, now that the tombstones are there
    for prefix in prefixes if other_ids else ():
        pipe.zrem(f"{prefix}online:{project}", *other_ids)
    if erasing and other_ids:
        pipe.hset(erasing, mapping={other + project.encode(): b"" for other in other_ids})
    online = sum(replies[2 : 3 * len(prefixes) : 3]) + sum(pipe.execute()[: len(prefixes)] if other_ids else ())
    return {"online": online, "values": sum(value != tombstone.value for value in values)}


def find_other_ids(values: Sequence[bytes], tombstone: Tombstone) -> list[bytes]:
    """The other ids under which the persons of these values may be online."""
    return list({other: None for value in values if value for other in tombstone.list_other_ids(value)})


def make_pairs(persons: Sequence[bytes], tombstone: Tombstone) -> list[tuple[bytes, bytes]]:
    """Each person with what takes the place of the value: a token that no worker has read, and the tombstone."""
    return [(person, secrets.token_bytes(TOKEN_BYTES) + tombstone.value) for person in persons]
