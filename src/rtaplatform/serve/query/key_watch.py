"""Ends live connections whose key is no longer valid.   Stage 6 of 6.

One look serves all connections of a key, so 2,000 connections of one key ask as often as one. A revoked key ends its
connections within 60 s, also where PostgreSQL's notifications do not arrive. The bound is a sum:

    40 s  the key cache may serve an entry that is so old (`key_cache.py`)
     5 s  KEY_CHECK_S, until the next look
     4 s  LOOK_S_MAX; a look that takes longer counts as failed
     5 s  END_S, for the client to read why its connection ends; then it is cut, whatever it has not read

While PostgreSQL is away, known keys stay valid for longer (`key_cache.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rtaplatform import telemetry
from rtaplatform.catalog.keys.key_rows import KeyAccess
from rtaplatform.core.errors import PlatformError, Unauthorized, Unavailable

KEY_CHECK_S = 5.0
LOOK_S_MAX = 4.0
END_S = 5.0
SCOPE = "read"


class HashedKeyFinder(Protocol):
    """Finds out what a key opens: `catalog.keys.key_cache.KeyCache`."""

    async def find_hashed(self, key_hash: bytes) -> KeyAccess | None:
        """Return what the key with this SHA-256 opens; None if it opens nothing. Raises Unavailable."""
        ...


def _wake_nobody() -> None: ...


class KeyLease:
    """One connection's right to go on, while its key is valid.

    When it ends, `problem` says why and who is attached is woken. END_S later `is_over` is done: the connection must be
    cut. A lease may end before the connection has begun, while its first answer is computed: `require_valid` says so.
    """

    __slots__ = ("_wake", "is_over", "problem")

    def __init__(self) -> None:
        self.problem: PlatformError | None = None
        self._wake: Callable[[], None] = _wake_nobody
        self.is_over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def attach(self, wake: Callable[[], None]) -> None:
        """Call `wake` when the lease ends; at once if it has ended."""
        self._wake = wake
        if self.problem is not None:
            wake()

    def require_valid(self) -> None:
        """Raise the problem of a lease that has ended."""
        if self.problem is not None:
            raise self.problem

    def end(self, problem: PlatformError) -> None:
        telemetry.LIVE_DROPPED.labels("key").inc()
        self.problem = problem
        self._wake()
        asyncio.get_running_loop().call_later(END_S, self._cut)

    def _cut(self) -> None:
        if not self.is_over.done():
            self.is_over.set_result(None)


class KeyWatches:
    """The keys of all live connections of this process. Lives on one event loop."""

    def __init__(self) -> None:
        self._watches: dict[tuple[bytes, str], _KeyWatch] = {}

    @contextmanager
    def hold(self, keys: HashedKeyFinder, key_hash: bytes, project: str) -> Iterator[KeyLease]:
        """Hold a lease inside, for the key with this SHA-256, which must open this project."""
        watch = self._watches.get((key_hash, project))
        if watch is None or watch.task.done():
            watch = self._watches[key_hash, project] = _KeyWatch(keys, key_hash, project)
        lease = KeyLease()
        watch.leases[lease] = None
        try:
            yield lease
        finally:
            lease.attach(_wake_nobody)
            del watch.leases[lease]
            if not watch.leases:
                watch.task.cancel()
                if self._watches.get((key_hash, project)) is watch:
                    del self._watches[key_hash, project]


class _KeyWatch:
    """Looks at one key again and again. Its first problem ends all leases."""

    def __init__(self, keys: HashedKeyFinder, key_hash: bytes, project: str) -> None:
        self._keys, self._key_hash, self._project = keys, key_hash, project
        self.leases: dict[KeyLease, None] = {}
        self.task = asyncio.create_task(self._watch(), name="key watch")

    async def _watch(self) -> None:
        # A cancelled watch ends nobody: its leases have left, or the process stops, which tells its clients itself.
        try:
            problem = await self._wait_for_problem()
        except Exception:
            # A look failed in a way that nobody foresaw: a connection without a watch would never end.
            self._end_leases(Unavailable("postgres", "The key cannot be looked up."))
            raise
        self._end_leases(problem)

    async def _wait_for_problem(self) -> PlatformError:
        while True:
            await asyncio.sleep(KEY_CHECK_S)
            if (problem := await self._find_problem()) is not None:
                return problem

    def _end_leases(self, problem: PlatformError) -> None:
        for lease in list(self.leases):
            lease.end(problem)

    async def _find_problem(self) -> PlatformError | None:
        """Return an error if the key is not valid any more, or if nobody can tell."""
        try:
            async with asyncio.timeout(LOOK_S_MAX):
                access = await self._keys.find_hashed(self._key_hash)
        except Unavailable as error:
            return error
        except TimeoutError:
            return Unavailable("postgres", f"The key was not found within {LOOK_S_MAX:g} s.")
        if access is None or SCOPE not in access.scopes or access.project != self._project:
            return Unauthorized("The key is no longer valid.")
        return None
