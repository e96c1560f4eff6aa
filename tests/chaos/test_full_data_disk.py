"""The whole of `rta up` on one disk that is full: nothing acknowledged is lost, and all of it comes back by itself.

Kafka, Valkey, PostgreSQL, the logs, the ready file and what `rta up` prints lie on that disk.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from tests import plain_http
from tests.chaos.disks import Disk, enter_namespace
from tests.integration.chaos import wait_until

SOURCE = Path(__file__).parents[2] / "src"
READY_SECONDS_MAX = 150
FULL_SECONDS = 12.0
HEALED_SECONDS_MAX = 90
STOP_SECONDS_MAX = 15


@dataclass
class Sent:
    """Single events: which of them were acknowledged, and what was answered to the others."""

    url: str
    key: str
    acknowledged: list[str] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    def send(self, name: str) -> bool:
        event = {"event": "Disk Test", "anonymousId": "a-1", "messageId": name}
        reply = plain_http.post(
            f"{self.url}/v1/track", json=event, headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        )
        if reply.status_code == 200:
            self.acknowledged.append(name)
        else:
            self.refused.append(reply.status_code)
        return reply.status_code == 200


@dataclass
class Up:
    """A real `rta up` below `folder`."""

    folder: Path
    process: subprocess.Popen[bytes]

    def read_ready_file(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "ready.json").read_text())
        return content

    def read_children(self) -> dict[str, int]:
        pids: dict[str, int] = json.loads((self.folder / "data" / "run.json").read_text())["children"]
        pids.pop("kafka-classes", None)  # it ends by itself
        return pids

    def read_output(self) -> str:
        return (self.folder / "output.txt").read_text()

    def read_total(self, event: str) -> int:
        ready = self.read_ready_file()
        headers = {"Authorization": f"Bearer {ready['read_key']}"}
        reply = plain_http.get(
            f"{ready['url']}/v1/metrics/events", params={"event": event}, headers=headers, timeout=30
        )
        return int(reply.json()["results"][0]["total"]) if reply.status_code == 200 else -1


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    enter_namespace()
    mounted = Disk.mount(tmp_path / "disk")
    yield mounted
    mounted.unmount()


@pytest.fixture
def up(disk: Disk) -> Iterator[Up]:
    folder = disk.folder
    options = ["--data-dir", "data", "--port", "0", "--simulate", "20", "--ready-file", "ready.json"]
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "rtaplatform.cli.main", "up", *options],
            cwd=folder, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )  # fmt: skip
    started = Up(folder, process)
    wait_until(lambda: (folder / "ready.json").exists() or process.poll() is not None, "readiness", READY_SECONDS_MAX)
    assert process.poll() is None, started.read_output()
    yield started
    process.kill()


def test_nothing_is_lost_and_all_comes_back_by_itself_once_there_is_room(disk: Disk, up: Up) -> None:
    check_log_is_limited(up)
    ready, children = up.read_ready_file(), up.read_children()
    sent = Sent(ready["url"], ready["write_key"])
    assert all(sent.send(f"before-{number}") for number in range(20))
    disk.fill()
    begin, number = time.monotonic(), 0
    while time.monotonic() - begin < FULL_SECONDS or not sent.refused:
        assert time.monotonic() - begin < HEALED_SECONDS_MAX, "nothing was refused"
        sent.send(f"full-{number}")
        number += 1
    assert set(sent.refused) == {503}
    assert up.process.poll() is None, "the supervisor has ended"
    assert plain_http.get(f"{ready['url']}/health/live", timeout=5).status_code == 200
    disk.free()
    wait_until(lambda: sent.send(f"after-{time.monotonic()}"), "an acknowledged event", HEALED_SECONDS_MAX)
    wait_until(
        lambda: plain_http.get(f"{ready['url']}/health/ready", timeout=10).is_success, "readiness", HEALED_SECONDS_MAX
    )
    wait_until(
        lambda: up.read_total("Disk Test") >= len(sent.acknowledged), "all that was acknowledged", HEALED_SECONDS_MAX
    )
    assert up.read_total("Disk Test") <= len(sent.acknowledged) + len(sent.refused)
    assert up.read_ready_file() == ready
    assert up.process.poll() is None
    after = up.read_children()
    assert after["kafka"] != children["kafka"], "Kafka has not ended: the disk was not full"
    assert all(Path(f"/proc/{pid}").exists() for pid in after.values()), "run.json was not written again"
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(STOP_SECONDS_MAX) == 0
    assert not (disk.folder / "ready.json").exists()


def check_log_is_limited(up: Up) -> None:
    """The embedded Kafka's topics have a limit each; together they are below the 4 GiB of the contract."""
    client = AdminClient({"bootstrap.servers": up.read_ready_file()["kafka"]})
    topics = [name for name in client.list_topics(timeout=10).topics if name.startswith("rta.")]
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in topics]
    total = 0
    for resource, future in client.describe_configs(resources).items():
        config = future.result(10)
        byte_limits = [int(config[name].value) for name in ("retention.bytes", "segment.bytes")]
        assert byte_limits[0] > 0, resource
        total += sum(byte_limits) * len(client.list_topics(resource.name, timeout=10).topics[resource.name].partitions)
    assert (1 << 30) < total < (4 << 30)
