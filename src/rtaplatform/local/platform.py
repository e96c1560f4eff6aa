"""The whole platform on one machine: servers, then migration, workers and API, then the simulator.

Kafka takes longest, so it is started first and the others beside it. `StageProcesses` says which commands of ours run;
tests put others there. An instance is ready when the API says so and the simulator runs.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import rtaplatform
from rtaplatform.core.errors import SetupError
from rtaplatform.local.data import data_dir as datadir
from rtaplatform.local.data.cache_folder import cache_folder
from rtaplatform.local.data.data_dir import LocalDemoKeys
from rtaplatform.local.data.instance_file import (
    RUN_FILE,
    InstanceAddresses,
    RunningInstance,
    holding_lock,
    write_running,
)
from rtaplatform.local.data.ports import LOOPBACK, keep_ports, require_free
from rtaplatform.local.data.ready_file import ready_file_removed, remove_file, require_place, write_ready_file
from rtaplatform.local.servers.kafka import Kafka
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.local.supervisor import open_files
from rtaplatform.local.supervisor.child_process import Command
from rtaplatform.local.supervisor.embedded_server import EmbeddedServer, Say
from rtaplatform.local.supervisor.environments import environment_of
from rtaplatform.local.supervisor.supervisor import ChildSpec, Supervisor, Tier
from rtaplatform.local.supervisor.wait_for_api import WaitingForReadiness
from rtaplatform.settings import LocalSettings

SERVER_SECONDS_MAX = 90.0
PREPARE_SECONDS_MAX = 900.0
MIGRATE_SECONDS_MAX = 120.0
READY_SECONDS_MAX = 90.0
WILDCARDS = ("0.0.0.0", "::", "*")  # noqa: S104  # compared with, not listened on
OUR_PROGRAM = (sys.executable, "-m", "rtaplatform.cli.main")


@dataclass(frozen=True)
class StageProcesses:
    """The commands that make the platform, as argument lists."""

    migrate: tuple[str, ...] = (*OUR_PROGRAM, "migrate", "--demo")
    worker: tuple[str, ...] = (*OUR_PROGRAM, "worker")
    api: tuple[str, ...] = (*OUR_PROGRAM, "api")
    simulate: tuple[str, ...] = (*OUR_PROGRAM, "simulate")
    profiles: tuple[str, ...] = (*OUR_PROGRAM, "profiles")


@dataclass(frozen=True)
class LaunchOptions:
    """What was asked for. A server that is given (kafka, redis, postgres) is not embedded."""

    data_dir: Path
    port: int = 8000
    events_per_second: float = 50
    workers: int = 1
    ready_file: Path | None = None
    host: str = LOOPBACK
    kafka: str | None = None
    redis: str | None = None
    postgres: str | None = None
    settings: LocalSettings = field(default_factory=LocalSettings)
    stages: StageProcesses = field(default_factory=StageProcesses)


@dataclass(frozen=True)
class Instance:
    """A platform that is ready."""

    url: str
    keys: LocalDemoKeys
    addresses: InstanceAddresses
    supervisor: Supervisor


@contextmanager
def running_platform(wanted: LaunchOptions, say: Say) -> Iterator[Instance]:
    """Start everything; inside, it is ready; at the end everything is stopped. Raises SetupError, StopRequested."""
    require_place(wanted.ready_file)
    open_files.raise_limit()
    folder = datadir.open_data_dir(wanted.data_dir)
    with holding_lock(folder), ready_file_removed(wanted.ready_file):
        datadir.end_leftovers(folder)
        datadir.require_memory()
        supervisor = Supervisor(folder / "logs", say)
        try:
            with supervisor.stopping_on_signals():
                instance = _start(wanted, folder, supervisor, say)
                write_ready_file(wanted.ready_file, instance.url, instance.keys, instance.addresses)
                yield instance
        finally:
            remove_file(folder / RUN_FILE)


def _start(wanted: LaunchOptions, folder: Path, supervisor: Supervisor, say: Say) -> Instance:
    if wanted.port:
        require_free(wanted.port, wanted.host)
    with_signals = [*_workers(wanted), "profiles"]
    names = ["kafka", "controller", "valkey", "postgres", "api", *map(signals_of, with_signals)]
    ports = keep_ports(folder / "ports.json", names)
    port = wanted.port or ports["api"]
    addresses, servers = embedded(wanted, folder, ports)
    keys, url = datadir.demo_keys(folder), f"http://{_reachable(wanted.host)}:{port}"
    signals = {name: f"http://{LOOPBACK}:{ports[signals_of(name)]}/metrics" for name in with_signals}
    started_at = datadir.now_text()
    supervisor.on_change = lambda: write_running(
        folder, RunningInstance(os.getpid(), url, started_at, addresses, supervisor.pids(), signals)
    )
    _start_servers(servers, supervisor, say)
    environment = _environment(addresses, keys, folder) | {"RTA_API_HOST": wanted.host, "RTA_API_PORT": str(port)}
    _migrate(wanted, environment, supervisor, say)
    _limit_topics(servers)
    _start_stages(wanted, environment, ports, supervisor)
    _wait_until_ready(url, _workers(wanted), supervisor, say)
    _start_simulator(wanted, environment, supervisor, say)
    _speed_up_next_start(servers, supervisor)
    return Instance(url, keys, addresses, supervisor)


def embedded(
    wanted: LaunchOptions, folder: Path, ports: dict[str, int]
) -> tuple[InstanceAddresses, list[EmbeddedServer]]:
    """Where the three servers are or will be, and those of them that are ours, in the order of starting."""
    settings = wanted.settings
    kafka = Kafka(
        folder / "kafka",
        cache_folder(settings.cache_dir),
        ports["kafka"],
        ports["controller"],
        heap_mb=settings.kafka_heap_mb,
        bytes_max=settings.kafka_bytes_max,
        repository_url=settings.maven_url,
    )
    valkey = Valkey(folder / "valkey", ports["valkey"], settings.redis_bytes_max)
    postgres = Postgres(folder / "postgres", ports["postgres"])
    addresses = InstanceAddresses(
        kafka=wanted.kafka or kafka.bootstrap_servers,
        redis=wanted.redis or valkey.url("rta"),
        redis_loader="" if wanted.redis else valkey.url("rta-loader"),
        redis_limiter="" if wanted.redis else valkey.url("rta-limiter"),
        postgres=wanted.postgres or postgres.url,
        postgres_migrate="" if wanted.postgres else postgres.owner_url,
    )
    given: list[tuple[str | None, EmbeddedServer]] = [
        (wanted.kafka, kafka),
        (wanted.postgres, postgres),
        (wanted.redis, valkey),
    ]
    return addresses, [server for address, server in given if not address]


def _start_servers(servers: Sequence[EmbeddedServer], supervisor: Supervisor, say: Say) -> None:
    """Prepare them side by side, start each when it is prepared, and wait until all answer."""
    prepared: queue.SimpleQueue[tuple[EmbeddedServer, Exception | None]] = queue.SimpleQueue()
    for server in servers:
        threading.Thread(target=_prepare, args=(server, say, prepared), daemon=True).start()
    waiting = {server.name for server in servers}
    for _ in supervisor.ticks(PREPARE_SECONDS_MAX):
        while waiting and not prepared.empty():
            server, error = prepared.get()
            if error:
                raise error
            waiting.discard(server.name)
            supervisor.start(ChildSpec(server.name, server.command, Tier.SERVER, server.stop_signal, server.look))
        if not waiting:
            break
    for server in servers:
        say(f"Waiting for {server.name}")
        supervisor.wait_for(server.name, server.answers, SERVER_SECONDS_MAX)


def _prepare(
    server: EmbeddedServer, say: Say, prepared: queue.SimpleQueue[tuple[EmbeddedServer, Exception | None]]
) -> None:
    try:
        server.prepare(say)
    except OSError as error:
        remedy = "See whether the disk is full or read-only, or name another folder with --data-dir."
        prepared.put((server, SetupError(f"{server.name} cannot be prepared: {error}", remedy)))
    except Exception as error:  # noqa: BLE001  # raised again in the main thread
        prepared.put((server, error))
    else:
        prepared.put((server, None))


def _migrate(wanted: LaunchOptions, environment: dict[str, str], supervisor: Supervisor, say: Say) -> None:
    say("Migrating the catalog, creating topics, loading functions")
    # In the embedded database the demo project is ours; in one that is given it may be somebody else's.
    replace = () if wanted.postgres else ("--replace-demo-keys",)
    supervisor.run_once(_child("migrate", (*wanted.stages.migrate, *replace), environment), MIGRATE_SECONDS_MAX)


def _limit_topics(servers: Sequence[EmbeddedServer]) -> None:
    """How much our own Kafka keeps; somebody else's keeps what its operator says."""
    for kafka in (server for server in servers if isinstance(server, Kafka)):
        kafka.limit_topics()


