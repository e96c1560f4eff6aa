"""The embedded servers for integration tests: each started once a session, on free ports, in a temporary folder.

A test takes `kafka_server`, `valkey_server`, `postgres_server`, or `servers` for all three, and may kill, stop and
start them; it leaves them running. Functions end with the test process, however that ends.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import psycopg
import redis
from confluent_kafka.admin import AdminClient

from rtaplatform.catalog import migrate
from rtaplatform.core.events import EVENT_TOPICS
from rtaplatform.local.data.cache_folder import find_cache_folder
from rtaplatform.local.data.ports import keep_ports
from rtaplatform.local.servers.kafka import Kafka
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.local.supervisor.child_process import ChildProcess
from rtaplatform.local.supervisor.embedded_server import EmbeddedServer
from rtaplatform.settings import KafkaSettings, LocalSettings, TopicSettings
from rtaplatform.stream.kafka.broker import Broker
from rtaplatform.stream.kafka.config import make_client_config

ANSWER_SECONDS_MAX = 60.0
APP_ROLE = "rta"
TESTER = "rta-tests"  # a Valkey user that may do anything: flush, configure, look into every key

ServerT = TypeVar("ServerT", bound=EmbeddedServer)


@dataclass
class Running(Generic[ServerT]):
    """A server and its process. `kill` is kill -9; `start` waits until it answers."""

    server: ServerT
    process: ChildProcess

    def start(self) -> None:
        self.server.prepare(print)
        self.process.start(self.server.make_command())
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while not self.server.answers():
            assert self.process.is_alive(), f"{self.server.name} ended:\n{self.process.read_last_lines(40)}"
            assert time.monotonic() < deadline, (
                f"{self.server.name} does not answer:\n{self.process.read_last_lines(40)}"
            )
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()

    def stop(self) -> None:
        self.process.stop(self.server.stop_signal, 10)

    def restart(self) -> None:
        """kill -9 and start again, on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Let it hang, as a long pause would; `thaw` lets it go on. PostgreSQL's sessions are frozen with it."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


def start_kafka(folder: Path) -> Running[Kafka]:
    ports = keep_ports(folder / "kafka-ports.json", ["kafka", "controller"])
    kafka = Kafka(folder / "kafka", find_cache_folder(LocalSettings().cache_dir), ports["kafka"], ports["controller"])
    return start_server(kafka, folder)


def start_valkey(folder: Path) -> Running[Valkey]:
    port = keep_ports(folder / "valkey-ports.json", ["valkey"])["valkey"]
    return start_server(Valkey(folder / "valkey", port, extra_users={TESTER: "~* &* +@all"}), folder)


def start_postgres(folder: Path) -> Running[Postgres]:
    port = keep_ports(folder / "postgres-ports.json", ["postgres"])["postgres"]
    return start_server(Postgres(folder / "postgres", port), folder)


@dataclass(frozen=True)
class Servers:
    """All three, and the addresses under which tests reach them."""

    kafka: Running[Kafka]
    valkey: Running[Valkey]
    postgres: Running[Postgres]

    @property
    def kafka_bootstrap_servers(self) -> str:
        return self.kafka.server.bootstrap_servers

    @property
    def redis_url(self) -> str:
        """The workers' and readers' user."""
        return self.valkey.server.make_url("rta")

    @property
    def redis_loader_url(self) -> str:
        return self.valkey.server.make_url("rta-loader")

    @property
    def redis_limiter_url(self) -> str:
        return self.valkey.server.make_url("rta-limiter")

    @property
    def redis_tester_url(self) -> str:
        return self.valkey.server.make_url(TESTER)

    @property
    def postgres_url(self) -> str:
        """The database `rta`, as the application's role."""
        return self.postgres.server.url

    @property
    def postgres_owner_url(self) -> str:
        """The database `rta`, as the role that migrates."""
        return self.postgres.server.owner_url


def empty_log(servers: Servers) -> None:
    """Event topics without a record, made anew: for tests whose numbers must be those of their own events alone."""
    settings = KafkaSettings(bootstrap_servers=servers.kafka_bootstrap_servers)
    broker, admin = Broker(settings), AdminClient(make_client_config(settings))
    there = list(broker.describe_topics(EVENT_TOPICS))
    for future in admin.delete_topics(there).values() if there else ():
        future.result()
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    while broker.describe_topics(EVENT_TOPICS):
        assert time.monotonic() < deadline, "the topics are still there"
        time.sleep(0.1)
    broker.create_topics(TopicSettings())


def empty_catalog(postgres: Postgres, *, is_migrated: bool = True) -> None:
    """A database as `rta migrate` leaves it, without rows; or without anything."""
    with psycopg.connect(postgres.owner_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    if is_migrated:
        migrate.upgrade(postgres.owner_url, app_role=APP_ROLE)


def read_revision(url: str) -> str | None:
    """The revision of a database's tables. None if it was never migrated."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT max(version_num) FROM alembic_version").fetchone()
    return None if row is None else row[0]


def flush(valkey: Running[Valkey]) -> None:
    """Empty the store: keys and functions."""
    with redis.Redis.from_url(valkey.server.make_url(TESTER)) as client:
        client.flushall()
        client.function_flush()


def start_server(server: ServerT, folder: Path) -> Running[ServerT]:
    running = Running(server, ChildProcess(server.name, folder / "logs" / f"{server.name}.log"))
    running.start()
    return running
