"""`rta up` on servers that are given, as a person runs it, and what other commands say of it. One start for all."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from rtaplatform.cli.live_summary import LiveSummaryReader
from rtaplatform.cli.table_key import reading_key
from rtaplatform.core.errors import SetupError
from rtaplatform.local.data.data_dir import LocalDemoKeys
from rtaplatform.local.data.instance_file import read_running
from rtaplatform.local.platform import Instance
from rtaplatform.local.supervisor.supervisor import Supervisor
from rtaplatform.operate.project_operations import find_projects
from rtaplatform.settings import CatalogSettings
from tests.acceptance.test_postgres_away import prepare, until
from tests.integration.servers import Servers

SOURCE = Path(__file__).parents[2] / "src"
READY_SECONDS_MAX = 120
KEYS = ("write_key", "read_key", "admin_key")


@dataclass
class Shell:
    """A running `rta up` in `folder`, and other commands beside it."""

    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        with (self.folder / "output.txt").open("wb") as output:
            words = ["up", "--data-dir", "data", "--port", "0", "--ready-file", "ready.json", *options]
            self.process = subprocess.Popen(self._rta(*words), **self._place(), stdout=output, stderr=output)
        until(lambda: (self.folder / "ready.json").exists() or self.ended(), READY_SECONDS_MAX)
        assert not self.ended(), self.said()

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        place = self._place() | {"env": {**self.environment, **variables}}
        return subprocess.run(self._rta(*words), **place, capture_output=True, text=True, timeout=60, check=False)

    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def said(self) -> str:
        return (self.folder / "output.txt").read_text()

    @property
    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "ready.json").read_text())
        return found

    def instance(self) -> Instance:
        running = read_running(self.folder / "data")
        assert running is not None
        keys = LocalDemoKeys(**{name: self.ready[name] for name in KEYS})
        return Instance(running.url, keys, running.addresses, Supervisor(self.folder, print))

    def ask(self, method: str, path: str, key: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.request(method, f"{self.ready['url']}{path}", headers=headers, timeout=30, **options)

    @staticmethod
    def _rta(*words: str) -> list[str]:
        return [sys.executable, "-m", "rtaplatform.cli.main", *words]

    def _place(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": self.environment}


@pytest.fixture(scope="module")
def shell(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    prepare(servers, demo=False)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RTA_")}
    given = {
        "RTA_KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "RTA_REDIS_URL": servers.redis_url,
        "RTA_REDIS_LOADER_URL": servers.redis_loader_url,
        "RTA_POSTGRES_URL": servers.postgres_url,
        "RTA_POSTGRES_MIGRATE_URL": servers.postgres_owner_url,
        "RTA_API_HOST": "127.0.0.2",
        "RTA_WORKER_GROUP_ID": "rta-up",
    }
    running = Shell(tmp_path_factory.mktemp("up"), {**kept, **given, "PYTHONPATH": str(SOURCE)})
    running.start("--simulate", "0")
    yield running
    if running.process and running.process.poll() is None:
        running.process.terminate()
        running.process.wait(20)


def test_the_api_listens_where_the_environment_says(shell: Shell) -> None:
    assert shell.ready["url"].startswith("http://127.0.0.2:")


def test_status_says_where_everything_is_and_shows_no_password(shell: Shell) -> None:
    done = shell.run("status", "--data-dir", "data", "--json")
    state = json.loads(done.stdout)
    assert (done.returncode, state["state"], state["problems"]) == (0, "ready", [])
    assert state["redis"].startswith("redis://***@")
    assert "rta_worker_records" in httpx.get(state["signals"]["worker-1"]).text
    assert "rta_profiles_events" in httpx.get(state["signals"]["profiles"]).text
    text = shell.run("status", "--data-dir", "data").stdout + shell.said()
    for name in ("redis", "postgres"):
        assert shell.ready[name].partition("://")[2].partition("@")[0].partition(":")[2] not in text


def test_the_live_table_shows_any_project_with_a_key_that_ends_with_it(shell: Shell) -> None:
    made = shell.ask("POST", "/v1/projects", shell.ready["admin_key"], json={"slug": "tea-shop", "name": "Tea"})
    assert made.status_code == 201, made.text
    write_key = made.json()["keys"]["write_key"]
    event = {"event": "Tea Poured", "anonymousId": "a-1", "messageId": "tea-1"}
    assert shell.ask("POST", "/v1/track", write_key, json=event).status_code == 200
    with reading_key(shell.instance(), "tea-shop") as key:
        reader, kept = LiveSummaryReader(shell.ready["url"], key), key()
        until(lambda: shell.ask("GET", "/v1/metrics/events", kept).json()["results"][0]["total"] == 1)
        assert reader.read().problems == ()
    until(lambda: shell.ask("GET", "/v1/metrics/events", kept).status_code == 401, 60)
    with pytest.raises(SetupError, match="There is no project 'nope'"), reading_key(shell.instance(), "nope"):
        pass


def test_profiles_that_hang_are_told_until_they_go_on(shell: Shell) -> None:
    running = read_running(shell.folder / "data")
    assert running is not None

    def status() -> dict[str, Any]:
        done = shell.run("status", "--data-dir", "data", "--json")
        assert done.returncode == 0, "degraded is ready"
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    os.kill(running.children["profiles"], signal.SIGSTOP)
    try:
        event = {"userId": "u-hung", "anonymousId": "a-hung", "traits": {"plan": "x"}}
        answer = shell.ask("POST", "/v1/identify", shell.ready["write_key"], json=event)
        assert answer.status_code == 200, answer.text
        until(lambda: status()["degraded"] == ["profiles"], 90)
        said = status()
        assert [line for line in said["problems"] if line.startswith("profiles: they stand still: ")]
        assert said["state"] == "ready"
        assert shell.run("status", "--data-dir", "data").stdout.startswith("ready, degraded (profiles): ")
        assert httpx.get(f"{shell.ready['url']}/health/ready").json()["degraded"] == ["profiles"]
    finally:
        os.kill(running.children["profiles"], signal.SIGCONT)
    until(lambda: not status()["degraded"], 90)


def test_events_of_a_project_that_does_not_exist_are_not_simulated(shell: Shell) -> None:
    done = shell.run("simulate", "--project", "nope", "--events", "10", "--data-dir", "data")
    assert done.returncode == 2
    assert "There is no project 'nope'" in done.stderr
    assert "demo" in done.stderr
    right = shell.run("simulate", "--project", "demo", "--events", "10", "--rate", "0", "--json")
    assert (right.returncode, json.loads(right.stdout)["sent"]) == (0, 10), right.stderr


def test_another_data_directory_does_not_take_the_demo_project_over(shell: Shell) -> None:
    others = {f"RTA_DEMO_{name.upper()}": f"rta_{name[0]}_other" for name in KEYS}
    done = shell.run("migrate", "--demo", **others)
    assert done.returncode == 3
    assert "demo project already" in done.stderr
    assert "--replace-demo-keys" in done.stderr
    assert shell.ask("GET", "/v1/metrics", shell.ready["read_key"]).status_code == 200
    own = {f"RTA_DEMO_{name.upper()}": shell.ready[name] for name in KEYS}
    assert shell.run("migrate", "--demo", **own).returncode == 0
    catalog = CatalogSettings(url=SecretStr(shell.ready["postgres"]))
    assert "demo" in asyncio.run(find_projects(catalog))


def test_a_server_that_cannot_be_reached_is_named_before_anything_starts(shell: Shell) -> None:
    done = shell.run("up", "--data-dir", "other", "--kafka", "no-such-host.invalid:9092")
    assert done.returncode == 3
    assert "no-such-host.invalid" in done.stderr
    assert not (shell.folder / "other").exists()


def test_sigterm_stops_it_and_takes_the_ready_file_away(shell: Shell) -> None:
    assert shell.process is not None
    shell.process.send_signal(signal.SIGTERM)
    assert shell.process.wait(15) == 0
    assert not (shell.folder / "ready.json").exists()
    assert shell.said().rstrip().endswith("Stopped.")
