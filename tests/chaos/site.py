"""The whole platform on servers of its own: workers behind proxies, the API in front, disks that can be full.

```
 simulate ─► Kafka ─► proxy ─► workers, rebuild ─► proxy ─► Valkey ◄─ API ◄─ watcher
```
The API and the simulator reach the servers directly, so that what a link does is the trouble of workers and rebuilds.
Start and stop it, and do faults, in the main thread: children are tied to it, and mounts are its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import redis
from pydantic import SecretStr

import rtaplatform
from rtaplatform.local.data.cache_folder import find_cache_folder
from rtaplatform.local.data.ports import LOOPBACK, keep_ports
from rtaplatform.local.servers.kafka import Kafka
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.local.supervisor.child_process import ChildProcess, Command, run_to_completion
from rtaplatform.operate.operations import migrate
from rtaplatform.settings import CatalogSettings, LocalSettings, TopicSettings
from tests import plain_http
from tests.chaos.disks import Disk, enter_namespace
from tests.chaos.history import History
from tests.chaos.proxies import Link, Proxies
from tests.chaos.rebuilding import Rebuilds
from tests.integration.chaos import Stack, wait_until
from tests.integration.servers import TESTER, Running, start_server

SHARDS = 2
WORKERS = 2
ARCHIVE_SECONDS_MAX = 120
WRITE_KEY, READ_KEY, ADMIN_KEY = "rta_w_chaos", "rta_r_chaos", "rta_a_chaos"
PORTS = ["kafka", "kafka-behind", "kafka-proxy", "controller", "valkey", "valkey-proxy", "postgres", "toxiproxy", "api"]


@dataclass
class Site:
    """Made by `open_site`."""

    folder: Path
    ports: dict[str, int]
    stack: Stack
    postgres: Running[Postgres]
    disks: dict[str, Disk]
    links: dict[str, Link]
    history: History = field(default_factory=History)
    workers: list[ChildProcess] = field(default_factory=list)
    api: list[ChildProcess] = field(default_factory=list)
    rebuilds: Rebuilds = field(init=False)
    begun_bytes: int = 0  # what Valkey had written when the shards had begun: without that they are lost, by design

    def __post_init__(self) -> None:
        command = partial(self._make_command, "rebuild", "--json", kafka="kafka-proxy", valkey="valkey-proxy")
        self.rebuilds = Rebuilds(self.stack, self.history, self._make_process("rebuild"), command)

    @property
    def kafka(self) -> Running[Kafka]:
        return self.stack.kafka

    @property
    def valkey(self) -> Running[Valkey]:
        return self.stack.valkey

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['api']}"

    def connect_as_admin(self) -> redis.Redis:
        """Valkey, as a user that may do anything."""
        return redis.Redis.from_url(self.valkey.server.make_url(TESTER), socket_timeout=10)

    def find_file_written_by_valkey(self) -> Path:
        """The append-only file that is written to."""
        files = self.valkey.server.folder.glob("appendonlydir/*.incr.aof")
        return max(files, key=lambda path: int(path.name.split(".")[-3]))

    def start(self) -> None:
        """The workers and the API, until it is ready."""
        self.workers = [self._make_process(f"worker-{number}") for number in range(WORKERS)]
        self.api = [self._make_process("api")]
        for number in range(WORKERS):
            self.start_worker(number)
        self.api[0].start(self._make_command("api"))
        wait_until(lambda: plain_http.get(f"{self.url}/health/ready", timeout=5).is_success, "the API", 60)

    def start_worker(self, number: int) -> None:
        """Its servers are behind the proxies."""
        self.workers[number].start(self._make_command("worker", kafka="kafka-proxy", valkey="valkey-proxy"))

    def simulate(self, name: str, *options: str) -> ChildProcess:
        visitors = self._make_process(name)
        visitors.start(self._make_command("simulate", *options))
        return visitors

    def check_children(self) -> None:
        """Every child runs: a fault that ends one has started it again."""
        servers = [self.kafka.process, self.valkey.process, self.postgres.process]
        for child in [*self.workers, *self.api, *servers]:
            assert child.is_alive(), f"{child.name} has ended by itself:\n{child.read_last_lines(40)}"

    def stop(self) -> None:
        for child in [*self.workers, *self.api, self.rebuilds.process]:
            child.send_signal(signal.SIGCONT)
            child.stop(signal.SIGTERM, 10)

    def _make_process(self, name: str) -> ChildProcess:
        return ChildProcess(name, self.folder / "logs" / f"{name}.log")

    def _make_command(self, *words: str, kafka: str = "kafka", valkey: str = "valkey") -> Command:
        """One of our own commands, as `rta` would run it, with its servers at these ports."""
        server = self.valkey.server
        at = (f"{LOOPBACK}:{server.port}", f"{LOOPBACK}:{self.ports[valkey]}")
        environment = os.environ | {
            "PYTHONPATH": str(Path(rtaplatform.__file__).parents[1]),
            "RTA_KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{self.ports[kafka]}",
            "RTA_REDIS_URL": server.make_url("rta").replace(*at),
            "RTA_REDIS_LOADER_URL": server.make_url("rta-loader").replace(*at),
            "RTA_REDIS_LIMITER_URL": server.make_url("rta-limiter").replace(*at),
            "RTA_REDIS_SHARDS": str(SHARDS),
            "RTA_POSTGRES_URL": self.postgres.server.url,
            "RTA_API_PORT": str(self.ports["api"]),
        }
        return Command((sys.executable, "-m", "rtaplatform.cli.main", *words), self.folder, environment)


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """Everything running, nothing counted yet; all of it ends with the block, or with this process."""
    with ExitStack() as closing:
        enter_namespace()
        disks = {name: Disk.mount(folder / name) for name in ("kafka", "valkey")}
        for disk in disks.values():
            closing.callback(disk.unmount)
        ports = keep_ports(folder / "ports.json", PORTS)
        kafka = start_server(_make_kafka(folder, ports), folder)
        closing.callback(kafka.stop)
        valkey = start_server(Valkey(folder / "valkey", ports["valkey"], extra_users={TESTER: "~* &* +@all"}), folder)
        closing.callback(valkey.stop)
        postgres = start_server(Postgres(folder / "postgres", ports["postgres"]), folder)
        closing.callback(postgres.stop)
        proxies = Proxies.start(folder, ports["toxiproxy"])
        closing.callback(proxies.stop)
        wait_until(proxies.answers, "toxiproxy")
        links = {
            "kafka": proxies.link("kafka", listen=ports["kafka-proxy"], upstream=ports["kafka-behind"]),
            "valkey": proxies.link("valkey", listen=ports["valkey-proxy"], upstream=ports["valkey"]),
        }
        site = Site(folder, ports, Stack(kafka, valkey, folder, SHARDS), postgres, disks, links)
        closing.callback(site.stop)
        _migrate(site)
        _speed_up(kafka)
        site.begun_bytes = site.find_file_written_by_valkey().stat().st_size
        site.start()
        yield site


def _make_kafka(folder: Path, ports: dict[str, int]) -> Kafka:
    return Kafka(
        folder / "kafka",
        find_cache_folder(LocalSettings().cache_dir),
        ports["kafka"],
        ports["controller"],
        extra_listeners={"PROXIED": (ports["kafka-behind"], ports["kafka-proxy"])},
    )


def _speed_up(kafka: Running[Kafka]) -> None:
    """Kafka is started again and again: with an archive of its classes, as `rta up` makes one, in half of the time."""
    command = kafka.server.make_archive_command()
    if command is not None:
        process = run_to_completion(command, ARCHIVE_SECONDS_MAX)
        assert process.returncode == 0, process.stderr[-1_000:]
        kafka.server.install_archive()


def _migrate(site: Site) -> None:
    stack, postgres = site.stack, site.postgres.server
    catalog = CatalogSettings(url=SecretStr(postgres.url), migrate_url=SecretStr(postgres.owner_url))
    keys = (WRITE_KEY, READ_KEY, ADMIN_KEY)
    asyncio.run(migrate(stack.kafka_settings, stack.store_settings, catalog, TopicSettings(), demo_keys=keys))
