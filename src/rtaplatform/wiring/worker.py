"""Build a worker that counts events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rtaplatform.process.fold.job import ECOMMERCE_JOB, Job
from rtaplatform.process.worker import worker
from rtaplatform.process.worker.limits import BatchSize, WorkerLimits
from rtaplatform.process.worker.poison import Quarantine
from rtaplatform.settings import (
    KafkaSettings,
    StoreSettings,
    WorkerSettings,
)
from rtaplatform.store.redis.redis_ends import RedisEnds
from rtaplatform.store.redis.redis_generations import Cleaner, RedisGenerations, guard_store
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.consumer import KafkaConsumer
from rtaplatform.stream.kafka.dead_letters import KafkaDeadLetters

STOP_PRODUCER_SECONDS = 5.0


@dataclass(frozen=True)
class WorkerParts:
    """A worker, `guard`, which checks the store's settings and deletes old generations, and `close`."""

    worker: worker.Worker
    guard: Callable[[], None]
    close: Callable[[], None]


def build_worker(
    kafka: KafkaSettings, store: StoreSettings, settings: WorkerSettings, job: Job = ECOMMERCE_JOB
) -> WorkerParts:
    batch_size = BatchSize()
    redis_store = RedisStore(store, note_call=batch_size.note_call)
    log = KafkaConsumer(kafka, settings)  # unless closed, log and store keep the process alive
    cleaner = Cleaner(RedisGenerations(redis_store, store.shards), store.shards)
    limits = WorkerLimits(
        dedup_ids_cached_max=settings.dedup_ids_cached_max,
        idle_compare_seconds=settings.idle_compare_ms / 1000,
        batch_records_max=settings.batch_events_max,
        batch_bytes_max=settings.batch_bytes_max,
    )
    new_worker = worker.Worker(
        log,
        KafkaDeadLetters(kafka),
        redis_store,
        shards=store.shards,
        limits=limits,
        job=job,
        quarantine=Quarantine(RedisEnds(redis_store)),
        batch_size=batch_size,
    )

    def close() -> None:
        log.close()
        redis_store.close()

    return WorkerParts(new_worker, partial(guard_store, redis_store, cleaner), close)
