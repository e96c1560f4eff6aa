"""One live question: its newest answers, a short history, and who waits for them.   Stage 5 of 6.

One computation per question and tick, however many listen. A listener holds no queue: it remembers the version
it has sent and asks for the changes since, so a slow one gets the newest values merged and holds nothing up.
The first change is computed at once, the next ones at most every `interval_s`; what turned out to change nothing
does not hold up what comes after it by more than LOOK_S. Without any, a look every
IDLE_S keeps `as_of`, windows and `online` moving. A question that takes long is computed more seldom.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress

from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.analytics.answer.engine import Reply
from rtaplatform.analytics.live.answer_changes import answer_changes, is_only_meta
from rtaplatform.core.errors import PlatformError, Rejected
from rtaplatform.core.query import Answer, AnswerUpdate

IDLE_S = 2.0
LOOK_S = 0.05  # on a busy site most change notifications are about other questions' numbers
RETRY_S = 1.0
COST_FACTOR = 4  # a question may keep one core busy for a fifth of the time
VERSIONS_MAX = 120
HISTORY_POINTS_MAX = 20_000  # the newest version is kept whatever its size


class AnswerVersion(Struct, frozen=True, eq=False):
    """The answers of one moment. `id` is what `Last-Event-ID` brings back."""

    id: str
    generation: str
    answers: list[Answer]
    points: int


class LiveBudget(Struct, frozen=True):
    """What a question may take beside others: its turn to compute, what it is charged for, and points of its past."""

    turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    charge: Callable[[float], None] = lambda _: None
    history_points_max: Callable[[], int] = lambda: HISTORY_POINTS_MAX


class LiveQuery:
    def __init__(
        self, compute: Callable[[], Awaitable[Reply]], *, interval_s: float, name: str, budget: LiveBudget | None = None
    ) -> None:
        self._compute, self._interval_s, self._name, self._budget = compute, interval_s, name, budget or LiveBudget()
        self._versions: deque[AnswerVersion] = deque()
        self._numbers = itertools.count(1)
        self._published = asyncio.Event()
        self._dirty = asyncio.Event()
        self._published_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.joining = asyncio.Lock()
        self.listeners = 0
        self.left_at = 0.0
        self.rendered: dict[str, asyncio.Task[bytes | None]] = {}  # what listeners share of their encoded events
        self.error: PlatformError | None = None  # why the last computation failed; None once one succeeds
        self.problem: PlatformError | None = None  # why it is computed no more, and its streams must end

    def touch(self) -> None:
        """Something has moved that may change the answers."""
        self._dirty.set()

    async def join(self) -> AnswerVersion:
        """The newest version, kept current from here on; raises what the first computation raises."""
        # The running task keeps the newest current; after a pause it is stale.
        if self._task is None or self._task.done():
            begun = time.monotonic()
            try:
                await self._refresh()
            finally:
                self._budget.charge(time.monotonic() - begun)
            self._task = asyncio.create_task(self._run(), name=f"live {self._name}")
            self._task.add_done_callback(lambda _: self.wake())
        return self._versions[-1]

    def leave(self) -> None:
        """The counterpart of a listener's `listeners += 1`."""
        self.listeners -= 1
        self.left_at = asyncio.get_running_loop().time()
        if self.listeners == 0:
            self.stop()

    def close(self) -> None:
        """Stop, and let those that wait go on to see it."""
        self.stop()
        self.wake()

    def end(self, problem: PlatformError) -> None:
        """Stop for good, and let those that listen know why."""
        self.problem = problem
        self.close()

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    @property
    def latest(self) -> AnswerVersion:
        return self._versions[-1]

    def find(self, id: str) -> AnswerVersion | None:
        return next((version for version in self._versions if version.id == id), None)

    def since(self, seen: AnswerVersion, latest: AnswerVersion | None = None) -> list[AnswerUpdate] | None:
        """What has changed since `seen`, merged; None: send all (another generation, or the window has moved)."""
        latest = latest or self.latest
        return answer_changes(seen.answers, latest.answers) if seen.generation == latest.generation else None

    async def wait(self, seen: AnswerVersion, error: PlatformError | None, timeout_s: float) -> None:
        """Until there is a newer version, or another error, than the listener has sent; or the time is over.

        Raises what has ended the computations, where that is a bug of ours: no stream goes on with old numbers.
        """
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()
        if self.latest is not seen or self.error is not error or self.problem is not None:
            return
        published = self._published
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await published.wait()

    # inside ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._dirty.wait()
            async with self._budget.turn():
                began, published_at = loop.time(), self._published_at
                try:
                    await self._refresh()
                except PlatformError as error:
                    self._fail(error)
                    if isinstance(error, Rejected):
                        return
                took = loop.time() - began
            pause_s = min(LOOK_S, self._interval_s) if published_at == self._published_at else self._interval_s
            await asyncio.sleep(max(pause_s - took, took * COST_FACTOR, RETRY_S if self.error else 0))

    async def _refresh(self) -> None:
        # Cleared before the read: what moves during it asks for another.
        self._dirty.clear()
        with telemetry.LIVE_COMPUTE_SECONDS.time():
            reply = await self._compute()
        self.error = None
        if self._is_news(reply):
            self._publish(reply)

    def _is_news(self, reply: Reply) -> bool:
        if not self._versions or self.latest.generation != reply.generation:
            return True
        found = answer_changes(self.latest.answers, reply.answers)
        if found is None or (found and not is_only_meta(found, self.latest.answers)):
            return True
        return bool(found) and asyncio.get_running_loop().time() - self._published_at >= IDLE_S

    def _publish(self, reply: Reply) -> None:
        points = sum(1 + len(r.points) for answer in reply.answers for r in answer.results)
        id = f"{reply.generation}-{reply.digest}-{self._name}.{next(self._numbers)}"
        self._versions.append(AnswerVersion(id, reply.generation, reply.answers, points))
        points_max = min(HISTORY_POINTS_MAX, self._budget.history_points_max())
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
        """Let those that wait look around."""
        self._published.set()
        self._published = asyncio.Event()
