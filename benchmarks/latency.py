"""How long from an event on Kafka to a number that a person can see?

    ./rta up --simulate 2000 --ready-file ready.json      # in one terminal
    PYTHONPATH=src .venv/bin/python benchmarks/latency.py ready.json --probes 200

Sends single events of a name of their own, straight to Kafka, at random moments beside the simulator's load, and
measures until `GET /v1/metrics/events` counts them (asked every 5 ms) and until the SSE stream says so.
Prints p50, p95, p99 and the maximum in milliseconds, of both.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import statistics
import threading
import time
import urllib.parse
from typing import Any

import httpx
from confluent_kafka import Producer


class Stream:
    """The newest total that the live stream has told, and when."""

    def __init__(self, url: str, key: str, name: str) -> None:
        self.seen: dict[int, float] = {}
        self.ready = threading.Event()
        self._address = f"{url}/v1/live?metrics=events&event={urllib.parse.quote(name)}"
        self._headers = {"Authorization": f"Bearer {key}"}
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with httpx.stream("GET", self._address, headers=self._headers, timeout=None) as response:  # noqa: S113
            for line in response.iter_lines():
                if line.startswith("data:"):
                    self._take(json.loads(line[5:]))
                    self.ready.set()

    def _take(self, data: dict[str, Any]) -> None:
        for answer in data["answers"]:
            for result in answer["results"]:
                self.seen.setdefault(int(result["total"]), time.perf_counter())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("ready_file")
    arguments.add_argument("--probes", type=int, default=200)
    options = arguments.parse_args()
    with open(options.ready_file) as file:
        ready = json.load(file)
    name = f"Latency Probe {secrets.token_hex(4)}"
    stream = Stream(ready["url"], ready["read_key"], name)
    assert stream.ready.wait(10), "the stream sent no snapshot"
    producer = Producer({"bootstrap.servers": ready["kafka"], "linger.ms": 0, "partitioner": "murmur2_random"})
    client = httpx.Client(base_url=ready["url"], headers={"Authorization": f"Bearer {ready['read_key']}"})
    sent: dict[int, float] = {}
    asked: list[float] = []
    for number in range(1, options.probes + 1):
        time.sleep(random.uniform(0.3, 0.6))
        sent[number] = send(producer, ready["project"], name)
        asked.append(until_counted(client, name, number) - sent[number])
    time.sleep(1)
    told = [min(at for total, at in stream.seen.items() if total >= n) - sent[n] for n in sent]
    report("query", asked)
    report("stream", told)


def send(producer: Producer, project: str, name: str) -> float:
    person = secrets.token_hex(6)
    event = {
        "projectId": project,
        "type": "track",
        "event": name,
        "messageId": secrets.token_hex(8),
        "anonymousId": person,
    }
    began = time.perf_counter()
    producer.produce("rta.events.web", json.dumps(event).encode(), f"{project}:{person}".encode())
    producer.poll(0)
    return began


def until_counted(client: httpx.Client, name: str, number: int) -> float:
    while True:
        answer = client.get("/v1/metrics/events", params={"event": name, "from": "-1h"}).raise_for_status().json()
        if answer["results"][0]["total"] >= number:
            return time.perf_counter()
        time.sleep(0.005)


def report(what: str, seconds: list[float]) -> None:
    ms = sorted(s * 1000 for s in seconds)
    p = statistics.quantiles(ms, n=100)
    print(f"{what:7} n {len(ms)}  p50 {p[49]:.0f} ms  p95 {p[94]:.0f} ms  p99 {p[98]:.0f} ms  max {ms[-1]:.0f} ms")


main()
