"""One live query: its newest answers, a short history, and its listeners.   Stage 5 of 6.

A query is computed once per tick, however many listen. A listener has no queue: it remembers the version that it has
sent and asks for the changes since then. So a slow listener gets the newest values in one update, and delays nobody.
The first change is computed at once, the next ones at most every `interval_s`. After a computation that found no change
the pause is at most LOOK_S. Without changes the query is still computed every IDLE_S, so that `as_of`, moving
windows and `online` stay current. An expensive query is computed less often.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from typing import Any

from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.analytics.answer.engine import Reply
from rtaplatform.analytics.live.answer_changes import find_answer_changes, is_only_meta
from rtaplatform.analytics.live.listener_bell import ListenerBell
from rtaplatform.core.errors import PlatformError, Rejected
from rtaplatform.core.query import Answer, AnswerUpdate

IDLE_S = 2.0
LOOK_S = 0.05  # short, since on a busy site most change notifications concern other queries
RETRY_S = 1.0
COST_FACTOR = 4  # the pause in computing times: a query may take a fifth of one core
VERSIONS_MAX = 120
HISTORY_POINTS_MAX = 20_000  # the newest version is kept whatever its size


class AnswerVersion(Struct, frozen=True, eq=False):
    """The answers of one moment. A client sends `id` back as `Last-Event-ID`."""

    id: str
    generation: str
    answers: list[Answer]
    points: int


class LiveBudget(Struct, frozen=True):
    """A live query's share of common resources: turns to compute, a charge for computing, and points of history."""

    turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    charge: Callable[[float], None] = lambda _: None
    compute_history_points_max: Callable[[], int] = lambda: HISTORY_POINTS_MAX


class LiveQuery:
    def __init__(
        self, compute: Callable[[], Awaitable[Reply]], *, interval_s: float, name: str, budget: LiveBudget | None = None
    ) -> None:
        self._compute, self._interval_s, self._name, self._budget = compute, interval_s, name, budget or LiveBudget()
        self._versions: deque[AnswerVersion] = deque()
        self._numbers = itertools.count(1)
        self._bells: set[ListenerBell] = set()
        self._dirty = asyncio.Event()
        self._published_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.joining = asyncio.Lock()
        self.listeners = 0
        self.left_at = 0.0
        self.rendered: dict[Hashable, asyncio.Future[Any]] = {}  # made of the newest version
        self.error: PlatformError | None = None  # why the last computation failed; None if it succeeded
        self.problem: PlatformError | None = None  # why the live query has ended, and its streams must end

    def touch(self) -> None:
        """Compute the answers again soon: they may have changed."""
        self._dirty.set()

    async def join(self) -> AnswerVersion:
        """Return the newest version, and keep it current from now on. Raises what the first computation raises."""
        # While the task runs the newest version is current; without it the version is stale.
        if self._task is None or self._task.done():
            start = time.monotonic()
            try:
                await self._refresh()
            finally:
                self._budget.charge(time.monotonic() - start)
            self._task = asyncio.create_task(self._run(), name=f"live {self._name}")
            self._task.add_done_callback(lambda _: self.wake())
        return self._versions[-1]

    def leave(self) -> None:
        """Remove a listener. Without listeners the computations stop."""
        self.listeners -= 1
        self.left_at = asyncio.get_running_loop().time()
        if self.listeners == 0:
            self.stop()

    def end(self, problem: PlatformError) -> None:
        """Stop for good; `problem` tells the listeners why."""
        self.problem = problem
        self.stop()
        self.wake()

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    @property
    def latest(self) -> AnswerVersion:
        return self._versions[-1]

    def find(self, id: str) -> AnswerVersion | None:
        return next((version for version in self._versions if version.id == id), None)

    def merge_updates_since(
        self, base: AnswerVersion, latest: AnswerVersion | None = None
    ) -> list[AnswerUpdate] | None:
        """Return the changes since `base`, merged. None if a snapshot is needed: new generation, or moved window."""
        latest = latest or self.latest
        return find_answer_changes(base.answers, latest.answers) if base.generation == latest.generation else None

    @contextmanager
    def ringing(self, bell: ListenerBell) -> Iterator[None]:
        """Ring this bell inside, whenever there is a newer version, an error or an end."""
        self._bells.add(bell)
        try:
            yield
        finally:
            self._bells.discard(bell)
            bell.end()

    def check(self) -> None:
        """Raise the error of a bug that has ended the computations: no stream goes on with old numbers."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    # inside ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._dirty.wait()
            async with self._budget.turn():
                start, published_at = loop.time(), self._published_at
                try:
                    await self._refresh()
                except PlatformError as error:
                    self._fail(error)
                    if isinstance(error, Rejected):
                        return
                seconds = loop.time() - start
            has_published = published_at != self._published_at
            pause_s = self._interval_s if has_published else min(LOOK_S, self._interval_s)
            await asyncio.sleep(max(pause_s - seconds, seconds * COST_FACTOR, RETRY_S if self.error else 0))

    async def _refresh(self) -> None:
        # Cleared before the read, so that a change during the read causes another computation.
        self._dirty.clear()
        with telemetry.LIVE_COMPUTE_SECONDS.time():
            reply = await self._compute()
        self.error = None
        if self._must_publish(reply):
            self._publish(reply)

    def _must_publish(self, reply: Reply) -> bool:
        if not self._versions or self.latest.generation != reply.generation:
            return True
        updates = find_answer_changes(self.latest.answers, reply.answers)
        if updates is None or (updates and not is_only_meta(updates, self.latest.answers)):
            return True
        return bool(updates) and asyncio.get_running_loop().time() - self._published_at >= IDLE_S

    def _publish(self, reply: Reply) -> None:
        points = sum(1 + len(r.points) for answer in reply.answers for r in answer.results)
        id = f"{reply.generation}-{reply.digest}-{self._name}.{next(self._numbers)}"
        self._versions.append(AnswerVersion(id, reply.generation, reply.answers, points))
        points_max = min(HISTORY_POINTS_MAX, self._budget.compute_history_points_max())
        while len(self._versions) > 1 and (
            len(self._versions) > VERSIONS_MAX or sum(v.points for v in self._versions) > points_max
        ):
            self._versions.popleft()
        self._published_at = asyncio.get_running_loop().time()
        self.rendered.clear()
        self.wake()

    def _fail(self, error: PlatformError) -> None:
        if self.error is None or str(self.error) != str(error):
            self.error = error
            self.wake()

    def wake(self) -> None:
        """Wake all listeners."""
        for bell in self._bells:
            bell.ring()
