"""The store in Redis or Valkey, the readers' side.   Stage 4 of 6: process → [store] → analytics.

Promise: one `read` is one MULTI. Generation, ledger and totals are of one moment, so a ratio never mixes two.
A server without the functions is `Unavailable`: `rta migrate` loads them, or the next worker.
Change notifications come by pub/sub and may be lost. The connection is renewed every few seconds, and each new one
begins with a notification that everything may have changed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import msgspec
import redis.exceptions
from redis.asyncio.client import Pipeline

from rtaplatform.core.errors import NotFound, Stopped, Unable, Unavailable
from rtaplatform.core.ledger import read_row
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.core.rollups import SHORT_PREFIX
from rtaplatform.core.sharding import find_shard
from rtaplatform.settings import StoreSettings
from rtaplatform.store import redis_keys
from rtaplatform.store.port import (
    NO_TOTALS,
    BucketContent,
    ChangeNotification,
    Read,
    ReadBucketLog,
    ReadBuckets,
    ReadFields,
    ReadOnline,
    ReadPersonCounts,
    ReadPersons,
    ReadPersonSketches,
    ReadPersonValues,
    SketchKey,
    Snapshot,
)
from rtaplatform.store.redis.connections import connect_async, connect_subscriber
from rtaplatform.store.redis.redis_errors import translating_errors
from rtaplatform.store.redis.redis_replies import read_state, to_text

RECONNECT_SECONDS = 0.5
# A subscription lives so many times longer than a connection: after each, everything is computed again.
LISTEN_TIMES = 2
FIELDS, COUNTS, SKETCHES = "rta_fields_v2", "rta_counts_v1", "rta_sketches_v1"
ENTRIES_MAX = 64  # log entries of one read: with more, reading the whole bucket costs no more


class RedisReader:
    """`AggregateReader` on one Redis or Valkey server."""

    def __init__(self, settings: StoreSettings) -> None:
        self._shards = settings.shards
        url, seconds = settings.url.get_secret_value(), settings.timeout_seconds
        self._client = connect_async(url, seconds, settings.connection_seconds_max)
        self._subscriber = connect_subscriber(url, seconds)
        self._listen_seconds = settings.connection_seconds_max * LISTEN_TIMES
        # The reply stays a flat list: building a dictionary of 10,000 fields would cost as much as reading them.
        self._client.set_response_callback("HGETALL", _keep_reply)
        self._generations: dict[int, str] = {}

    async def close(self) -> None:
        await self._client.aclose()
        await self._subscriber.aclose()

    async def read(self, project: str, reads: Sequence[Read]) -> Snapshot:
        shard = find_shard(project, self._shards)
        with translating_errors(), _translating_missing_functions():
            while True:
                generation = self._generations.get(shard) or await self._read_generation(shard)
                snapshot = await self._read_once(shard, generation, project, reads)
                if snapshot is not None:
                    return snapshot
                self._generations.pop(shard, None)

    async def _read_generation(self, shard: int) -> str:
        name = await self._client.hget(redis_keys.make_shard_key(shard), "generation")
        if name is None:
            raise Stopped(f"shard {shard}", "no_manifest", NO_TOTALS)
        self._generations[shard] = to_text(name)
        return self._generations[shard]

    async def _read_once(self, shard: int, generation: str, project: str, reads: Sequence[Read]) -> Snapshot | None:
        """None if another generation has become current."""
        prefix = redis_keys.make_generation_prefix(shard, generation)
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.hgetall(redis_keys.make_shard_key(shard))
            pipe.hgetall(f"{prefix}manifest")
            pipe.hgetall(f"{prefix}ledger")
            pipe.hget(redis_keys.make_projects_key(shard), project)
            pipe.exists(f"{prefix}inflight")
            pipe.hgetall(redis_keys.make_stops_key(shard))
            fields = [read for read in reads if isinstance(read, ReadFields) and read.fields is not None]
            pipe.fcall_ro(FIELDS, 1, redis_keys.make_shard_key(shard), generation, _encode_payload(project, fields))
            reply_counts = [_queue_read(pipe, shard, generation, project, read) for read in reads]
            head, manifest, ledger, settings, inflight, stops, values, *replies = await pipe.execute()
        head = _to_dict(head)
        if to_text(head.get(b"generation", b"")) != generation:
            return None
        if settings is None:
            raise NotFound(f"There is no project {project!r}.")
        state = read_state(head, _to_dict(manifest), _to_dict(ledger), {}, bool(inflight))
        return Snapshot(
            generation=generation,
            topics=state.topics,
            ledger={place: read_row(row) for place, row in state.ledger.items()},
            stops={to_text(subject): to_text(reason) for subject, reason in _to_dict(stops).items()},
            torn=state.torn,
            project=msgspec.json.decode(settings, type=ProjectSettings),
            answers=_to_answers(reads, reply_counts, iter(replies), iter(values)),
            shard=shard,
            starts=state.starts,
        )

    async def follow_notifications(self) -> AsyncIterator[ChangeNotification]:
        while True:
            try:
                async for notification in self._listen():
                    yield notification
            except (redis.exceptions.RedisError, OSError, Unavailable):
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> AsyncIterator[ChangeNotification]:
        """Listen for a few seconds on a new connection: after a fail-over it leads to the new primary."""
        channels = {redis_keys.make_changes_channel(shard): shard for shard in range(self._shards)}
        until = time.monotonic() + self._listen_seconds
        await self._subscriber.connection_pool.disconnect()
        async with self._subscriber.pubsub() as pubsub:
            await pubsub.subscribe(*channels)
            for shard in channels.values():
                yield ChangeNotification(shard, None)
            while (seconds_left := until - time.monotonic()) > 0:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=seconds_left)
                if message is not None and message["type"] == "message":
                    slugs = to_text(message["data"])
                    yield ChangeNotification(
                        channels[to_text(message["channel"])], frozenset(slugs.split(",")) if slugs else None
                    )


@contextmanager
def _translating_missing_functions() -> Iterator[None]:
    try:
        yield
    except redis.exceptions.ResponseError as error:
        if "Function not found" in str(error) and any(name in str(error) for name in (COUNTS, SKETCHES)):
            raise Unable("redis", "its functions are of the version before: run `rta migrate`") from error
        if "Function not found" in str(error):
            raise Unavailable("redis", "it does not have our functions: run `rta migrate`") from error
        raise
    except redis.exceptions.WatchError as error:  # the client library raises it for an EXEC without a reply
        raise Unavailable("redis", "it has not executed the transaction") from error


def _queue_read(pipe: Pipeline, shard: int, generation: str, project: str, read: Read) -> int:
    """Queue the commands of one read. Returns how many replies they will have."""
    prefix = redis_keys.make_generation_prefix(shard, generation)
    match read:
        case ReadFields(fields=fields) if fields is not None:
            return 0  # one call of `rta_fields_v2` serves all such reads
        case ReadFields():
            for name in _list_names(project, read):
                pipe.hgetall(f"{prefix}c:{name}")
            return len(read.starts)
        case ReadBuckets():
            for name in _list_names(project, read):
                pipe.hgetall(f"{prefix}c:{name}")
                pipe.xrevrange(f"{prefix}l:{name}", count=1)
            return 2 * len(read.starts)
        case ReadBucketLog(rollup, kind, start, since):
            pipe.xrange(
                f"{prefix}l:{redis_keys.make_cells_prefix(project, rollup, kind)}{start}",
                min=since,
                count=ENTRIES_MAX + 1,
            )
            return 1
        case ReadPersonCounts(dimension, kind, starts):
            indexes = [redis_keys.make_sketch_index_key(project, kind, start, dimension) for start in starts]
            pipe.fcall(COUNTS, 1, redis_keys.make_shard_key(shard), generation, msgspec.msgpack.encode(indexes))
            return 1
        case ReadPersonSketches(dimension, kind, starts):
            indexes = [redis_keys.make_sketch_index_key(project, kind, start, dimension) for start in starts]
            pipe.fcall_ro(SKETCHES, 1, redis_keys.make_shard_key(shard), generation, msgspec.msgpack.encode(indexes))
            return 1
        case ReadPersons() | ReadPersonValues():
            return _queue_sketches(pipe, prefix, project, read)
        case ReadOnline(since_ms, until_ms):
            pipe.zcount(f"{prefix}online:{project}", since_ms, "+inf" if until_ms is None else until_ms)
            return 1


def _queue_sketches(pipe: Pipeline, prefix: str, project: str, read: ReadPersons | ReadPersonValues) -> int:
    if isinstance(read, ReadPersonValues):
        for kind, start in read.buckets:
            pipe.smembers(f"{prefix}px:{redis_keys.make_sketch_index_key(project, kind, start, read.dimension)}")
        return len(read.buckets)
    keys = [
        f"{prefix}p:{redis_keys.make_sketch_key(SketchKey(project, kind, start, read.dimension, value))}"
        for kind, start in read.buckets
        for value in read.values
    ]
    if not keys:
        return 0
    pipe.pfcount(*keys)
    return 1


def _encode_payload(project: str, reads: Iterable[ReadFields]) -> bytes:
    """Encode the payload of `rta_fields_v2`."""
    return msgspec.msgpack.encode([(_list_names(project, read), read.fields) for read in reads])


def _list_names(project: str, read: ReadFields | ReadBuckets) -> list[str]:
    prefix = redis_keys.make_cells_prefix(project, read.rollup, read.kind)
    return [f"{prefix}{start}" for start in read.starts]


def _to_answers(
    reads: Sequence[Read], reply_counts: list[int], replies: Iterator[Any], values: Iterator[list[bytes | None]]
) -> tuple[Any, ...]:
    """Convert replies to the port's answers. `values` has one list for each read of some fields, bucket by bucket."""
    return tuple(
        _to_numbers(read.fields, read.starts, next(values))
        if isinstance(read, ReadFields) and read.fields is not None
        else _to_answer(read, list(islice(replies, count)))
        for read, count in zip(reads, reply_counts, strict=True)
    )


