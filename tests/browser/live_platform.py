"""`rta up` as a process, and what it has: the records on Kafka, word for word, and the numbers that the API answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Consumer, Message, TopicPartition

SOURCE = Path(__file__).parents[2] / "src"
READY_SECONDS_MAX = 180.0
ARRIVE_SECONDS_MAX = 30.0
TOPIC, PARTITIONS = "rta.events.web", 4
Record = dict[str, Any]


def wait_for(condition: Callable[[], Any], what: str, seconds: float = ARRIVE_SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@dataclass
class LivePlatform:
    """A running platform without simulated visitors."""

    folder: Path
    process: subprocess.Popen[bytes]
    ready: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def start(cls, folder: Path) -> LivePlatform:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RTA_")}
        environment = {**kept, "PYTHONPATH": str(SOURCE), "RTA_LIMITS_PROJECTS_PER_HOUR": "0"}
        options = ["--data-dir", "data", "--port", "0", "--simulate", "0", "--ready-file", "ready.json"]
        with (folder / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "rtaplatform.cli.main", "up", *options],
                cwd=folder, env=environment, stdout=output, stderr=output,
            )  # fmt: skip
        platform = cls(folder, process)
        wait_for(platform._is_up, f"rta up: {(folder / 'output.txt').read_text()}", READY_SECONDS_MAX)
        platform.ready = json.loads((folder / "ready.json").read_text())
        return platform

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    @property
    def url(self) -> str:
        address: str = self.ready["url"]
        return address

    def create_project(self, slug: str) -> LiveProject:
        answer = httpx.post(
            f"{self.url}/v1/projects", json={"slug": slug}, timeout=30,
            headers={"Authorization": f"Bearer {self.ready['admin_key']}"},
        )  # fmt: skip
        assert answer.status_code == 201, answer.text
        keys = answer.json()["keys"]
        return LiveProject(self, slug, keys["write_key"], keys["read_key"])

    def records(self) -> list[Record]:
        """Everything that pages have sent, in the order of the partitions."""
        consumer = Consumer({"bootstrap.servers": self.ready["kafka"], "group.id": "tests"})
        try:
            return [read_record(message) for partition in range(PARTITIONS) for message in _read(consumer, partition)]
        finally:
            consumer.close()

    def _is_up(self) -> bool:
        assert self.process.poll() is None, (self.folder / "output.txt").read_text()
        return (self.folder / "ready.json").exists()


@dataclass(frozen=True)
class LiveProject:
    """A project of its own for one test, so that its numbers are those of the test alone."""

    platform: LivePlatform
    slug: str
    write_key: str
    read_key: str

    def records(self) -> list[Record]:
        """By the time of the client, then as they were sent."""
        own = [record for record in self.platform.records() if record["projectId"] == self.slug]
        return sorted(own, key=lambda record: str(record["originalTimestamp"]))

    def wait_for_records(self, number: int) -> list[Record]:
        wait_for(lambda: len(self.records()) >= number, f"{number} records, there are {len(self.records())}")
        time.sleep(1)  # and no more
        records = self.records()
        assert len({record["messageId"] for record in records}) == number, [_short(record) for record in records]
        return records

    def total(self, metric: str, **parameters: str) -> float:
        return self.totals(metric, **parameters).get((), 0)

    def totals(self, metric: str, **parameters: str) -> dict[tuple[str, ...], float]:
        """The totals of the last hour, by the values of the breakdown."""
        answer = httpx.get(
            f"{self.platform.url}/v1/metrics/{metric}", params={"from": "-60m", "limit": "1000", **parameters},
            headers={"Authorization": f"Bearer {self.read_key}"}, timeout=30,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return {tuple(one["dimensions"].values()): one["total"] for one in answer.json()["results"]}

    def wait_for_total(self, metric: str, total: float) -> None:
        wait_for(lambda: self.total(metric) == total, f"{metric}: {total}, is {self.total(metric)}")


def read_record(message: Message) -> Record:
    value = message.value()
    assert value is not None
    record: Record = json.loads(value)
    return record


def _read(consumer: Consumer, partition: int) -> list[Message]:
    place = TopicPartition(TOPIC, partition, 0)
    _, end = consumer.get_watermark_offsets(place, timeout=10)
    consumer.assign([place])
    messages = list[Message]()
    while end and (not messages or (messages[-1].offset() or 0) < end - 1):
        message = consumer.poll(10)
        assert message is not None
        assert message.error() is None
        messages.append(message)
    return messages


def _short(record: Record) -> tuple[Any, ...]:
    return record["type"], record.get("event"), record["context"].get("page", {}).get("path")
