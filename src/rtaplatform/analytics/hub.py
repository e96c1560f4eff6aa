"""All live questions of this process.   Stage 5 of 6: store's hints → [analytics] → serve/live.py.

Hints say which projects moved; they are hints: after a reconnect of the store, another generation or a rewind
all questions are computed again, and each is looked at every few seconds whatever the hints say.
Limits: connections, and QUESTIONS_MAX questions, of which those that nobody listens to go first.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rtaplatform import telemetry
from rtaplatform.analytics.channel import Channel, Version
from rtaplatform.analytics.engine import Engine
from rtaplatform.core.errors import Busy, PlatformError
from rtaplatform.core.query import Query
from rtaplatform.store.port import AggregateReader, Hint

QUESTIONS_MAX = 500
LINGER_S = 60.0  # a question's history outlives its last listener, for a reconnect
RECONNECT_S = 1.0

Question = tuple[str, tuple[Query, ...]]


class Hub:
    def __init__(
        self, engine: Engine, reader: AggregateReader, *, interval_ms: int = 250, connections_max: int = 2_000
    ) -> None:
        self._engine, self._reader = engine, reader
        self._interval_s, self._connections_max = interval_ms / 1000, connections_max
        self._channels: dict[Question, Channel] = {}
        self.connections = 0
        self.is_closing = False

    @property
    def interval_s(self) -> float:
        return self._interval_s

    async def run(self) -> None:
        """Follow the store's hints until cancelled; waits out its outages."""
        while True:
            try:
                async for hint in self._reader.hints():
                    self._spread(hint)
            except PlatformError:
                self._spread(Hint(0, None))
            await asyncio.sleep(RECONNECT_S)

    def close(self) -> None:
        """Stop all computations and wake the listeners, so that their streams end."""
        self.is_closing = True
        for channel in self._channels.values():
            channel.close()

    @asynccontextmanager
    async def listen(self, project: str, queries: tuple[Query, ...]) -> AsyncIterator[tuple[Channel, Version]]:
        """The channel of a question, joined, and its newest version. Raises what the question's answer raises."""
        if self.connections >= self._connections_max:
            raise Busy(f"{self._connections_max} live connections are open.", retry_after_seconds=10)
        channel = self._channel((project, queries))
        self.connections += 1
        telemetry.LIVE_CONNECTIONS.labels("sse").inc()
        channel.listeners += 1
        try:
            # One first computation, however many join at once.
            async with channel.joining:
                version = await channel.join()
            yield channel, version
        finally:
            channel.leave()
            self.connections -= 1
            telemetry.LIVE_CONNECTIONS.labels("sse").dec()

    def _channel(self, question: Question) -> Channel:
        if question not in self._channels:
            self._forget()
            self._require_room()
            project, queries = question
            self._channels[question] = Channel(
                lambda: self._engine.reply(project, queries), interval_s=self._interval_s, name=secrets.token_hex(4)
            )
        telemetry.LIVE_QUESTIONS.set(len(self._channels))
        return self._channels[question]

    def _spread(self, hint: Hint) -> None:
        self._engine.touch(hint.projects)
        self._forget()
        for (project, _), channel in self._channels.items():
            if hint.projects is None or project in hint.projects:
                channel.touch()

    def _forget(self) -> None:
        now = asyncio.get_running_loop().time()
        idle = [question for question, channel in self._channels.items() if channel.listeners == 0]
        is_full = len(self._channels) >= QUESTIONS_MAX
        for question in idle:
            if is_full or now - self._channels[question].left_at > LINGER_S:
                del self._channels[question]

    def _require_room(self) -> None:
        if len(self._channels) >= QUESTIONS_MAX:
            raise Busy(f"{QUESTIONS_MAX} different live questions are open.", retry_after_seconds=10)
