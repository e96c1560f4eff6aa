"""Operations of an operator: migrate, empty a shard, describe and adopt topics.   Names adapters, like wiring.

Each function does the work of one command of `cli`, and returns the lines to print. All are safe to repeat.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import stamina

from rtaplatform.catalog.database import Database
from rtaplatform.catalog.demo_project import SeededDemoKeys, seed_demo
from rtaplatform.catalog.migrate import read_head_revision, upgrade_catalog
from rtaplatform.catalog.projects.project_list import list_projects
from rtaplatform.core.errors import SetupError, Unavailable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.process.rebuild.adoption import Adoption, adopt, find_last_counted_offset
from rtaplatform.process.worker.positions import explain_unsafe_partitions, hash_record, is_dedup_safe
from rtaplatform.settings import CatalogSettings, KafkaSettings, StoreSettings, TopicSettings
from rtaplatform.simulate.shop.demo_catalog import draw_products, draw_users
from rtaplatform.simulate.shop.plan import SimulationPlan
from rtaplatform.store.port import ShardState
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.store.redis.shard_lifecycle import begin_again, begin_missing, find_first_offsets
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.partition_reader import KafkaPartitions
from rtaplatform.stream.port import OffsetRange, Partition

READ_SECONDS_MAX = 10.0


async def migrate(
    kafka: KafkaSettings,
    store: StoreSettings,
    catalog: CatalogSettings,
    topics: TopicSettings,
    *,
    demo_keys: tuple[str, str, str] | None,
) -> list[str]:
    """Migrate everything to this version. Returns one line for each part. Safe to repeat."""
    require_safe_partitions(await asyncio.to_thread(Broker(kafka).describe_topics))
    await asyncio.to_thread(upgrade_catalog, catalog)
    database, aggregates, broker = Database(catalog), RedisStore(store), Broker(kafka)
    try:
        if demo_keys is not None:
            plan = SimulationPlan(start_ms=0)
            users, products = draw_users(plan.users, plan.seed), draw_products(plan.products, plan.seed)
            await seed_demo(database, SeededDemoKeys(*demo_keys), users=users, products=products)
        projects = await list_projects(database)
    finally:
        await database.close()
    new_topics = broker.create_topics(topics)
    aggregates.load_functions()
    aggregates.check()
    aggregates.set_projects(projects)
    ids, starts = _read_log_starts(broker)
    new_shards = begin_missing(aggregates, store.shards, ids, starts)
    aggregates.close()
    return [
        f"catalog: revision {read_head_revision()}, {len(projects)} projects",
        f"topics: {', '.join(new_topics) or 'all there'}",
        f"shards begun: {', '.join(map(str, new_shards)) or 'all there'}",
    ]


def require_safe_partitions(topics: Mapping[str, tuple[str, int]]) -> None:
    """Raise SetupError for a topic whose number of partitions makes workers stop. `topics`: name → (id, number)."""
    for name, (_, partitions) in sorted(topics.items()):
        if not is_dedup_safe(partitions):
            raise SetupError(
                f"The topic's number of partitions does not fit: {explain_unsafe_partitions(name, partitions)}.",
                "docs/how-to/use-given-servers.md says how. Workers leave such a topic alone.",
                exit_code=4,
            )


def rebuild_empty(kafka: KafkaSettings, store: StoreSettings, shard: int | None) -> list[str]:
    """Empty one shard or all. The workers count again from the start of the log."""
    aggregates, broker = RedisStore(store), Broker(kafka)
    aggregates.load_functions()
    ids, starts = _read_log_starts(broker)
    shards = range(store.shards) if shard is None else [shard]
    names = {number: begin_again(aggregates, number, ids, starts) for number in shards}
    aggregates.close()
    return [f"shard {number}: generation {name}, counted again from the log's start" for number, name in names.items()]


@stamina.retry(on=Unavailable, attempts=None, timeout=20.0)  # a new topic has no leader yet
def _read_log_starts(broker: Broker) -> tuple[dict[str, str], dict[PartitionId, int]]:
    """Topic → id, and the first offsets of the partitions that no longer begin at 0."""
    ids = {name: topic_id for name, (topic_id, _) in broker.describe_topics().items()}
    return ids, find_first_offsets((extent.place, extent.low) for extent in _read_extents(broker).values())


def describe_topics(kafka: KafkaSettings, store: StoreSettings) -> list[dict[str, Any]]:
    """One row per partition: the ends of the log, how far each shard has counted it, stops and gaps."""
    aggregates, broker = RedisStore(store), Broker(kafka)
    states = {shard: aggregates.read_state(shard) for shard in range(store.shards)}
    gaps = {position: gap for shard in states for position, gap in aggregates.read_gaps(shard).items()}
    stops = aggregates.read_stops(0)
    aggregates.close()
    return [
        {
            "partition": str(partition),
            "topic_id": extent.place.topic_id,
            "begins": extent.low,
            "ends": extent.high,
            "counted": {shard: s.find_next_offset(extent.place) for shard, s in states.items() if s},
            "stopped": stops.get(str(partition)),
            "gaps": {position: gap for position, gap in gaps.items() if position.startswith(f"{partition}:")},
        }
        for partition, extent in sorted(_read_extents(broker).items())
    ]


def adopt_topic(kafka: KafkaSettings, store: StoreSettings, topic: str) -> list[str]:
    """Accept a topic as it is now, in every shard. The workers continue within seconds."""
    aggregates, broker = RedisStore(store), Broker(kafka)
    aggregates.load_functions()
    extents = {partition: extent for partition, extent in _read_extents(broker).items() if partition.topic == topic}
    if not extents:
        raise SetupError(f"There is no topic {topic!r} of events.", "`rta topics list` shows them.", exit_code=2)
    states = {shard: state for shard in range(store.shards) if (state := aggregates.read_state(shard)) is not None}
    hashes = _read_hashes(kafka, extents, states.values())
    lines = []
    for shard, state in states.items():
        lines += _adopt_in_shard(aggregates, shard, state, topic, extents, hashes)
    aggregates.close()
    return lines or [f"{topic}: nothing stands in the way, nothing was changed"]


def _read_hashes(
    kafka: KafkaSettings, extents: dict[Partition, OffsetRange], states: Iterable[ShardState]
) -> dict[Partition, dict[int, str]]:
    """The hashes of the records that the log has now at the offsets that the shards have counted last."""
    reader = KafkaPartitions(kafka)
    try:
        return {
            partition: {offset: _read_hash(reader, partition, offset) for offset in offsets if offset is not None}
            for partition, extent in extents.items()
            for offsets in [{find_last_counted_offset(extent, state) for state in states}]
        }
    finally:
        reader.close()


def _read_hash(reader: KafkaPartitions, partition: Partition, offset: int) -> str:
    """The hash of the record at this offset. "" if there is none."""
    reader.seek(partition, offset)
    deadline = time.monotonic() + READ_SECONDS_MAX
    while time.monotonic() < deadline:
        batch = reader.read(partition, 0.2)
        for run in batch.runs:
            return hash_record(run.record(0)) if run.offsets[0] == offset else ""
        if batch.ends:
            return ""
    raise Unavailable("kafka", f"does not give the record at {partition}:{offset}")


def _adopt_in_shard(
    aggregates: RedisStore,
    shard: int,
    state: ShardState,
    topic: str,
    extents: dict[Partition, OffsetRange],
    hashes: dict[Partition, dict[int, str]],
) -> list[str]:
    results = [adopt(p, extent, state, hashes[p]) for p, extent in sorted(extents.items())]
    adoptions: list[Adoption] = [adoption for adoption in results if adoption is not None]
    if not adoptions:
        return []
    topic_id = next(iter(extents.values())).place.topic_id
    gaps = {adoption.origin: adoption.gap for adoption in adoptions}
    if not aggregates.adopt(shard, state.generation, topic, topic_id, [a.move for a in adoptions], gaps):
        raise SetupError(f"Shard {shard} has moved meanwhile.", "Run the command again.", exit_code=4)
    return [f"shard {shard}, {position}: {gap}" for position, gap in gaps.items()]


def _read_extents(broker: Broker) -> dict[Partition, OffsetRange]:
    topics = broker.describe_topics()
    return broker.read_extents(
        Partition(name, number) for name, (_, count) in topics.items() for number in range(count)
    )
