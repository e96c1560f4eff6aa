"""PostgreSQL killed with -9 and back, under a running API and worker: events go on, the catalog recovers by itself."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

import rtaplatform
from rtaplatform.catalog.demo_project import SeededDemoKeys
from rtaplatform.operate.operations import migrate
from rtaplatform.settings import CatalogSettings, KafkaSettings, StoreSettings, TopicSettings
from tests import plain_http
from tests.integration.servers import Servers, empty_catalog, flush

KEYS = ("rta_w_away", "rta_r_away", "rta_a_away")
DEMO = SeededDemoKeys(*KEYS)
PRODUCT = {"id": "p-away", "name": "Kept in mind", "category": "away"}  # the log also holds views of other tests
PRODUCT_PATH = f"/v1/products/{PRODUCT['id']}"
PROMPT_SECONDS = 2.0  # no request waits longer for a server that is not needed


@dataclass
class Platform:
    """`rta api` and `rta worker`, running in front of the session's servers."""

    url: str
    environment: dict[str, str]
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, command: str) -> None:
        with (self.folder / f"{command}.log").open("ab") as log:
            words = [sys.executable, "-m", "rtaplatform.cli.main", command]
            place: dict[str, Any] = {"env": self.environment, "cwd": self.folder}
            self.processes[command] = subprocess.Popen(words, **place, stdout=log, stderr=log)

    def wait_until_ready(self) -> None:
        wait_until(lambda: plain_http.get(f"{self.url}/health/ready", timeout=5).status_code == 200, 240)

    def ask(self, method: str, path: str, key: str, **options: Any) -> httpx.Response:
        return plain_http.request(
            method, self.url + path, headers={"Authorization": f"Bearer {key}"}, timeout=30, **options
        )

    def collect(self, number: int) -> httpx.Response:
        event = {
            "event": "Product Viewed", "anonymousId": f"a-{number}", "messageId": f"away-{number}",
            "properties": {"product_id": PRODUCT["id"]},
        }  # fmt: skip
        return self.ask("POST", "/v1/track", DEMO.write, json=event)

    def read_total(self, **filters: str) -> Any:
        parameters = {"from": "-1h", **(filters or {"product_id": PRODUCT["id"]})}
        answer = self.ask("GET", "/v1/metrics/product_views", DEMO.read, params=parameters)
        return answer.raise_for_status().json()["results"][0]["total"]


@pytest.fixture
def platform(servers: Servers, tmp_path: Path) -> Iterator[Platform]:
    prepare(servers)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(rtaplatform.__file__).parents[1]),
        "RTA_KAFKA_BOOTSTRAP_SERVERS": servers.kafka_bootstrap_servers,
        "RTA_REDIS_URL": servers.redis_url,
        "RTA_REDIS_LIMITER_URL": servers.redis_limiter_url,
        "RTA_POSTGRES_URL": servers.postgres_url,
        "RTA_API_PORT": str(port),
        "RTA_WORKER_GROUP_ID": "rta-away",
    }
    running = Platform(f"http://127.0.0.1:{port}", environment, tmp_path)
    for command in ("api", "worker"):
        running.start(command)
    try:
        running.wait_until_ready()
        yield running
    finally:
        for process in running.processes.values():
            process.terminate()
        for process in running.processes.values():
            process.wait(timeout=20)


def prepare(servers: Servers, *, demo: bool = True) -> None:
    empty_catalog(servers.postgres.server, is_migrated=False)
    flush(servers.valkey)
    store = StoreSettings(url=SecretStr(servers.redis_url), loader_url=SecretStr(servers.redis_loader_url))
    kafka = KafkaSettings(bootstrap_servers=servers.kafka_bootstrap_servers)
    catalog = CatalogSettings(url=SecretStr(servers.postgres_url), migrate_url=SecretStr(servers.postgres_owner_url))
    asyncio.run(migrate(kafka, store, catalog, TopicSettings(), demo_keys=KEYS if demo else None))


def wait_until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_events_are_collected_and_counted_while_postgres_is_away(platform: Platform, servers: Servers) -> None:
    platform.ask("POST", "/v1/products", DEMO.admin, json=PRODUCT).raise_for_status()
    assert platform.collect(0).status_code == 200
    wait_until(lambda: platform.read_total() == 1)
    wait_until(lambda: platform.read_total(product_category=PRODUCT["category"]) == 1)

    servers.postgres.kill()
    try:
        time.sleep(1)
        for number in range(1, 41):
            started_at = time.monotonic()
            assert platform.collect(number).status_code == 200
            assert time.monotonic() - started_at < PROMPT_SECONDS
        wait_until(lambda: platform.read_total() == 1 + 40)
        # What is known of the catalog serves on.
        assert platform.read_total(product_category=PRODUCT["category"]) == 1 + 40
        popular = platform.ask("GET", "/v1/products/popular", DEMO.read).raise_for_status().json()
        assert popular["results"][0]["name"] == PRODUCT["name"]
        for method, path in (("GET", PRODUCT_PATH), ("GET", "/v1/users"), ("DELETE", PRODUCT_PATH)):
            refused = platform.ask(method, path, DEMO.admin)
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            assert int(refused.headers["Retry-After"]) >= 1
        unknown = platform.ask("GET", "/v1/metrics", "rta_r_never_seen")
        assert (unknown.status_code, int(unknown.headers["Retry-After"]) >= 1) == (503, True)
        assert plain_http.get(f"{platform.url}/health/ready", timeout=10).status_code == 200
    finally:
        servers.postgres.start()

    wait_until(lambda: platform.ask("GET", PRODUCT_PATH, DEMO.admin).status_code == 200)
    wait_until(lambda: platform.ask("GET", "/v1/metrics", "rta_r_never_seen").status_code == 401)
    patched = platform.ask("PATCH", PRODUCT_PATH, DEMO.admin, json={"category": "found again"})
    assert patched.status_code == 200
    wait_until(lambda: platform.read_total(product_category="found again") == 1 + 40)
    assert platform.collect(41).status_code == 200
    wait_until(lambda: platform.read_total() == 1 + 41)
