"""What do the limits cost a collecting request?

    PYTHONPATH=src:. .venv/bin/python benchmarks/limit_cost.py --requests 5000

Sends single events through the application in one process, without a socket and with a log that takes everything,
by turns without limits, with limits of this process, and with limits counted in a Valkey of its own. Prints requests
a second, the median of the rounds, and the time of one `take` alone.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rtaplatform.collect.body.draft import CollectedRecord
from rtaplatform.collect.collector import Collector
from rtaplatform.serve.app import create_app
from rtaplatform.serve.http.dependencies import Dependencies
from rtaplatform.serve.http.health import Health
from rtaplatform.serve.http.limits import COLLECT, RateLimits, make_redis_counter
from rtaplatform.settings import LimitSettings
from tests.integration.servers import start_valkey
from tests.unit.serve.parts_of_tests import Keys, Stream

ROUNDS = 5
TAKES = 200_000
EVENT = {"event": "Product Viewed", "anonymousId": "a-1", "properties": {"product_id": "p-1"}}


class Log:
    async def append(self, records: Sequence[CollectedRecord]) -> None: ...


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=5_000)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        valkey = start_valkey(Path(folder))
        try:
            asyncio.run(measure(valkey.server.url("rta-limiter"), options.requests))
        finally:
            valkey.stop()


async def measure(url: str, requests: int) -> None:
    limits = {
        "no limits": RateLimits(LimitSettings(collect_events_per_minute=0)),
        "of this process": RateLimits(LimitSettings()),
        "in Valkey": RateLimits(LimitSettings(), make_redis_counter(url)),
    }
    apps = {about: create_app(_parts(one)) for about, one in limits.items()}
    rates: dict[str, list[float]] = {about: [] for about in limits}
    for _ in range(ROUNDS):
        for about, app in apps.items():
            begun = time.perf_counter()
            for _ in range(requests // ROUNDS):
                await _send(app)
            rates[about].append(requests // ROUNDS / (time.perf_counter() - begun))
    for about, found in rates.items():
        print(f"{about:16} {statistics.median(found):.0f} requests/s")
    for about, one in limits.items():
        begun = time.perf_counter()
        for _ in range(TAKES):
            await one.take(COLLECT, "key_9")
        print(f"{about:16} {1e6 * (time.perf_counter() - begun) / TAKES:.2f} µs a take")


def _parts(limits: RateLimits) -> Dependencies:
    return Dependencies(keys=Keys(), collector=Collector(Log()), health=Health({}), limits=limits)


async def _send(app: Any) -> None:
    stream = Stream(app, "POST", "/v1/track", key="writer", body=EVENT)
    await stream.task
    assert stream.status == 200, stream.body


main()
