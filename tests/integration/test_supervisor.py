"""The whole of `rta up` with real servers and stand-in stages: nothing stays behind, everything comes back."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from rtaplatform.local.data.instance_file import RunningInstance, read_running
from rtaplatform.local.supervisor.environments import NEEDED, list_secret_variables

READY_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 10.0
ROOT = Path(__file__).parents[2]
CHILDREN = {"kafka", "valkey", "postgres", "worker-1", "worker-2", "api", "profiles", "simulate"}


@dataclass
class Up:
    """One `rta up` with stand-in stages, from outside."""

    data_dir: Path
    ready_file: Path
    output: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.integration.standin", "platform"]
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, str(self.data_dir), str(self.ready_file), *arguments],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
            )
        # A ready file that a killed instance left is there until the new one has begun.
        wait_until(lambda: self.is_ready() or self.has_ended(), READY_SECONDS_MAX)
        assert not self.has_ended(), self.output.read_text()

    def is_ready(self) -> bool:
        running = read_running(self.data_dir)
        return (
            self.process is not None
            and running is not None
            and running.pid == self.process.pid
            and (self.ready_file.exists() and "simulate" in running.children)
        )

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def read_ready_file(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.ready_file.read_text())
        return content

    def read_running(self) -> RunningInstance:
        running = read_running(self.data_dir)
        assert running is not None
        return running

    def list_family(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Seconds that it took to end."""
        assert self.process is not None
        begin = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - begin


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("a folder with blanks, ünd more")
    instance = Up(folder / "data dir", folder / "ready.json", folder / "output.txt")
    instance.start()
    yield instance
    if not instance.has_ended():
        instance.stop()


def test_the_ready_file_is_private_and_complete(up: Up) -> None:
    assert stat.S_IMODE(up.ready_file.stat().st_mode) == 0o600
    ready = up.read_ready_file()
    assert ready.keys() == {"url", "project", "write_key", "read_key", "admin_key", "kafka", "redis", "postgres"}
    assert ready["project"] == "demo"
    assert set(up.read_running().children) - {"kafka-classes"} == CHILDREN


def test_no_secret_is_on_a_command_line(up: Up) -> None:
    lines = [" ".join(process.cmdline()) for process in up.list_family()]
    secrets = {name: up.read_ready_file()[name] for name in ("write_key", "read_key", "admin_key")}
    secrets |= {str(path.relative_to(up.data_dir)): path.read_text() for path in up.data_dir.rglob("*.password")}
    assert secrets.keys() > {"postgres/rta.password", "valkey/rta.password", "valkey/rta-keeper.password"}
    assert not [name for name, secret in secrets.items() for line in lines if secret in line]


def test_each_process_has_its_own_secrets_and_no_others(up: Up) -> None:
    ours = {name: pid for name, pid in up.read_running().children.items() if name.partition("-")[0] in NEEDED}
    assert {name.partition("-")[0] for name in ours} == NEEDED.keys() - {"migrate"}
    secrets = list_secret_variables() | {"RTA_KAFKA_BOOTSTRAP_SERVERS"}
    for name, pid in up.read_running().children.items():
        words = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        names = {word.partition("=")[0] for word in words if word} & secrets
        assert names <= NEEDED.get(name.partition("-")[0], frozenset()), name
    worker = Path(f"/proc/{ours['worker-1']}/environ").read_text()
    assert "RTA_REDIS_LOADER_URL" in worker
    assert "postgres" not in worker
    assert "RTA_REDIS_LOADER_URL" not in Path(f"/proc/{ours['api']}/environ").read_text()
    assert "redis" not in Path(f"/proc/{ours['simulate']}/environ").read_text()