def _to_numbers(fields: Sequence[str], starts: Sequence[int], values: Sequence[bytes | None]) -> list[dict[str, int]]:
    """`values` has one value per field and bucket, bucket by bucket."""
    next_values = iter(values)
    try:
        return [{f: int(n) for f, n in zip(fields, next_values, strict=False) if n is not None} for _ in starts]
    except ValueError:  # an incomplete number ends in a mark
        width = len(fields)
        return [_read_marked(fields, values[width * i : width * (i + 1)]) for i in range(len(starts))]


def _read_marked(fields: Sequence[str], values: Sequence[bytes | None]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for name, text in zip(fields, values, strict=True):
        if text is not None:
            numbers[name] = int(text.rstrip(b"!"))
            if text.endswith(b"!"):
                numbers[SHORT_PREFIX + name] = 1
    return numbers


def _to_answer(read: Read, replies: list[Any]) -> Any:
    match read:
        case ReadFields():
            return [{f.decode(): int(n) for f, n in _to_dict(reply).items()} for reply in replies]
        case ReadBuckets():
            return [
                BucketContent(fields, _make_token(log)) for fields, log in zip(replies[::2], replies[1::2], strict=True)
            ]
        case ReadBucketLog(since=since):
            return _read_changes(replies[0], since)
        case ReadPersonCounts() | ReadPersonSketches():
            return [BucketContent(counts) for counts in replies[0]]
        case ReadPersonValues():
            return sorted({to_text(value) for reply in replies for value in reply})
        case _:
            return int(replies[0]) if replies else 0


def _make_token(log: Sequence[tuple[bytes, Any]]) -> str:
    return to_text(log[-1][0]) if log else ""


def _read_changes(log: Sequence[tuple[bytes, dict[bytes, bytes]]], since: str) -> BucketContent | None:
    """Return the changes after entry `since`; None if that entry is gone, or if they are too many."""
    if not log or to_text(log[0][0]) != since or len(log) > ENTRIES_MAX:
        return None
    entries = [msgspec.msgpack.decode(entry[b"changes"]) for _, entry in log[1:]]
    fields = [item.encode() if isinstance(item, str) else b"%d" % item for entry in entries for item in entry]
    return BucketContent(fields, _make_token(log))


def _keep_reply(response: Any, **kwargs: Any) -> Any:
    return response


def _to_dict(reply: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))
