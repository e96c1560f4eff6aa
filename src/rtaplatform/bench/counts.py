"""How fast is the core alone: Kafka → counts by minute → Redis, exactly once, on the peers' job?

The benchmark runs the real log, worker and store with a special job (`counting_job.py`). It follows the contract of the
comparison, like all peers. Environment variables name the servers, the topic and the number of events. The program
prints `FIRST` and `LAST` with a time in ms. At the end it reads the results back from Redis and writes them to a file.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from pydantic import SecretStr

from rtaplatform.bench.counting_job import EVENT_COUNTS, ORDER_CENTS, PRODUCT_COUNTS, PROJECT, Counts, CountsOnce
from rtaplatform.bench.report import describe_commit, describe_machine
from rtaplatform.core.rollups import SEPARATOR
from rtaplatform.process.worker.limits import WorkerLimits
from rtaplatform.process.worker.worker import Worker
from rtaplatform.settings import KafkaSettings, StoreSettings, WorkerSettings
from rtaplatform.store import redis_keys
from rtaplatform.store.redis.apply_payload import Retention
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.consumer import KafkaConsumer
from rtaplatform.stream.kafka.dead_letters import KafkaDeadLetters
from rtaplatform.stream.port import Partition

GENERATION = "bench"
KEPT_SECONDS = 86_400
WAIT_MS_MAX = 300
BYTES_MAX = 1_000_000_000


@dataclass(frozen=True)
class CountsTask:
    """The task that the environment variables describe."""

    kafka: str
    topic: str
    events: int
    redis: str
    result: Path
    run: str

    @classmethod
    def read(cls) -> CountsTask:
        """Read the environment. Raises KeyError if a variable is missing."""
        of = os.environ
        return cls(
            of["BENCH_KAFKA"], of["BENCH_TOPIC"], int(of["BENCH_EVENTS"]), of["BENCH_REDIS"],
            Path(of["BENCH_RESULT"]), of["BENCH_RUN"],
        )  # fmt: skip

    def store(self) -> RedisStore:
        until = int(time.time()) + KEPT_SECONDS
        settings = StoreSettings(url=SecretStr(self.redis), timeout_seconds=60)
        return RedisStore(settings, Retention(lambda _kind, _start: until))


def count(job: CountsTask, *, processes: int, batch: int, once: bool) -> int:
    """Run the job. Returns 0, or 1 if a process failed."""
    store, broker = job.store(), Broker(KafkaSettings(bootstrap_servers=job.kafka))
    topic_id, partitions = broker.describe_topics([job.topic])[job.topic]
    store.load_functions()
    store.set_projects([PROJECT])
    store.begin(0, expected="", generation=GENERATION, topics={job.topic: topic_id}, starts={})
    del broker  # its threads must have ended before the fork
    store.close()
    children = []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            partitions_here = [Partition(job.topic, n) for n in range(number, partitions, processes)]
            os._exit(_work(job, partitions_here, batch, CountsOnce() if once else Counts()))
        children.append(pid)
    exit_codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    if not any(exit_codes):
        job.result.write_text(json.dumps(_read_results(job)))
    return int(any(exit_codes))


def _work(task: CountsTask, partitions: Sequence[Partition], batch: int, job: Counts) -> int:
    gc.disable()  # objects live as long as their batch, and none is in a cycle
    kafka = KafkaSettings(bootstrap_servers=task.kafka)
    settings = WorkerSettings(
        group_id=task.run, group_protocol="classic", batch_events_max=batch,
        batch_bytes_max=BYTES_MAX, batch_wait_ms_max=WAIT_MS_MAX,
    )  # fmt: skip
    log = TimedLog(KafkaConsumer(kafka, settings, partitions))
    worker = Worker(
        log, KafkaDeadLetters(kafka), task.store(), shards=1,
        limits=_make_limits(batch), job=job,
    )  # fmt: skip
    ends = {p: extent.high for p, extent in log.read_extents(partitions).items()}
    while not _is_done(worker, ends):
        worker.turn()
    _say("LAST")
    return 0


def _make_limits(batch: int) -> WorkerLimits:
    """Batches are as large here as the log's, as a worker that aligns partitions holds as many records as it reads."""
    return WorkerLimits(
        dedup_ids_cached_max=10_000_000, sketch_members_cached_max=0,
        held_records_max=2 * batch, held_bytes_max=BYTES_MAX, batch_records_max=batch, batch_bytes_max=BYTES_MAX,
    )  # fmt: skip


def _say(word: str) -> None:
    """Write the line in one call, because several processes share the output."""
    os.write(1, f"{word} {time.time_ns() // 1_000_000}\n".encode())


def _is_done(worker: Worker, ends: Mapping[Partition, int]) -> bool:
    at = worker.positions
    return worker.is_settled and bool(at.starts) and all(at.find_next_read_offset(p) >= end for p, end in ends.items())


class TimedLog:
    """A log that prints `FIRST` when the first record arrives."""

    def __init__(self, log: KafkaConsumer) -> None:
        self._log = log
        self._is_first = True

    def poll(self, at_most: int | None = None) -> Any:
        batch = self._log.poll(at_most)
        if batch.runs and self._is_first:
            self._is_first = False
            _say("FIRST")
        return batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def _read_results(job: CountsTask) -> dict[str, dict[str, int]]:
    """Read the results from Redis, in the format of the comparison."""
    rollups = {EVENT_COUNTS: "counts", PRODUCT_COUNTS: "products", ORDER_CENTS: "revenue_cents"}
    results: dict[str, dict[str, int]] = {name: {} for name in (*rollups.values(), "uniques")}
    base = redis_keys.make_generation_prefix(0, GENERATION)
    with redis.Redis.from_url(job.redis, decode_responses=True) as client:
        for key in client.scan_iter(f"{base}c:*", count=10_000):
            *_, rollup, _kind, minute = key.split(":")
            for field, n in client.hgetall(key).items():
                name = "" if rollup == ORDER_CENTS else "|" + field.replace(SEPARATOR, "|")
                results[rollups[rollup]][f"{minute}{name}"] = int(n)
        for key in client.scan_iter(f"{base}p:*", count=10_000):
            results["uniques"][key.rsplit(":", 1)[1]] = client.pfcount(key)
    return results


def main(*, processes: int, batch: int, once: bool) -> int:
    try:
        job = CountsTask.read()
    except KeyError as error:
        print(f"{error.args[0]} is not set: see the comparison's contract.", file=sys.stderr)
        return 2
    head = {"benchmark": "counts", "commit": describe_commit(), "processes": processes, "batch": batch, "dedup": once}
    print(json.dumps(head | {"machine": describe_machine()}), file=sys.stderr)  # standard output is the comparison's
    return count(job, processes=processes, batch=batch, once=once)
