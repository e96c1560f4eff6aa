"""`rta up` as a process, and what it has: the records on Kafka, word for word, and the numbers that the API answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from tests import plain_http
from tests.integration.log_ends import read_end

SOURCE = Path(__file__).parents[2] / "src"
READY_SECONDS_MAX = 180.0
ARRIVE_SECONDS_MAX = 90.0  # a bound against a hang; a loaded machine may need half a minute to read again after a pause
TOPIC, PARTITIONS = "rta.events.web", 4
Record = dict[str, Any]


def wait_for(condition: Callable[[], Any], what: str | Callable[[], str], seconds: float = ARRIVE_SECONDS_MAX) -> None:
    """Wait until the condition holds. `what` names it, or says at the end what there was instead."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(0.1)


class TopicLog:
    """What the topic of web pages has got. Each record is read once, by a consumer that stays.

    Whatever a consumer asks waits for the fetch that is under way, half a second: the ends are another one's question.
    With a new consumer and one partition after the other, each look took three seconds.
    """

    def __init__(self, kafka: str) -> None:
        self._places = [TopicPartition(TOPIC, number, 0) for number in range(PARTITIONS)]
        self._values: list[list[bytes]] = [[] for _ in self._places]
        self._next = [0 for _ in self._places]
        config: dict[str, Any] = {"bootstrap.servers": kafka, "group.id": "tests", "enable.auto.commit": False}
        self._consumer, self._asker = Consumer(config), Consumer(config)
        self._consumer.assign(self._places)

    def read(self) -> list[bytes]:
        """All values until now, in the order of the partitions."""
        ends = [read_end(self._asker, place) for place in self._places]
        while any(position < end for position, end in zip(self._next, ends, strict=True)):
            message = self._consumer.poll(10)
            assert message is not None
            assert message.error() is None, message.error()
            number = message.partition() or 0
            self._values[number].append(message.value() or b"")
            self._next[number] = (message.offset() or 0) + 1
        return list(chain.from_iterable(self._values))

    def close(self) -> None:
        self._consumer.close()
        self._asker.close()


@dataclass
class LivePlatform:
    """A running platform without simulated visitors."""

    folder: Path
    process: subprocess.Popen[bytes]
    ready: dict[str, Any] = field(default_factory=dict)
    log: TopicLog | None = None  # once it is up

    @classmethod
    def start(cls, folder: Path) -> LivePlatform:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("RTA_")}
        environment = {**variables, "PYTHONPATH": str(SOURCE), "RTA_LIMITS_PROJECTS_PER_HOUR": "0"}
        options = ["--data-dir", "data", "--port", "0", "--simulate", "0", "--ready-file", "ready.json"]
        with (folder / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "rtaplatform.cli.main", "up", *options],
                cwd=folder, env=environment, stdout=output, stderr=output,
            )  # fmt: skip
        platform = cls(folder, process)
        wait_for(platform._is_up, lambda: f"rta up: {(folder / 'output.txt').read_text()}", READY_SECONDS_MAX)
        platform.ready = json.loads((folder / "ready.json").read_text())
        platform.log = TopicLog(platform.ready["kafka"])
        return platform

    def stop(self) -> None:
        if self.log is not None:
            self.log.close()
        self.process.terminate()
        self.process.wait(30)

    @property
    def url(self) -> str:
        address: str = self.ready["url"]
        return address

    def create_project(self, slug: str, **settings: str) -> LiveProject:
        answer = plain_http.post(
            f"{self.url}/v1/projects", json={"slug": slug, **settings}, timeout=30,
            headers={"Authorization": f"Bearer {self.ready['admin_key']}"},
        )  # fmt: skip
        assert answer.status_code == 201, answer.text
        keys = answer.json()["keys"]
        return LiveProject(self, slug, keys["write_key"], keys["read_key"], keys["admin_key"])

    def read_values(self) -> list[bytes]:
        """Everything that was sent for web pages, in the order of the partitions. Some of it may be no JSON at all."""
        assert self.log is not None
        return self.log.read()

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
    admin_key: str

    def read_records(self) -> list[Record]:
        """By the time of the client, then as they were sent."""
        own = [
            json.loads(value) for value in self.platform.read_values() if f'"projectId":"{self.slug}"'.encode() in value
        ]
        return sorted(own, key=lambda record: str(record["originalTimestamp"]))

    def wait_for_records(self, number: int) -> list[Record]:
        wait_for(
            lambda: len(self.read_records()) >= number,
            lambda: f"{number} records, there are {len(self.read_records())}",
        )
        time.sleep(1)  # and no more
        records = self.read_records()
        assert len({record["messageId"] for record in records}) == number, [_shorten(record) for record in records]
        return records

    def wait_for_messages(self, number: int) -> list[Record]:
        """One record for each message: a sender whose page closed before the answer came sends the message again."""
        wait_for(
            lambda: len(self._read_messages()) >= number,
            lambda: f"{number} messages, there are {len(self._read_messages())}",
        )
        time.sleep(1)  # and no more
        messages = self._read_messages()
        assert len(messages) == number, [_shorten(record) for record in messages]
        return messages

    def _read_messages(self) -> list[Record]:
        """The first record of each message id."""
        first: dict[str, Record] = {}
        for record in self.read_records():
            first.setdefault(record["messageId"], record)
        return list(first.values())

    def read_total(self, metric: str, **parameters: str) -> float:
        return self.read_totals(metric, **parameters).get((), 0)

    def read_totals(self, metric: str, **parameters: str) -> dict[tuple[str, ...], float]:
        """The totals of the last hour, by the values of the breakdown."""
        answer = plain_http.get(
            f"{self.platform.url}/v1/metrics/{metric}", params={"from": "-60m", "limit": "1000", **parameters},
            headers={"Authorization": f"Bearer {self.read_key}"}, timeout=30,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return {tuple(result["dimensions"].values()): result["total"] for result in answer.json()["results"]}

    def wait_for_total(self, metric: str, total: float) -> None:
        wait_for(lambda: self.read_total(metric) == total, lambda: f"{metric}: {total}, is {self._explain(metric)}")

    def _explain(self, metric: str) -> str:
        names = ("messageId", "timestamp", "marks")
        records = [(*_shorten(record), *(record.get(name) for name in names)) for record in self.read_records()]
        return (
            f"{self.read_total(metric)}; events: {self.read_totals('events', breakdown='event')}; in the log: {records}"
        )


def _shorten(record: Record) -> tuple[Any, ...]:
    return record["type"], record.get("event"), record["context"].get("page", {}).get("path")
