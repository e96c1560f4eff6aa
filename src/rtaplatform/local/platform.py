"""Run the whole platform on one machine: servers, then migration, workers and API, then the simulator.

Kafka takes longest, so it is the first of the servers, which are prepared and started concurrently. `StageProcesses`
has the commands of the stages; tests use others. An instance is ready when the API is ready and the simulator runs.
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
from rtaplatform.local.data.cache_folder import find_cache_folder
from rtaplatform.local.data.data_dir import LocalDemoKeys
from rtaplatform.local.data.instance_file import (
    RUN_FILE,
    InstanceAddresses,
    RunningInstance,
    holding_lock,
    write_running,
)
from rtaplatform.local.data.ports import LOOPBACK, keep_ports, require_free
from rtaplatform.local.data.ready_file import remove_file, require_writable, without_stale_ready_file, write_ready_file
from rtaplatform.local.servers.kafka import Kafka
from rtaplatform.local.servers.postgres import Postgres
from rtaplatform.local.servers.valkey import Valkey
from rtaplatform.local.supervisor import open_files
from rtaplatform.local.supervisor.child_process import Command
from rtaplatform.local.supervisor.embedded_server import EmbeddedServer, Say
from rtaplatform.local.supervisor.environments import select_environment
from rtaplatform.local.supervisor.supervisor import ChildSpec, Supervisor, Tier
from rtaplatform.local.supervisor.wait_for_api import ReadinessPoll
from rtaplatform.settings import LocalSettings

SERVER_SECONDS_MAX = 90.0
PREPARE_SECONDS_MAX = 900.0
MIGRATE_SECONDS_MAX = 120.0
READY_SECONDS_MAX = 90.0
SIMULATED_MALFORMED = "0.002"  # some dead letters to look at, and well below the share that `rta up` warns of
WILDCARDS = ("0.0.0.0", "::", "*")  # noqa: S104  # only compared with
OUR_PROGRAM = (sys.executable, "-m", "rtaplatform.cli.main")


@dataclass(frozen=True)
class StageProcesses:
    """The commands of the platform's processes, as argument lists."""

    migrate: tuple[str, ...] = (*OUR_PROGRAM, "migrate", "--demo")
    worker: tuple[str, ...] = (*OUR_PROGRAM, "worker")
    api: tuple[str, ...] = (*OUR_PROGRAM, "api")
    simulate: tuple[str, ...] = (*OUR_PROGRAM, "simulate")
    profiles: tuple[str, ...] = (*OUR_PROGRAM, "profiles")


@dataclass(frozen=True)
class LaunchOptions:
    """The options of a start. A server with an address here (kafka, redis, postgres) is not embedded."""

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
    signals: dict[str, str] = field(default_factory=dict)  # name of a process → URL of its signals


@contextmanager
def running_platform(options: LaunchOptions, say: Say) -> Iterator[Instance]:
    """Start the platform. It is ready inside, and stopped at the end. Raises SetupError, StopRequested."""
    require_writable(options.ready_file)
    open_files.raise_limit()
    folder = datadir.open_data_dir(options.data_dir)
    with holding_lock(folder), without_stale_ready_file(options.ready_file):
        datadir.end_leftovers(folder)
        datadir.require_memory()
        supervisor = Supervisor(folder / "logs", say)
        try:
            with supervisor.stopping_on_signals():
                instance = _start(options, folder, supervisor, say)
                write_ready_file(options.ready_file, instance.url, instance.keys, instance.addresses)
                yield instance
        finally:
            remove_file(folder / RUN_FILE)