def test_nothing_of_the_data_directory_is_open_to_others(up: Up) -> None:
    assert stat.S_IMODE(up.data_dir.stat().st_mode) == 0o700
    for path in (*up.data_dir.rglob("*.json"), *up.data_dir.rglob("*.password"), *up.data_dir.glob("logs/*.log")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_all_listen_on_loopback_only(up: Up) -> None:
    listening = [
        c.laddr.ip for process in up.list_family() for c in process.net_connections("inet") if c.status == "LISTEN"
    ]
    assert listening
    assert set(listening) <= {"127.0.0.1", "::ffff:127.0.0.1"}


@pytest.mark.parametrize("name", sorted(CHILDREN))
def test_a_child_that_is_killed_is_started_again(up: Up, name: str) -> None:
    before = up.read_running().children[name]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: up.read_running().children.get(name, before) != before, 20)
    assert f"{name} ended (signal 9); starting it again" in up.output.read_text()
    wait_until(lambda: answers(up, name), 30)


def test_a_second_start_on_the_same_directory_says_where_the_first_runs(up: Up) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "rtaplatform.cli.main", "up", "--data-dir", str(up.data_dir), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert second.returncode == 5
    assert up.read_ready_file()["url"] in second.stderr


def test_no_child_outlives_a_supervisor_that_is_killed_and_the_next_goes_on(up: Up) -> None:
    before, family = up.read_ready_file(), up.list_family()
    wait_until(lambda: takes_connections(before["postgres"]), 30)  # it may still recover from what was done to it above
    remember(before)
    assert len(family) > len(CHILDREN)  # PostgreSQL's own processes, and the stand-ins' children
    up.stop(signal.SIGKILL)
    wait_until(lambda: not [process for process in family if lives(process)], 20)
    assert read_running(up.data_dir) is None
    up.start()
    assert up.read_ready_file() == before  # the same keys, passwords and ports
    assert has_remembered(up.read_ready_file())


def test_ctrl_c_stops_all_in_time_and_the_next_start_goes_on(up: Up) -> None:
    before, family = up.read_ready_file(), up.list_family()
    assert up.stop(signal.SIGINT) < STOP_SECONDS_MAX
    assert not up.ready_file.exists()
    assert not [process for process in family if lives(process)]
    up.start()
    assert up.read_ready_file() == before
    assert has_remembered(up.read_ready_file())


def test_a_port_that_is_taken_meanwhile_is_replaced(up: Up) -> None:
    before = up.read_ready_file()
    up.stop()
    port = int(before["kafka"].rpartition(":")[2])
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        up.start()
    assert up.read_ready_file()["kafka"] != before["kafka"]
    assert up.read_ready_file()["redis"] == before["redis"]


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def lives(process: psutil.Process) -> bool:
    """Not so for one that has ended and is waited for by nobody, as under an init that does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def answers(up: Up, name: str) -> bool:
    """Whether what the child serves can be reached again; children without a port answer by living."""
    ready = up.read_ready_file()
    addresses = {"kafka": ready["kafka"], "api": ready["url"], "valkey": ready["redis"], "postgres": ready["postgres"]}
    if name not in addresses:
        return psutil.pid_exists(up.read_running().children[name])
    port = int(addresses[name].rstrip("/0").rpartition(":")[2].partition("/")[0]) if name != "valkey" else None
    try:
        with socket.create_connection(("127.0.0.1", port or read_valkey_port(ready)), timeout=1):
            return True
    except OSError:
        return False


def read_valkey_port(ready: dict[str, Any]) -> int:
    return int(ready["redis"].rpartition(":")[2].partition("/")[0])


def remember(ready: dict[str, Any]) -> None:
    with redis.Redis.from_url(ready["redis"]) as client:
        client.set("rta:remembered", "1")
    time.sleep(1.1)  # the append-only file is synced every second
    with psycopg.connect(ready["postgres"]) as connection:
        connection.execute("ALTER ROLE CURRENT_USER SET search_path = remembered")  # the role may make no table


def takes_connections(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=1).close()
    except psycopg.OperationalError:
        return False
    return True


def has_remembered(ready: dict[str, Any]) -> bool:
    with redis.Redis.from_url(ready["redis"]) as client, psycopg.connect(ready["postgres"]) as connection:
        path = connection.execute("SHOW search_path").fetchone()
        return bool(client.get("rta:remembered") == b"1" and path == ("remembered",))
