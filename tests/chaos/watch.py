"""A watcher who asks the API, Kafka and Valkey over and over, and writes down what each has said.

The API is asked every ASKED_EVERY_SECONDS whether or not it has answered the last question. It runs in a thread of
its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import httpx

from rtaplatform.core.errors import Unavailable
from rtaplatform.core.ledger import read_row
from rtaplatform.core.sharding import find_shard
from rtaplatform.store.redis.redis_store import RedisStore
from rtaplatform.stream.kafka.broker import Broker
from tests.chaos.history import Answer, Ends, Ledger, Readiness, Span
from tests.chaos.site import READ_KEY, SHARDS, Site

ASKED_EVERY_SECONDS = 0.4
ANSWER_SECONDS_MAX = 30.0
PROJECT = "demo"


class Watcher:
    """`watching` it while things happen; `last` is the newest answer with numbers."""

    def __init__(self, site: Site) -> None:
        self._site, self._history = site, site.history
        self._stopped = False
        self._questions: set[asyncio.Task[None]] = set()
        # All events of the run lie in this period, the late ones too: what is in it only grows.
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        self.period = {"from": (hour - timedelta(days=3)).isoformat(), "to": (hour + timedelta(hours=23)).isoformat()}

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = Thread(target=lambda: asyncio.run(self._watch()), name="watcher")
        thread.start()
        try:
            yield
        finally:
            self._stopped = True
            thread.join()

    def is_current(self, since: float) -> bool:
        """Whether the API has said that all is in up to this moment (of the monotonic clock)."""
        answers = self._history.answers[-10:]
        return any(a.status == 200 and a.complete and a.includes(since) for a in answers)

    async def _watch(self) -> None:
        broker, store = Broker(self._site.stack.kafka_settings), RedisStore(self._site.stack.store_settings)
        async with httpx.AsyncClient(base_url=self._site.url, timeout=ANSWER_SECONDS_MAX) as client:
            await asyncio.gather(
                self._keep(lambda: self._spawn(self._ask_total(client))),
                self._keep(lambda: self._spawn(self._ask_ready(client))),
                self._keep(lambda: asyncio.to_thread(self._ask_ends, broker)),
                self._keep(lambda: asyncio.to_thread(self._ask_ledger, store)),
            )
            await asyncio.gather(*self._questions)
        store.close()

    async def _keep(self, ask: Callable[[], Awaitable[object]]) -> None:
        while not self._stopped:
            due = time.monotonic() + ASKED_EVERY_SECONDS
            await ask()
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _spawn(self, asking: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(asking)
        self._questions.add(task)
        task.add_done_callback(self._questions.discard)

    async def _ask_total(self, client: httpx.AsyncClient) -> None:
        since, wall_ms = time.monotonic(), _read_wall_ms()
        headers = {"Authorization": f"Bearer {READ_KEY}"}
        reply = await _get(client, "/v1/metrics/events", params=self.period | {"bots": "include"}, headers=headers)
        at = Span(since, time.monotonic())
        if reply is None or reply.status_code != 200:
            self._history.answers.append(Answer(at, reply.status_code if reply else 0))
            return
        answer, meta = reply.json(), reply.json()["meta"]
        self._history.answers.append(
            Answer(
                at, 200, answer["results"][0]["total"], meta["complete"], _read_ms(meta["as_of"]), meta["lag_ms"],
                wall_ms, _read_wall_ms(),
            )
        )  # fmt: skip

    async def _ask_ready(self, client: httpx.AsyncClient) -> None:
        since = time.monotonic()
        reply = await _get(client, "/health/ready")
        at = Span(since, time.monotonic())
        missing = reply.json()["missing"] if reply is not None else ()
        self._history.readiness.append(Readiness(at, reply.status_code if reply else 0, tuple(missing)))

    def _ask_ends(self, broker: Broker) -> None:
        since = time.monotonic()
        try:
            ends = broker.read_ends()
        except Unavailable:
            return
        self._history.ends.append(Ends(Span(since, time.monotonic()), _read_wall_ms(), ends))

    def _ask_ledger(self, store: RedisStore) -> None:
        since = time.monotonic()
        try:
            state = store.read_state(find_shard(PROJECT, SHARDS))
        except Unavailable:
            return
        if state is not None:
            offsets = {place: read_row(row).next_offset for place, row in state.ledger.items()}
            self._history.ledgers.append(Ledger(Span(since, time.monotonic()), offsets))


async def _get(client: httpx.AsyncClient, path: str, **options: Any) -> httpx.Response | None:
    try:
        return await client.get(path, **options)
    except httpx.TransportError:
        return None


def _read_wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _read_ms(text: str | None) -> int | None:
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)