def _start(options: LaunchOptions, folder: Path, supervisor: Supervisor, say: Say) -> Instance:
    if options.port:
        require_free(options.port, options.host)
    signal_sources = [*_name_workers(options), "profiles"]
    names = ["kafka", "controller", "valkey", "postgres", "api", *map(name_signals_port, signal_sources)]
    ports = keep_ports(folder / "ports.json", names)
    port = options.port or ports["api"]
    addresses, servers = plan_servers(options, folder, ports)
    keys, url = datadir.provide_demo_keys(folder), f"http://{_choose_reachable_host(options.host)}:{port}"
    signals = {name: f"http://{LOOPBACK}:{ports[name_signals_port(name)]}/metrics" for name in signal_sources}
    started_at = datadir.write_time()
    supervisor.on_change = lambda: write_running(
        folder, RunningInstance(os.getpid(), url, started_at, addresses, supervisor.list_pids(), signals)
    )
    _start_servers(servers, supervisor, say)
    environment = _make_environment(addresses, keys, folder) | {"RTA_API_HOST": options.host, "RTA_API_PORT": str(port)}
    _migrate(options, environment, supervisor, say)
    _limit_topics(servers)
    _start_stages(options, environment, ports, supervisor)
    _wait_until_ready(url, _name_workers(options), supervisor, say)
    _start_simulator(options, environment, supervisor, say)
    _prepare_next_start(servers, supervisor)
    return Instance(url, keys, addresses, supervisor, signals)


def plan_servers(
    options: LaunchOptions, folder: Path, ports: dict[str, int]
) -> tuple[InstanceAddresses, list[EmbeddedServer]]:
    """The addresses of the three servers, and the embedded ones among them in the order of starting."""
    settings = options.settings
    kafka = Kafka(
        folder / "kafka",
        find_cache_folder(settings.cache_dir),
        ports["kafka"],
        ports["controller"],
        heap_mb=settings.kafka_heap_mb,
        bytes_max=settings.kafka_bytes_max,
        repository_url=settings.maven_url,
    )
    valkey = Valkey(folder / "valkey", ports["valkey"], settings.redis_bytes_max)
    postgres = Postgres(folder / "postgres", ports["postgres"])
    addresses = InstanceAddresses(
        kafka=options.kafka or kafka.bootstrap_servers,
        redis=options.redis or valkey.make_url("rta"),
        redis_loader="" if options.redis else valkey.make_url("rta-loader"),
        redis_limiter="" if options.redis else valkey.make_url("rta-limiter"),
        postgres=options.postgres or postgres.url,
        postgres_migrate="" if options.postgres else postgres.owner_url,
    )
    choices: list[tuple[str | None, EmbeddedServer]] = [
        (options.kafka, kafka),
        (options.postgres, postgres),
        (options.redis, valkey),
    ]
    return addresses, [server for address, server in choices if not address]


def _start_servers(servers: Sequence[EmbeddedServer], supervisor: Supervisor, say: Say) -> None:
    """Prepare the servers concurrently, start each as soon as it is prepared, and wait until all answer."""
    outcomes: queue.SimpleQueue[tuple[EmbeddedServer, Exception | None]] = queue.SimpleQueue()
    for server in servers:
        threading.Thread(target=_prepare, args=(server, say, outcomes), daemon=True).start()
    names_left = {server.name for server in servers}
    for _ in supervisor.tick(PREPARE_SECONDS_MAX):
        while names_left and not outcomes.empty():
            server, error = outcomes.get()
            if error:
                raise error
            names_left.discard(server.name)
            child = ChildSpec(server.name, server.make_command, Tier.SERVER, server.stop_signal, server.maintain)
            supervisor.start(child)
        if not names_left:
            break
    for server in servers:
        say(f"Waiting for {server.name}")
        supervisor.wait_for(server.name, server.answers, SERVER_SECONDS_MAX)


def _prepare(
    server: EmbeddedServer, say: Say, outcomes: queue.SimpleQueue[tuple[EmbeddedServer, Exception | None]]
) -> None:
    try:
        server.prepare(say)
    except OSError as error:
        remedy = "See whether the disk is full or read-only, or name another folder with --data-dir."
        outcomes.put((server, SetupError(f"{server.name} cannot be prepared: {error}", remedy)))
    except Exception as error:  # noqa: BLE001  # raised again in the main thread
        outcomes.put((server, error))
    else:
        outcomes.put((server, None))


def _migrate(options: LaunchOptions, environment: dict[str, str], supervisor: Supervisor, say: Say) -> None:
    say("Migrating the catalog, creating topics, loading functions")
    # The demo project in an embedded database is ours. In a given database it may belong to somebody else.
    arguments = () if options.postgres else ("--replace-demo-keys",)
    supervisor.run_once(_make_child("migrate", (*options.stages.migrate, *arguments), environment), MIGRATE_SECONDS_MAX)


