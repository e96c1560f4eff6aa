"""Start a whole platform for one benchmark: embedded servers and the real processes, in a temporary folder.

The API runs as its own process, as with `rta api`, on its own port. Rate limits are active, but too high to be reached.
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
from rtaplatform.local.supervisor.supervisor import Supervisor
from rtaplatform.settings import KafkaSettings, LocalSettings, StoreSettings
from rtaplatform.store.redis.redis_store import RedisStore

PROJECT, PROJECT_ID, ZONE = "demo", "prj_demo", "Europe/Berlin"
LIMIT = "1000000000"
LOG_BYTES_MAX = 1 << 40  # records that are not yet counted must stay
_LIMITED = ("READS", "CATALOG", "ADMIN", "COLLECT_EVENTS", "ADDRESS_EVENTS", "BROWSER_EVENTS", "PERSON_EVENTS")
LIMITS = {f"RTA_LIMITS_{name}_PER_MINUTE": LIMIT for name in _LIMITED}


@dataclass(frozen=True)
class BenchStack:
    """The addresses, keys and processes of the platform."""

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
    """Start everything and wait until it is ready. At the end stop it and remove its folder."""
    with running_supervised_stack(workers=workers, events_per_second=events_per_second) as (stack, _):
        yield stack


@contextmanager
def running_supervised_stack(*, workers: int, events_per_second: float = 0) -> Iterator[tuple[BenchStack, Supervisor]]:
    """Like `running_stack`, with the supervisor, which starts a process again that has ended."""
    os.environ.update(LIMITS)
    with tempfile.TemporaryDirectory(prefix="rta-bench-") as folder:
        settings = LocalSettings(kafka_bytes_max=LOG_BYTES_MAX)
        options = LaunchOptions(Path(folder) / "data", 0, events_per_second, workers, settings=settings)
        with running_platform(options, say) as instance, _raise_on_signals():
            yield _describe_stack(instance), instance.supervisor


@contextmanager
def _raise_on_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM interrupt the benchmark at once. The supervisor reacts to them only at its next tick."""
    before = [signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)


def _describe_stack(instance: Instance) -> BenchStack:
    addresses = instance.addresses
    return BenchStack(
        instance.url,
        instance.keys,
        addresses.kafka,
        addresses.redis,
        addresses.postgres,
        instance.supervisor.list_pids(),
    )


@contextmanager
def run_in_background(work: Callable[..., None], *args: Any) -> Iterator[None]:
    """Run endless work in a separate process until the block ends. Raises RuntimeError if the work ends sooner."""
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
    """Print progress to standard error. Standard output is for figures."""
    print(line, file=sys.stderr, flush=True)