def _start_stages(
    wanted: LaunchOptions, environment: dict[str, str], ports: dict[str, int], supervisor: Supervisor
) -> None:
    stages = wanted.stages
    for name in _workers(wanted):
        signals = {"RTA_WORKER_METRICS_PORT": str(ports[signals_of(name)])}
        supervisor.start(_child(name, stages.worker, environment | signals))
    supervisor.start(_child("api", stages.api, environment))
    signals = {"RTA_PROFILES_METRICS_PORT": str(ports[signals_of("profiles")])}
    supervisor.start(_child("profiles", stages.profiles, environment | signals))


def _workers(wanted: LaunchOptions) -> list[str]:
    return [f"worker-{number}" for number in range(1, wanted.workers + 1)]


def signals_of(name: str) -> str:
    """The name of the port on which a process serves its signals."""
    return f"{name}-signals"


def _wait_until_ready(url: str, workers: Sequence[str], supervisor: Supervisor, say: Say) -> None:
    say("Waiting for the API and the workers")
    waiting = WaitingForReadiness(url, say)
    try:
        supervisor.wait_for("api", waiting.is_over, READY_SECONDS_MAX)
    except SetupError as error:
        reasons = "".join(f"\n  {problem}" for problem in waiting.problems)
        raise SetupError(f"The platform is not ready:{reasons}\n{error.problem}", error.remedy) from error
    for name in (*workers, "profiles"):
        supervisor.wait_for(name, lambda: True, 1)