def _limit_topics(servers: Sequence[EmbeddedServer]) -> None:
    """Limit the log of an embedded Kafka. A given Kafka keeps the limits of its operator."""
    for kafka in (server for server in servers if isinstance(server, Kafka)):
        kafka.limit_topics()


def _start_stages(
    options: LaunchOptions, environment: dict[str, str], ports: dict[str, int], supervisor: Supervisor
) -> None:
    stages = options.stages
    for name in _name_workers(options):
        signals = {"RTA_WORKER_METRICS_PORT": str(ports[name_signals_port(name)])}
        supervisor.start(_make_child(name, stages.worker, environment | signals))
    supervisor.start(_make_child("api", stages.api, environment))
    signals = {"RTA_PROFILES_METRICS_PORT": str(ports[name_signals_port("profiles")])}
    supervisor.start(_make_child("profiles", stages.profiles, environment | signals))


def _name_workers(options: LaunchOptions) -> list[str]:
    return [f"worker-{number}" for number in range(1, options.workers + 1)]


def name_signals_port(name: str) -> str:
    """The name of the port on which a process serves its signals."""
    return f"{name}-signals"


def _wait_until_ready(url: str, workers: Sequence[str], supervisor: Supervisor, say: Say) -> None:
    say("Waiting for the API and the workers")
    readiness = ReadinessPoll(url, say)
    try:
        supervisor.wait_for("api", readiness.is_ready, READY_SECONDS_MAX)
    except SetupError as error:
        reasons = "".join(f"\n  {problem}" for problem in readiness.problems)
        raise SetupError(f"The platform is not ready:{reasons}\n{error.problem}", error.remedy) from error
    for name in (*workers, "profiles"):
        supervisor.wait_for(name, lambda: True, 1)


def _start_simulator(options: LaunchOptions, environment: dict[str, str], supervisor: Supervisor, say: Say) -> None:
    if options.events_per_second <= 0:
        return
    argv = (*options.stages.simulate, "--rate", f"{options.events_per_second:g}", "--malformed", SIMULATED_MALFORMED)
    supervisor.start(_make_child("simulate", argv, environment, Tier.SOURCE))
    say("Starting the simulator")
    for _ in supervisor.tick(0.5):
        pass
    supervisor.wait_for("simulate", lambda: True, 1)


def _prepare_next_start(servers: Sequence[EmbeddedServer], supervisor: Supervisor) -> None:
    for kafka in (server for server in servers if isinstance(server, Kafka)):
        try:
            command = kafka.make_archive_command()
        except OSError:
            return  # the disk is full: the next start is as slow as this one
        if command:
            child = ChildSpec("kafka-classes", partial(_keep_command, command), Tier.SOURCE)
            supervisor.run_in_background(child, kafka.install_archive)


def _keep_command(command: Command) -> Command:
    return command


def _make_child(name: str, argv: tuple[str, ...], environment: dict[str, str], tier: Tier = Tier.STAGE) -> ChildSpec:
    """A child of this stage. `name` is the stage, with a number if there are several."""
    stage = name.partition("-")[0]
    command = Command(argv, Path(environment["RTA_DATA_DIR"]), select_environment(stage, environment))
    return ChildSpec(name, partial(_keep_command, command), tier)


def _choose_reachable_host(host: str) -> str:
    """The address at which this machine reaches an API that listens on `host`."""
    if host in WILDCARDS:
        return LOOPBACK
    return f"[{host}]" if ":" in host else host


def _make_environment(addresses: InstanceAddresses, keys: LocalDemoKeys, folder: Path) -> dict[str, str]:
    """Our environment, with the addresses and the demo keys added."""
    source = str(Path(rtaplatform.__file__).parent.parent)
    path = os.pathsep.join(part for part in (source, os.environ.get("PYTHONPATH")) if part)
    demo_variables = {f"RTA_DEMO_{name.upper()}": key for name, key in asdict(keys).items()}
    own_variables = {
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "RTA_SUPERVISED": "1",
        "RTA_DATA_DIR": str(folder),
    }
    return {**os.environ, **addresses.make_environment(), **demo_variables, **own_variables}
