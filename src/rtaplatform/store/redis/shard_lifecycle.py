"""Begin a shard's totals, for the first time or again from the start of the log.   Stage 4 of 6.

A generation is a complete set of a shard's totals. Its name is random, so a store that goes back in time can never
hold two generations of the same name. It counts from the offsets in its manifest.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

from rtaplatform.core.errors import SetupError, Stopped
from rtaplatform.core.ledger import PartitionId
from rtaplatform.store.port import NO_TOTALS
from rtaplatform.store.redis.redis_store import RedisStore


def begin_missing(
    store: RedisStore, shards: int, topics: Mapping[str, str], starts: Mapping[PartitionId, int]
) -> list[int]:
    """Begin the shards of an empty store. Returns their numbers: none if all have begun already.

    Raises `SetupError` if only some shards have a manifest, or if there are keys of ours without one: then totals
    were lost, and counting on would be wrong.
    """
    missing_shards = [shard for shard in range(shards) if store.read_state(shard) is None]
    if missing_shards and len(missing_shards) < shards:
        raise SetupError(
            f"Redis has lost the totals of shard {', '.join(map(str, missing_shards))}; others are there.",
            "Count it again from the log: rta rebuild --empty",
            exit_code=4,
        )
    for shard in missing_shards:
        if store.has_totals(shard):
            raise SetupError(
                f"Redis holds keys of shard {shard}, but not the manifest that says what they include.",
                "If no other program uses the prefix rta:, count it again from the log: rta rebuild --empty",
                exit_code=4,
            )
        store.begin(shard, expected="", generation=make_name(), topics=dict(topics), starts=dict(starts))
    return missing_shards


def require_manifests(store: RedisStore, shards: int) -> None:
    """Raise `Stopped` if a shard has no manifest, `Unavailable` if Redis cannot be reached."""
    for shard in range(shards):
        if store.read_state(shard) is None:
            raise Stopped(f"shard {shard}", "no_manifest", NO_TOTALS)


def begin_again(store: RedisStore, shard: int, topics: Mapping[str, str], starts: Mapping[PartitionId, int]) -> str:
    """Begin a new generation from the start of the log, and delete all others. Returns its name."""
    state = store.read_state(shard)
    name = make_name()
    generation_before = state.generation if state else ""
    store.begin(shard, expected=generation_before, generation=name, topics=dict(topics), starts=dict(starts))
    store.delete_others(shard, name)
    return name


def make_name() -> str:
    return secrets.token_hex(4)


def find_first_offsets(lows: Iterable[tuple[PartitionId, int]]) -> dict[PartitionId, int]:
    """Return the offsets at which a new generation begins: the first records that the log still has."""
    return {place: low for place, low in lows if low}
