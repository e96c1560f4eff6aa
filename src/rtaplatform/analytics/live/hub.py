"""All live questions of this process.   Stage 5 of 6: change notifications → [analytics] → serve/query/live_routes.py.

Change notifications say which projects moved, and may be lost: after a reconnect of the store, another generation or a
rewind all questions are computed again, and each is looked at every few seconds whatever the notifications say.
Limits: connections, and QUESTIONS_MAX questions (a large one counts as several), of which those that nobody listens
to go first. Both are shared fairly (`fair_shares.py`), and so is the time to compute (`compute_budget.py`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rtaplatform import telemetry
from rtaplatform.analytics.answer.engine import Engine
from rtaplatform.analytics.answer.side_thread import SideThread
from rtaplatform.analytics.live.compute_budget import ComputeBudget
from rtaplatform.analytics.live.fair_shares import FairShares, ShareHolder
from rtaplatform.analytics.live.live_query import AnswerVersion, LiveBudget, LiveQuery
from rtaplatform.core.errors import Busy, PlatformError
from rtaplatform.core.query import Query
from rtaplatform.store.port import AggregateReader, ChangeNotification

QUESTIONS_MAX = 500
LINGER_S = 60.0  # a question's history outlives its last listener, for a reconnect
RECONNECT_S = 1.0
POINTS_PER_PLACE = 4_000
HISTORY_POINTS_IN_ALL_MAX = 1_000_000
GIVES_WAY = "The place of this {what} was needed for somebody who has fewer. Connect again later, or ask less at once."

Question = tuple[str, tuple[Query, ...]]


@dataclass(eq=False)
class LiveSeat:
    """One stream's place. `problem`: it was needed for somebody else."""

    key: str = ""
    problem: PlatformError | None = None


class LiveHub:
    def __init__(
        self, engine: Engine, reader: AggregateReader, *, interval_ms: int = 250, connections_max: int = 2_000
    ) -> None:
        self._engine, self._reader = engine, reader
        self._interval_s, self._connections_max = interval_ms / 1000, connections_max
        self._channels: dict[Question, LiveQuery] = {}
        self._questions: FairShares[Question] = FairShares(QUESTIONS_MAX)
        self._seats: FairShares[LiveSeat] = FairShares(connections_max)
        self._channel_of: dict[LiveSeat, LiveQuery] = {}
        self._turns = ComputeBudget()
        self.connections = 0
        self.is_closing = False

    @property
    def beside(self) -> SideThread:
        """Where what takes long is done."""
        return self._engine.side_thread

    @property
    def interval_s(self) -> float:
        return self._interval_s

    async def run(self) -> None:
        """Follow the store's change notifications until cancelled; waits out its outages."""
        while True:
            try:
                async for notification in self._reader.change_notifications():
                    self._spread(notification)
            except PlatformError:
                self._spread(ChangeNotification(0, None))
            await asyncio.sleep(RECONNECT_S)

    def close(self) -> None:
        """Stop all computations and wake the listeners, so that their streams end."""
        self.is_closing = True
        for channel in self._channels.values():
            channel.close()

    @asynccontextmanager
    async def listen(
        self, project: str, queries: tuple[Query, ...], seat: LiveSeat | None = None
    ) -> AsyncIterator[tuple[LiveQuery, AnswerVersion]]:
        """The channel of a question, joined, and its newest version. Raises what the question's answer raises."""
        seat, question = seat or LiveSeat(), (project, queries)
        holder = ShareHolder(project, seat.key)
        self._take_seat(holder, seat)
        try:
            channel = self._channel_of[seat] = self._channel(question, holder)
        except BaseException:
            self._seats.leave(seat)
            raise
        self.connections += 1
        telemetry.LIVE_CONNECTIONS.labels("sse").inc()
        channel.listeners += 1
        try:
            # One first computation, however many join at once.
            async with channel.joining:
                version = await channel.join()
            self._take_question(holder, question, 1 + version.points // POINTS_PER_PLACE)
            yield channel, version
        finally:
            channel.leave()
            self._seats.leave(seat)
            self._channel_of.pop(seat, None)
            self.connections -= 1
            telemetry.LIVE_CONNECTIONS.labels("sse").dec()

    def _channel(self, question: Question, holder: ShareHolder) -> LiveQuery:
        if question not in self._channels:
            self._forget()
            self._take_question(holder, question, 1)
            self._channels[question] = self._make_channel(*question)
        telemetry.LIVE_QUESTIONS.set(len(self._channels))
        return self._channels[question]

    def _make_channel(self, project: str, queries: tuple[Query, ...]) -> LiveQuery:
        turns = self._turns
        return LiveQuery(
            lambda: self._engine.reply(project, queries),
            interval_s=self._interval_s,
            name=secrets.token_hex(4),
            budget=LiveBudget(
                turn=lambda: turns.turn(project),
                charge=lambda seconds: turns.charge(project, seconds),
                history_points_max=self._history,
            ),
        )

    def _history(self) -> int:
        """How many points of its past a question may keep."""
        return HISTORY_POINTS_IN_ALL_MAX // max(1, len(self._channels))

    def _take_seat(self, holder: ShareHolder, seat: LiveSeat) -> None:
        taken = self._seats.take(holder, seat)
        for other in taken.given_up:
            telemetry.LIVE_DROPPED.labels("share").inc()
            other.problem = Busy(GIVES_WAY.format(what="stream"), retry_after_seconds=30)
            if other in self._channel_of:
                self._channel_of[other].wake()
        if not taken.is_held:
            raise Busy(
                f"{self._connections_max} live connections are open, and this key has its share.",
                retry_after_seconds=10,
            )

    def _take_question(self, holder: ShareHolder, question: Question, weight: int) -> None:
        taken = self._questions.take(holder, question, weight)
        for other in taken.given_up:
            telemetry.LIVE_DROPPED.labels("share").inc()
            if (channel := self._channels.pop(other, None)) is not None:
                channel.end(Busy(GIVES_WAY.format(what="question"), retry_after_seconds=30))
        if not taken.is_held:
            raise Busy(
                f"{QUESTIONS_MAX} different live questions are open, and this key has its share.",
                retry_after_seconds=10,
            )

    def _spread(self, notification: ChangeNotification) -> None:
        self._engine.touch(notification.projects)
        self._forget()
        for (project, _), channel in self._channels.items():
            if notification.projects is None or project in notification.projects:
                channel.touch()

    def _forget(self) -> None:
        now = asyncio.get_running_loop().time()
        idle = [question for question, channel in self._channels.items() if channel.listeners == 0]
        is_full = len(self._channels) >= QUESTIONS_MAX
        for question in idle:
            if is_full or now - self._channels[question].left_at > LINGER_S:
                del self._channels[question]
                self._questions.leave(question)
