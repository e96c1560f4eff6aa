"""A platform of a benchmark's own: embedded servers and the real processes, in a temporary folder.

The API is the process of `rta api`, on a port of its own; limits are taken from keys as always, but are out of reach.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from rtaplatform.local.data.data_dir import LocalDemoKeys
from rtaplatform.local.platform import Instance, LaunchOptions, running_platform
from rtaplatform.settings import KafkaSettings, LocalSettings, StoreSettings
from rtaplatform.store.redis.redis_store import RedisStore

PROJECT, PROJECT_ID, ZONE = "demo", "prj_demo", "Europe/Berlin"
LIMIT = "1000000000"
LOG_BYTES_MAX = 1 << 40  # what is not yet counted must stay
LIMITS = {f"RTA_LIMITS_{name}_PER_MINUTE": LIMIT for name in ("READS", "CATALOG", "ADMIN", "COLLECT_EVENTS")}


@dataclass(frozen=True)
class BenchStack:
    """Where it runs, and what opens it."""

    url: str
    keys: LocalDemoKeys
    kafka: str
    redis: str
    postgres: str
    pids: dict[str, int]  # name of a child → its process

    @property
    def store_settings(self) -> StoreSettings:
        return StoreSettings(url=SecretStr(self.redis), timeout_seconds=60)

    @property
    def kafka_settings(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.kafka)

    def store(self) -> RedisStore:
        return RedisStore(self.store_settings)


@contextmanager
def running_stack(*, workers: int, events_per_second: float = 0) -> Iterator[BenchStack]:
    """Start everything; inside it is ready; at the end it is stopped, and its folder removed."""
    os.environ.update(LIMITS)
    with tempfile.TemporaryDirectory(prefix="rta-bench-") as folder:
        settings = LocalSettings(kafka_bytes_max=LOG_BYTES_MAX)
        wanted = LaunchOptions(Path(folder) / "data", 0, events_per_second, workers, settings=settings)
        with running_platform(wanted, say) as instance, _interrupted_by_signals():
            yield _stack(instance)


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """SIGINT and SIGTERM end what is measured: the supervisor would notice them between its ticks only."""
    before = [signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)


def _stack(instance: Instance) -> BenchStack:
    addresses = instance.addresses
    return BenchStack(
        instance.url, instance.keys, addresses.kafka, addresses.redis, addresses.postgres, instance.supervisor.pids()
    )


@contextmanager
def beside(work: Callable[..., None], *args: Any) -> Iterator[None]:
    """Work without end, by a process of its own, until the end of the block. Raises where it ended before."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=args, daemon=True)
    process.start()
    try:
        yield
        if not process.is_alive():
            raise RuntimeError(f"{work.__name__} has ended by itself, with {process.exitcode}")
    finally:
        process.terminate()
        process.join()


def say(line: str) -> None:
    """What goes on; figures go to standard output."""
    print(line, file=sys.stderr, flush=True)
