"""Build the API: its parts, its background tasks, its lifespan.   Used by `cli`, `local` and tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from pydantic import SecretStr

from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.freshness.shard_observer import ShardObserver
from rtaplatform.analytics.freshness.watch import read_clock, watch_ledgers
from rtaplatform.analytics.live.hub import LiveHub
from rtaplatform.catalog.projects.project_list import list_slugs
from rtaplatform.catalog.projects.project_publisher import ProjectPublisher
from rtaplatform.collect.collector import Collector
from rtaplatform.feed.event_feed import EventFeed
from rtaplatform.serve.connections.connection_limits import make_connection_limits
from rtaplatform.serve.connections.loop_standstill import watch_standstill
from rtaplatform.serve.feed.subscriptions import FeedSubscriptions
from rtaplatform.serve.http.background import BackgroundTask, keep_publishing, run_in_background, run_lifespan
from rtaplatform.serve.http.cors import CorsOrigins
from rtaplatform.serve.http.dependencies import CatalogServices, QueryServices
from rtaplatform.serve.http.dependencies import Dependencies as Dependencies  # the type of what is built here
from rtaplatform.serve.http.store_room import StoreRoom
from rtaplatform.settings import (
    ApiSettings,
    CatalogSettings,
    CollectSettings,
    KafkaSettings,
    LimitSettings,
    StoreSettings,
)
from rtaplatform.store.redis.redis_reader import RedisReader
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.wiring.api_parts import (
    Watches,
    build_catalog,
    build_health,
    build_intake,
    build_limits,
    build_producer,
    build_rejected,
    build_tickets,
)
from rtaplatform.wiring.feed import build_feed, build_letters
from rtaplatform.wiring.profiles import build_erasure

STOP_PRODUCER_SECONDS = 5.0


def build_api(
    kafka: KafkaSettings,
    store: StoreSettings,
    catalog: CatalogSettings,
    *,
    api: ApiSettings,
    collect: CollectSettings,
    limits: LimitSettings,
    limiter_url: SecretStr | None = None,
    workers_group: str,
    profiles_group: str,
    on_death: Callable[[], None] = lambda: None,
) -> Dependencies:
    """Build the API. It opens nothing before its lifespan is entered. Without `limiter_url` it counts limits alone."""
    parts, reader, redis_store = build_catalog(catalog), RedisReader(store), RedisStore(store)
    origins, bounds = CorsOrigins(), make_connection_limits(api, limits.trusted_proxies)
    watches = Watches(kafka, redis_store, StoreRoom(limits.nearly_full_percent / 100), workers_group, profiles_group)
    producer, rejections = build_producer(kafka, collect, watches.clock, bounds.turns), build_rejected(kafka)
    publisher = ProjectPublisher(parts.database, origins.replace, redis_store.set_projects)
    engine = Engine(reader, watches.tracker, read_clock, parts.products)
    hub = LiveHub(engine, reader, interval_ms=api.live_interval_ms, connections_max=api.live_connections_max)
    feed, tickets = build_feed(kafka), build_tickets(limiter_url, store.connection_seconds_max)

    def make_tasks() -> list[BackgroundTask]:
        return [
            watch_standstill(),
            *watches.make_tasks(),
            hub.run(),
            watch_ledgers(ShardObserver(partial(list_slugs, parts.database), engine.observe, store.shards).observe),
            keep_publishing(publisher.publish, parts.changes.projects_changed),
            parts.listener.run(),
            parts.keys.keep_writing_use(),
        ]

    closers = (feed.stop, partial(producer.stop, STOP_PRODUCER_SECONDS), rejections.stop, reader.close, parts.close)
    end_streams, close = partial(_end_streams, hub, feed), partial(_close, redis_store, closers)
    return Dependencies(
        keys=parts.keys,
        collector=Collector(producer, bounds.turns, rejections),
        health=build_health(parts.database, redis_store, producer, watches, shard_count=store.shards),
        settings=api,
        bounds=bounds,
        origins=origins,
        intake=build_intake(collect, limiter_url, store.connection_seconds_max),
        limits=build_limits(limits, limiter_url, store.connection_seconds_max, watches.room),
        questions=QueryServices(engine, hub, parts.products, *tickets, FeedSubscriptions(feed), *build_letters(kafka)),
        catalog=CatalogServices(parts.database, build_erasure(kafka, parts.database, redis_store), publisher.publish),
        before_stop=end_streams,
        lifespan=lambda: run_lifespan(producer.start, run_in_background(make_tasks, end_streams, on_death), close),
    )


def _end_streams(hub: LiveHub, feed: EventFeed) -> None:
    """End the streams, which would never end by themselves."""
    hub.close()
    feed.close()


async def _close(redis_store: RedisStore, closers: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Close everything that the API has opened, one after the other."""
    for close in closers:
        await close()
    redis_store.close()
