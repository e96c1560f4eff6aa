"""All live queries of this process.   Stage 5 of 6: change notifications → [analytics] → serve/query/live_routes.py.

A change notification names the projects whose numbers have moved. Notifications may be lost, so each query is also
computed again every few seconds. After a reconnect to the store, and when a new generation begins or the store goes
back in time, all queries are computed again.
Limits: connections, and QUESTIONS_MAX live queries. A large query counts as several; queries without listeners are
dropped first. Both limits are shared fairly (`fair_shares.py`), and so is computing time (`compute_budget.py`).
A question is a project and its tuple of queries; one `LiveQuery` serves all streams of the same question.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
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
LINGER_S = 60.0  # a live query outlives its last listener so long, for a reconnect
RECONNECT_S = 1.0
POINTS_PER_PLACE = 4_000
HISTORY_POINTS_IN_ALL_MAX = 1_000_000
GIVES_WAY = "The place of this {what} was needed for somebody who has fewer. Connect again later, or ask less at once."

LiveQuestion = tuple[str, tuple[Query, ...]]


def _wake_nobody() -> None: ...


@dataclass(eq=False)
class LiveSeat:
    """The place of one connection. `problem` is set, and `wake` called, when it was given to another project or key."""

    key: str = ""
    kind: str = "sse"
    wake: Callable[[], None] = _wake_nobody
    problem: PlatformError | None = None


class LiveHub:
    def __init__(
        self, engine: Engine, reader: AggregateReader, *, interval_ms: int = 250, connections_max: int = 2_000
    ) -> None:
        self._engine, self._reader = engine, reader
        self._interval_s, self._connections_max = interval_ms / 1000, connections_max
        self._live_queries: dict[LiveQuestion, LiveQuery] = {}
        self._questions: FairShares[LiveQuestion] = FairShares(QUESTIONS_MAX)
        self._seats: FairShares[LiveSeat] = FairShares(connections_max)
        self._turns = ComputeBudget()
        self.connections = 0
        self.is_closing = False

    @property
    def side_thread(self) -> SideThread:
        """The thread for long computations."""
        return self._engine.side_thread

    @property
    def interval_s(self) -> float:
        return self._interval_s

    async def run(self) -> None:
        """Follow the store's change notifications until cancelled, through outages too."""
        while True:
            try:
                async for notification in self._reader.follow_notifications():
                    self._notify(notification)
            except PlatformError:
                self._notify(ChangeNotification(0, None))
            await asyncio.sleep(RECONNECT_S)

    def close(self) -> None:
        """Stop all computations and wake the listeners, so that their streams end."""
        self.is_closing = True
        for live_query in self._live_queries.values():
            live_query.stop()
            live_query.wake()
        for seat in self._seats.list_places():
            seat.wake()

    @asynccontextmanager
    async def listen(
        self, project: str, queries: tuple[Query, ...], seat: LiveSeat | None = None
    ) -> AsyncIterator[tuple[LiveQuery, AnswerVersion]]:
        """Take a seat and follow one question. Yields its live query and newest version."""
        seat = seat or LiveSeat()
        with self.hold_seat(project, seat):
            async with self.follow(project, queries, seat) as (live_query, version):
                yield live_query, version

    @contextmanager
    def hold_seat(self, project: str, seat: LiveSeat) -> Iterator[None]:
        """Hold a connection's place inside. Raises Busy."""
        self._take_seat(ShareHolder(project, seat.key), seat)
        self.connections += 1
        telemetry.LIVE_CONNECTIONS.labels(seat.kind).inc()
        try:
            yield
        finally:
            self._seats.leave(seat)
            self.connections -= 1
            telemetry.LIVE_CONNECTIONS.labels(seat.kind).dec()

    @asynccontextmanager
    async def follow(
        self, project: str, queries: tuple[Query, ...], seat: LiveSeat
    ) -> AsyncIterator[tuple[LiveQuery, AnswerVersion]]:
        """Join the live query of a question. Yields it and its newest version. Raises what the computation raises."""
        question, holder = (project, queries), ShareHolder(project, seat.key)
        live_query = self._find_or_make(question, holder)
        live_query.listeners += 1
        try:
            # Only one first computation, however many listeners join at once.
            async with live_query.joining:
                version = await live_query.join()
            self._take_question(holder, question, 1 + version.points // POINTS_PER_PLACE)
            yield live_query, version
        finally:
            live_query.leave()

    def _find_or_make(self, question: LiveQuestion, holder: ShareHolder) -> LiveQuery:
        if question not in self._live_queries:
            self._drop_idle()
            self._take_question(holder, question, 1)
            self._live_queries[question] = self._make_live_query(*question)
        telemetry.LIVE_QUESTIONS.set(len(self._live_queries))
        return self._live_queries[question]

    def _make_live_query(self, project: str, queries: tuple[Query, ...]) -> LiveQuery:
        turns = self._turns
        return LiveQuery(
            lambda: self._engine.reply(project, queries),
            interval_s=self._interval_s,
            name=secrets.token_hex(4),
            budget=LiveBudget(
                turn=lambda: turns.turn(project),
                charge=lambda seconds: turns.charge(project, seconds),
                compute_history_points_max=self._compute_history_points_max,
            ),
        )

    def _compute_history_points_max(self) -> int:
        """Return how many points of its history a live query may keep."""
        return HISTORY_POINTS_IN_ALL_MAX // max(1, len(self._live_queries))

    def _take_seat(self, holder: ShareHolder, seat: LiveSeat) -> None:
        old_seats = self._seats.take(holder, seat)
        for other in old_seats.given_up:
            telemetry.LIVE_DROPPED.labels("share").inc()
            other.problem = Busy(GIVES_WAY.format(what="stream"), retry_after_seconds=30)
            other.wake()
        if not old_seats.is_held:
            raise Busy(
                f"{self._connections_max} live connections are open, and this key has its share.",
                retry_after_seconds=10,
            )

    def _take_question(self, holder: ShareHolder, question: LiveQuestion, weight: int) -> None:
        old_questions = self._questions.take(holder, question, weight)
        for other in old_questions.given_up:
            telemetry.LIVE_DROPPED.labels("share").inc()
            if (live_query := self._live_queries.pop(other, None)) is not None:
                live_query.end(Busy(GIVES_WAY.format(what="question"), retry_after_seconds=30))
        if not old_questions.is_held:
            raise Busy(
                f"{QUESTIONS_MAX} different live questions are open, and this key has its share.",
                retry_after_seconds=10,
            )

    def _notify(self, notification: ChangeNotification) -> None:
        self._engine.touch(notification.projects)
        self._drop_idle()
        for (project, _), live_query in self._live_queries.items():
            if notification.projects is None or project in notification.projects:
                live_query.touch()

    def _drop_idle(self) -> None:
        now = asyncio.get_running_loop().time()
        idle = [question for question, live_query in self._live_queries.items() if live_query.listeners == 0]
        is_full = len(self._live_queries) >= QUESTIONS_MAX
        for question in idle:
            if is_full or now - self._live_queries[question].left_at > LINGER_S:
                del self._live_queries[question]
                self._questions.leave(question)