def _start_simulator(wanted: LaunchOptions, environment: dict[str, str], supervisor: Supervisor, say: Say) -> None:
    if wanted.events_per_second <= 0:
        return
    argv = (*wanted.stages.simulate, "--rate", f"{wanted.events_per_second:g}")
    supervisor.start(_child("simulate", argv, environment, Tier.SOURCE))
    say("Starting the simulator")
    for _ in supervisor.ticks(0.5):
        pass
    supervisor.wait_for("simulate", lambda: True, 1)


def _speed_up_next_start(servers: Sequence[EmbeddedServer], supervisor: Supervisor) -> None:
    for kafka in (server for server in servers if isinstance(server, Kafka)):
        try:
            command = kafka.speed_up()
        except OSError:
            return  # no room; the next start is as slow as this one
        if command:
            supervisor.run_beside(ChildSpec("kafka-classes", partial(_same, command), Tier.SOURCE), kafka.speeded_up)


def _same(command: Command) -> Command:
    return command


def _child(name: str, argv: tuple[str, ...], environment: dict[str, str], tier: Tier = Tier.STAGE) -> ChildSpec:
    """`name` is the stage's, with a number where there are several."""
    stage = name.partition("-")[0]
    command = Command(argv, Path(environment["RTA_DATA_DIR"]), environment_of(stage, environment))
    return ChildSpec(name, partial(_same, command), tier)


def _reachable(host: str) -> str:
    """The address under which an API that listens on `host` is reached from here."""
    if host in WILDCARDS:
        return LOOPBACK
    return f"[{host}]" if ":" in host else host


def _environment(addresses: InstanceAddresses, keys: LocalDemoKeys, folder: Path) -> dict[str, str]:
    """The environment of our own children: ours, with the addresses and the demo keys."""
    source = str(Path(rtaplatform.__file__).parent.parent)
    path = os.pathsep.join(part for part in (source, os.environ.get("PYTHONPATH")) if part)
    demo = {f"RTA_DEMO_{name.upper()}": key for name, key in asdict(keys).items()}
    own = {
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "RTA_SUPERVISED": "1",
        "RTA_DATA_DIR": str(folder),
    }
    return {**os.environ, **addresses.environment(), **demo, **own}
