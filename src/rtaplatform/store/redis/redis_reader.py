"""The store in Redis or Valkey, the readers' side.   Stage 4 of 6: process → [store] → analytics.

Promise: one `read` is one MULTI: generation, ledger and totals of one moment, so that a ratio never
mixes two. A server without the functions is `Unavailable`: `rta migrate` loads them, or the next worker.
Change notifications come by pub/sub and may be lost; connections are renewed every few seconds, and after each time
one says so.
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
from rtaplatform.core.sharding import shard_of
from rtaplatform.settings import StoreSettings
from rtaplatform.store import redis_keys
from rtaplatform.store.port import (
    NO_TOTALS,
    BucketContent,
    ChangeNotification,
    PersonSketches,
    Read,
    ReadBucketLog,
    ReadBuckets,
    ReadFields,
    ReadOnline,
    ReadPersonCounts,
    ReadPersons,
    ReadPersonValues,
    SketchKey,
    Snapshot,
)
from rtaplatform.store.redis.connections import connect_async, connect_subscriber
from rtaplatform.store.redis.redis_errors import unavailable
from rtaplatform.store.redis.redis_replies import read_state

RECONNECT_SECONDS = 0.5
LISTEN_TIMES = 2  # a subscription lives so many times longer than a connection: each new one has all computed again
FIELDS, COUNTS, SKETCHES = "rta_fields_v2", "rta_counts_v1", "rta_sketches_v1"
ENTRIES_MAX = 64  # of a log: of more, the bucket is as soon read whole


class RedisReader:
    """`AggregateReader` on one Redis or Valkey server."""

    def __init__(self, settings: StoreSettings) -> None:
        self._shards = settings.shards
        url, seconds = settings.url.get_secret_value(), settings.timeout_seconds
        self._client = connect_async(url, seconds, settings.connection_seconds_max)
        self._subscriber = connect_subscriber(url, seconds)
        self._listen_seconds = settings.connection_seconds_max * LISTEN_TIMES
        # As it comes, field and number in turn: a dictionary of 10,000 fields costs as much as reading them.
        self._client.set_response_callback("HGETALL", _as_it_comes)
        self._generations: dict[int, str] = {}

    async def close(self) -> None:
        await self._client.aclose()
        await self._subscriber.aclose()

    async def read(self, project: str, reads: Sequence[Read]) -> Snapshot:
        shard = shard_of(project, self._shards)
        with unavailable(), _with_functions():
            while True:
                generation = self._generations.get(shard) or await self._generation(shard)
                snapshot = await self._read(shard, generation, project, reads)
                if snapshot is not None:
                    return snapshot
                self._generations.pop(shard, None)

    async def _generation(self, shard: int) -> str:
        found = await self._client.hget(redis_keys.shard_key(shard), "generation")
        if found is None:
            raise Stopped(f"shard {shard}", "no_manifest", NO_TOTALS)
        self._generations[shard] = _text(found)
        return self._generations[shard]

    async def _read(self, shard: int, generation: str, project: str, reads: Sequence[Read]) -> Snapshot | None:
        """None where another generation has begun."""
        base = redis_keys.base(shard, generation)
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.hgetall(redis_keys.shard_key(shard))
            pipe.hgetall(f"{base}manifest")
            pipe.hgetall(f"{base}ledger")
            pipe.hget(redis_keys.projects_key(shard), project)
            pipe.exists(f"{base}inflight")
            pipe.hgetall(redis_keys.stops_key(shard))
            fields = [read for read in reads if isinstance(read, ReadFields) and read.fields is not None]
            pipe.fcall_ro(FIELDS, 1, redis_keys.shard_key(shard), generation, _payload(project, fields))
            widths = [_ask(pipe, shard, generation, project, read) for read in reads]
            head, manifest, ledger, known, inflight, stops, values, *replies = await pipe.execute()
        head = _paired(head)
        if _text(head.get(b"generation", b"")) != generation:
            return None
        if known is None:
            raise NotFound(f"There is no project {project!r}.")
        state = read_state(head, _paired(manifest), _paired(ledger), {}, bool(inflight))
        return Snapshot(
            generation=generation,
            topics=state.topics,
            ledger={place: read_row(row) for place, row in state.ledger.items()},
            stops={_text(what): _text(reason) for what, reason in _paired(stops).items()},
            torn=state.torn,
            project=msgspec.json.decode(known, type=ProjectSettings),
            answers=_answers(reads, widths, iter(replies), iter(values)),
            shard=shard,
            starts=state.starts,
        )

    async def change_notifications(self) -> AsyncIterator[ChangeNotification]:
        while True:
            try:
                async for notification in self._listen():
                    yield notification
            except (redis.exceptions.RedisError, OSError, Unavailable):
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> AsyncIterator[ChangeNotification]:
        """For a few seconds, on a connection of its own: after a fail-over the next one is to the new primary."""
        channels = {redis_keys.channel(shard): shard for shard in range(self._shards)}
        until = time.monotonic() + self._listen_seconds
        await self._subscriber.connection_pool.disconnect()
        async with self._subscriber.pubsub() as pubsub:
            await pubsub.subscribe(*channels)
            for shard in channels.values():
                yield ChangeNotification(shard, None)
            while (left := until - time.monotonic()) > 0:
                message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=left)
                if message is not None and message["type"] == "message":
                    names = _text(message["data"])
                    yield ChangeNotification(
                        channels[_text(message["channel"])], frozenset(names.split(",")) if names else None
                    )


@contextmanager
def _with_functions() -> Iterator[None]:
    try:
        yield
    except redis.exceptions.ResponseError as error:
        if "Function not found" in str(error) and any(name in str(error) for name in (COUNTS, SKETCHES)):
            raise Unable("redis", "its functions are of the version before: run `rta migrate`") from error
        if "Function not found" in str(error):
            raise Unavailable("redis", "it does not have our functions: run `rta migrate`") from error
        raise
    except redis.exceptions.WatchError as error:  # what an EXEC without an answer is to the client library
        raise Unavailable("redis", "it has not executed the transaction") from error


def _ask(pipe: Pipeline, shard: int, generation: str, project: str, read: Read) -> int:
    """Queue the commands of one read; returns how many replies it will have."""
    base = redis_keys.base(shard, generation)
    match read:
        case ReadFields(fields=fields) if fields is not None:
            return 0  # `rta_fields_v2` reads them
        case ReadFields():
            for name in _names(project, read):
                pipe.hgetall(f"{base}c:{name}")
            return len(read.starts)
        case ReadBuckets():
            for name in _names(project, read):
                pipe.hgetall(f"{base}c:{name}")
                pipe.xrevrange(f"{base}l:{name}", count=1)
            return 2 * len(read.starts)
        case ReadBucketLog(rollup, kind, start, since):
            pipe.xrange(
                f"{base}l:{redis_keys.cells_of(project, rollup, kind)}{start}", min=since, count=ENTRIES_MAX + 1
            )
            return 1
        case ReadPersonCounts(dimension, kind, starts):
            indexes = [redis_keys.sketch_index(project, kind, start, dimension) for start in starts]
            pipe.fcall(COUNTS, 1, redis_keys.shard_key(shard), generation, msgspec.msgpack.encode(indexes))
            return 1
        case PersonSketches(dimension, kind, starts):
            indexes = [redis_keys.sketch_index(project, kind, start, dimension) for start in starts]
            pipe.fcall_ro(SKETCHES, 1, redis_keys.shard_key(shard), generation, msgspec.msgpack.encode(indexes))
            return 1
        case ReadPersons() | ReadPersonValues():
            return _ask_sketches(pipe, base, project, read)
        case ReadOnline(since_ms, until_ms):
            pipe.zcount(f"{base}online:{project}", since_ms, "+inf" if until_ms is None else until_ms)
            return 1


def _ask_sketches(pipe: Pipeline, base: str, project: str, read: ReadPersons | ReadPersonValues) -> int:
    if isinstance(read, ReadPersonValues):
        for kind, start in read.buckets:
            pipe.smembers(f"{base}px:{redis_keys.sketch_index(project, kind, start, read.dimension)}")
        return len(read.buckets)
    keys = [
        f"{base}p:{redis_keys.sketch(SketchKey(project, kind, start, read.dimension, value))}"
        for kind, start in read.buckets
        for value in read.values
    ]
    if not keys:
        return 0
    pipe.pfcount(*keys)
    return 1


def _payload(project: str, reads: Iterable[ReadFields]) -> bytes:
    """What `rta_fields_v2` is asked."""
    return msgspec.msgpack.encode([(_names(project, read), read.fields) for read in reads])


def _names(project: str, read: ReadFields | ReadBuckets) -> list[str]:
    begin = redis_keys.cells_of(project, read.rollup, read.kind)
    return [f"{begin}{start}" for start in read.starts]


def _answers(
    reads: Sequence[Read], widths: list[int], replies: Iterator[Any], values: Iterator[list[bytes | None]]
) -> tuple[Any, ...]:
    """`values` are of the cells of which only some fields were asked for, a list a read: bucket by bucket."""
    return tuple(
        _numbers(read.fields, read.starts, next(values))
        if isinstance(read, ReadFields) and read.fields is not None
        else _answer(read, list(islice(replies, width)))
        for read, width in zip(reads, widths, strict=True)
    )


def _numbers(fields: Sequence[str], starts: Sequence[int], values: Sequence[bytes | None]) -> list[dict[str, int]]:
    """Each bucket takes as many values as there are fields."""
    rest = iter(values)
    try:
        return [{f: int(n) for f, n in zip(fields, rest, strict=False) if n is not None} for _ in starts]
    except ValueError:  # a number that lacks something has a mark behind it
        width = len(fields)
        return [_marked(fields, values[width * at : width * (at + 1)]) for at in range(len(starts))]


def _marked(fields: Sequence[str], values: Sequence[bytes | None]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, text in zip(fields, values, strict=True):
        if text is not None:
            found[name] = int(text.rstrip(b"!"))
            if text.endswith(b"!"):
                found[SHORT_PREFIX + name] = 1
    return found


def _answer(read: Read, replies: list[Any]) -> Any:
    match read:
        case ReadFields():
            return [{f.decode(): int(n) for f, n in _paired(reply).items()} for reply in replies]
        case ReadBuckets():
            return [
                BucketContent(fields, _position(log)) for fields, log in zip(replies[::2], replies[1::2], strict=True)
            ]
        case ReadBucketLog(since=since):
            return _changes(replies[0], since)
        case ReadPersonCounts() | PersonSketches():
            return [BucketContent(counts) for counts in replies[0]]
        case ReadPersonValues():
            return sorted({_text(value) for reply in replies for value in reply})
        case _:
            return int(replies[0]) if replies else 0


def _position(log: Sequence[tuple[bytes, Any]]) -> str:
    return _text(log[-1][0]) if log else ""


def _changes(log: Sequence[tuple[bytes, dict[bytes, bytes]]], since: str) -> BucketContent | None:
    """From the entry that was the last one, if it is still there, to the newest."""
    if not log or _text(log[0][0]) != since or len(log) > ENTRIES_MAX:
        return None
    entries = [msgspec.msgpack.decode(entry[b"changes"]) for _, entry in log[1:]]
    fields = [item.encode() if isinstance(item, str) else b"%d" % item for entry in entries for item in entry]
    return BucketContent(fields, _position(log))


def _as_it_comes(response: Any, **kwargs: Any) -> Any:
    return response


def _paired(reply: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
