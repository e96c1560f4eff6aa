"""Start a Kafka and a Valkey for one benchmark, with topics and shards: the minimum that counting needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import SecretStr

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.projects import ProjectSettings
from rtaplatform.local.data.cache_folder import find_cache_folder
from rtaplatform.local.data.ports import keep_ports
from rtaplatform.local.servers.kafka import Kafka
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.local.supervisor.child_process import ChildProcess
from rtaplatform.local.supervisor.embedded_server import EmbeddedServer
from rtaplatform.settings import KafkaSettings, LocalSettings, StoreSettings, TopicSettings
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.store.redis.shard_lifecycle import begin_missing
from rtaplatform.stream.kafka.broker import Broker

PROJECT = ProjectSettings("demo", "Europe/Berlin", "EUR")
ANSWER_SECONDS_MAX = 60.0
EVENT_PARTITIONS = 12
LINES_SHOWN = 20  # of each log, after a failure


@dataclass(frozen=True)
class BenchServers:
    kafka: KafkaSettings
    store: StoreSettings
    pids: dict[str, int]
    logs: Path

    def spawn(self, *arguments: str, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start an `rta` command. Its error output goes to a log, which is shown after a failure."""
        assert self.store.loader_url is not None
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "RTA_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "RTA_REDIS_URL": self.store.url.get_secret_value(),
            "RTA_REDIS_LOADER_URL": self.store.loader_url.get_secret_value(),
        }
        command = [sys.executable, "-m", "rtaplatform.cli.main", *arguments]
        with (self.logs / f"{arguments[0]}.spawned.log").open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=stdout, stderr=log, stdin=subprocess.DEVNULL)


@contextmanager
def running_servers() -> Iterator[BenchServers]:
    """Start Kafka and Valkey with topics and shards. At the end kill both and remove their folder."""
    with tempfile.TemporaryDirectory(prefix="rta-bench-") as name, ExitStack() as ends:
        folder = Path(name)
        ports = keep_ports(folder / "ports.json", ["kafka", "controller", "valkey"])
        kafka = Kafka(
            folder / "kafka", find_cache_folder(LocalSettings().cache_dir), ports["kafka"], ports["controller"]
        )
        valkey = Valkey(folder / "valkey", ports["valkey"])
        pids = {server.name: _start(server, folder, ends) for server in (kafka, valkey)}
        servers = BenchServers(
            KafkaSettings(bootstrap_servers=kafka.bootstrap_servers),
            StoreSettings(url=SecretStr(valkey.make_url()), loader_url=SecretStr(valkey.make_url("rta-loader"))),
            pids,
            folder / "logs",
        )
        _begin(servers)
        try:
            yield servers
        except Exception:
            for log in servers.logs.glob("*.spawned.log"):
                sys.stderr.write("\n".join(log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]) + "\n")
            raise


@contextmanager
def running_valkey() -> Iterator[tuple[StoreSettings, int]]:
    """Start only a Valkey, without functions or shards. Yields its settings and process id. At the end kill it."""
    with tempfile.TemporaryDirectory(prefix="rta-bench-") as name, ExitStack() as ends:
        folder = Path(name)
        valkey = Valkey(folder / "valkey", keep_ports(folder / "ports.json", ["valkey"])["valkey"])
        pid = _start(valkey, folder, ends)
        yield StoreSettings(url=SecretStr(valkey.make_url()), loader_url=SecretStr(valkey.make_url("rta-loader"))), pid


def _start(server: EmbeddedServer, folder: Path, ends: ExitStack) -> int:
    server.prepare(lambda line: print(line, file=sys.stderr))
    process = ChildProcess(server.name, folder / "logs" / f"{server.name}.log")
    process.start(server.make_command())
    ends.callback(process.kill)
    wait_until(server.answers, f"{server.name} to answer", ANSWER_SECONDS_MAX)
    assert process.pid is not None
    return process.pid


def _begin(servers: BenchServers) -> None:
    broker, store = Broker(servers.kafka), RedisStore(servers.store)
    broker.create_topics(TopicSettings())
    wait_until(lambda: len(broker.read_ends()) == EVENT_PARTITIONS, "the topics' leaders", ANSWER_SECONDS_MAX)
    store.load_functions()
    store.set_projects([PROJECT])
    begin_missing(store, servers.store.shards, {name: i for name, (i, _) in broker.describe_topics().items()}, {})
    store.close()


def wait_until(condition: Callable[[], bool], goal: str, seconds: float) -> None:
    """Wait until the condition holds. An unavailable server counts as false. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not _is_met(condition):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {goal}")
        time.sleep(0.05)


def _is_met(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except Unavailable:
        return False


def read_cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process and of its running children."""
    process = psutil.Process(pid)
    return sum(sum(member.cpu_times()[:2]) for member in (process, *process.children(recursive=True)))
