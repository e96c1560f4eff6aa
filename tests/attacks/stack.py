"""What is attacked: `rta api` as a process of its own in front of the session's embedded servers.

An attacker's connections should come from `ATTACKER`, another loopback address than the probe's and the customers'.
A limit of an address must not hide what a stranger can do to everybody else.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

import rtaplatform
from rtaplatform.operate.operations import migrate
from rtaplatform.settings import CatalogSettings, KafkaSettings, StoreSettings, TopicSettings
from tests import plain_http
from tests.integration.servers import Servers, empty_catalog, flush

LOOPBACK = "127.0.0.1"
ATTACKER = "127.0.0.2"
WRITE_KEY, READ_KEY, ADMIN_KEY = "rta_w_attacks", "rta_r_attacks", "rta_a_attacks"
LISTEN, NO_INODE = "0A", "0"
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 20.0
EVENT = {"type": "track", "event": "Attacked", "anonymousId": "a-1"}


@dataclass(frozen=True)
class TcpConnection:
    """One line of the kernel's table of connections. `is_open`: a process still has its socket."""

    local_port: int
    peer: str
    is_open: bool

    @classmethod
    def read(cls, line: str) -> TcpConnection:
        _number, local, remote, state, *fields = line.split()
        address = socket.inet_ntoa(bytes.fromhex(remote.split(":")[0])[::-1])
        return cls(int(local.split(":")[1], 16), address, state != LISTEN and fields[5] != NO_INODE)


@dataclass
class Api:
    """One `rta api`, running; `log` is what it wrote."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def api_pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def ask(self, method: str, path: str, key: str | None = READ_KEY, **options: Any) -> httpx.Response:
        headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **options.pop("headers", {})}
        return plain_http.request(method, self.url + path, headers=headers, timeout=30, **options)

    def collect(self, **fields: Any) -> httpx.Response:
        """One event, as a customer sends it."""
        return self.ask("POST", "/v1/track", WRITE_KEY, json={**EVENT, **fields})

    def connect(self, source: str = ATTACKER, *, receive_buffer_bytes: int | None = None) -> socket.socket:
        """A raw connection, for requests that no client makes."""
        connection = socket.socket()
        if receive_buffer_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        connection.settimeout(30)
        connection.bind((source, 0))
        connection.connect((LOOPBACK, self.port))
        return connection

    def open_connections(self, client: str = ATTACKER) -> int:
        """How many connections of that client's address the API has not closed."""
        lines = Path(f"/proc/{self.api_pid}/net/tcp").read_text().splitlines()[1:]
        ours = [
            connection
            for connection in map(TcpConnection.read, lines)
            if connection.local_port == self.port and connection.peer == client
        ]
        return sum(connection.is_open for connection in ours)

    def read_signals(self) -> str:
        """GET /metrics."""
        return self.ask("GET", "/metrics", None).raise_for_status().text

    def stop(self) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@dataclass
class Stack(Api):
    """The API, its servers, and where further processes may be started."""

    servers: Servers
    folder: Path

    @contextmanager
    def running_another_api(self, **environment: str) -> Iterator[Api]:
        """One more API on a port of its own, with these RTA_… settings: for attacks that need others."""
        api = start_api(self.servers, self.folder, **environment)
        try:
            yield api
        finally:
            api.stop()

    @contextmanager
    def running_worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker that counts what was collected."""
        process = _start("worker", _make_environment(self.servers), self.folder, self.folder / "worker.log")
        try:
            yield process
        finally:
            process.terminate()
            process.wait(STOP_SECONDS_MAX)


def start_stack(servers: Servers, folder: Path) -> Stack:
    """With an empty log's totals, the demo project, and an API that has answered each kind of request once."""
    _prepare(servers)
    api = start_api(servers, folder)
    wait_until(lambda: api.ask("GET", "/health/ready", None).status_code == 200, "the API is ready")
    _warm_up(api)
    return Stack(api.process, api.port, api.log, servers, folder)


def start_api(servers: Servers, folder: Path, **environment: str) -> Api:
    with socket.create_server((LOOPBACK, 0)) as reserved:
        port = reserved.getsockname()[1]
    log = folder / f"api-{port}.log"
    variables = {**_make_environment(servers), "RTA_API_PORT": str(port), **environment}
    api = Api(_start("api", variables, folder, log), port, log)
    wait_until(lambda: _is_live(api), f"{log.name} answers")
    return api


def wait_until(condition: Any, what: str, seconds: float = START_SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def _prepare(servers: Servers) -> None:
    empty_catalog(servers.postgres.server, is_migrated=False)
    flush(servers.valkey)
    kafka = KafkaSettings(bootstrap_servers=servers.kafka_bootstrap_servers)
    store = StoreSettings(url=SecretStr(servers.redis_url), loader_url=SecretStr(servers.redis_loader_url))
    catalog = CatalogSettings(url=SecretStr(servers.postgres_url), migrate_url=SecretStr(servers.postgres_owner_url))
    asyncio.run(migrate(kafka, store, catalog, TopicSettings(), demo_keys=(WRITE_KEY, READ_KEY, ADMIN_KEY)))


def _warm_up(api: Api) -> None:
    """What a first request loads is not what an attack takes."""
    api.collect().raise_for_status()
    for path in ("/openapi.json", "/v1/metrics", "/v1/metrics/events?interval=hour", "/v1/products/popular"):
        api.ask("GET", path).raise_for_status()
    api.ask("GET", "/v1/products", ADMIN_KEY).raise_for_status()


def _make_environment(servers: Servers) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(Path(rtaplatform.__file__).parents[1]),
        "RTA_KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "RTA_REDIS_URL": servers.redis_url,
        "RTA_REDIS_LIMITER_URL": servers.redis_limiter_url,
        "RTA_POSTGRES_URL": servers.postgres_url,
    }


def _start(command: str, environment: dict[str, str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "rtaplatform.cli.main", command]
    with log.open("ab") as out:
        return subprocess.Popen(words, env=environment, cwd=folder, stdout=out, stderr=out)


def _is_live(api: Api) -> bool:
    assert api.process.poll() is None, api.log.read_text()
    try:
        return api.ask("GET", "/health/live", None).status_code == 200
    except httpx.TransportError:
        return False
