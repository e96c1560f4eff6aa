"""The addresses of the instance that runs from a data directory: the file `run.json` beside its lock.

The supervisor holds the lock as long as it lives, so a file left behind by a killed instance is recognized as stale.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from rtaplatform.core.errors import SetupError
from rtaplatform.local.data.private_files import read_object, write_private

RUN_FILE = "run.json"
LOCK_FILE = "lock"


@dataclass(frozen=True)
class InstanceAddresses:
    """The addresses of the three servers; URLs hold passwords. Those that a given server does not need are empty."""

    kafka: str
    redis: str
    redis_loader: str
    redis_limiter: str
    postgres: str
    postgres_migrate: str = ""

    def make_environment(self) -> dict[str, str]:
        """The environment variables from which our processes read the addresses."""
        variables = {
            "RTA_KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "RTA_REDIS_URL": self.redis,
            "RTA_REDIS_LOADER_URL": self.redis_loader,
            "RTA_REDIS_LIMITER_URL": self.redis_limiter,
            "RTA_POSTGRES_URL": self.postgres,
            "RTA_POSTGRES_MIGRATE_URL": self.postgres_migrate,
        }
        return {name: value for name, value in variables.items() if value}


@dataclass(frozen=True)
class RunningInstance:
    """A running instance: the pids of the supervisor and its children, and the addresses."""

    pid: int
    url: str
    started_at: str
    addresses: InstanceAddresses
    children: dict[str, int]
    signals: dict[str, str] = field(default_factory=dict)  # name of a child → URL of its signals


def read_running(data_dir: Path) -> RunningInstance | None:
    """The instance that runs from `data_dir` now, or None."""
    if not is_locked(data_dir):
        return None
    values = read_object(data_dir / RUN_FILE)
    names = {item.name for item in fields(RunningInstance)}
    if not names <= values.keys():
        return None
    addresses = InstanceAddresses(**values["addresses"])
    return RunningInstance(**{name: values[name] for name in names - {"addresses"}}, addresses=addresses)


def write_running(data_dir: Path, instance: RunningInstance) -> None:
    write_private(data_dir / RUN_FILE, json.dumps(asdict(instance), indent=1))


def is_locked(data_dir: Path) -> bool:
    """Whether a supervisor runs on this data directory."""
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def holding_lock(data_dir: Path) -> Iterator[None]:
    """Hold the directory's lock. Raises SetupError with exit code 5 if another process has it."""
    descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take_lock(descriptor, data_dir)
        yield
    finally:
        os.close(descriptor)


def _take_lock(descriptor: int, data_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        instance = read_running(data_dir)
        holder = f"by process {instance.pid} at {instance.url}" if instance else "by one that is starting"
        raise SetupError(
            f"The data directory {data_dir} is in use {holder}.",
            "Use that one, stop it, or start another with a --data-dir of its own.",
            exit_code=5,
        ) from error
