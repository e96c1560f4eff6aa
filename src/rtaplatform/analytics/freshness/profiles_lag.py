"""Whether `rta profiles` makes progress: its committed offsets against the ends of the logs.   Stage 5 of 6.

Why: an `rta profiles` that hangs reports nothing, and everything else goes on. Profiles become stale, and nobody
notices. So the API looks every EVERY_S. A lag without a commit for STANDS_AFTER_S shows in `/health/ready`. After the
API has started, or Kafka has come back, the first commit may take START_S.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from rtaplatform import telemetry
from rtaplatform.analytics.freshness.log_ends import LogInstant
from rtaplatform.core.errors import PlatformError, Unable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.time.timestamps import format_iso_utc

EVERY_S = 5.0
STANDS_AFTER_S = 10.0
START_S = 30.0


class Position(Protocol):
    """A consumer group's committed offsets, and how many records it still has to read (`stream.port.GroupPosition`)."""

    @property
    def offsets(self) -> Mapping[PartitionId, int]: ...

    @property
    def behind(self) -> int: ...


class ProfilesLag:
    """The last seen position of the group, and since when it has not moved."""

    def __init__(self) -> None:
        self._offsets: Mapping[PartitionId, int] = {}
        self._behind = 0
        self._since: LogInstant | None = None
        self._started_s = self._now_s = 0.0

    def note(self, position: Position, now: LogInstant) -> None:
        """Note the position that Kafka reported at `now`."""
        if self._since is None:
            self._started_s = now.monotonic_s
        if self._since is None or not position.behind or position.offsets != self._offsets:
            self._since = now
        self._offsets, self._behind, self._now_s = position.offsets, position.behind, now.monotonic_s
        telemetry.PROFILES_LAG.set(position.behind)

    def forget(self) -> None:
        """Forget the position: Kafka does not answer, so nothing is known of the profiles."""
        self._since = None

    def describe_fault(self) -> str | None:
        """Say that the profiles have stopped; None if they make progress, or nothing is known."""
        since = self._since
        if since is None or self._now_s - since.monotonic_s < STANDS_AFTER_S:
            return None
        if self._now_s - self._started_s < START_S:
            return None
        return (
            f"they stand still: {self._behind:,} records behind since {format_iso_utc(since.wall_ms)}. "
            "Look at `rta profiles`: it does not run, hangs, or waits for a server."
        )

    async def check(self) -> None:
        """Raise `Unable` if the profiles have stopped; everything else can go on."""
        if fault := self.describe_fault():
            raise Unable("profiles", fault)


async def watch_profiles(
    lag: ProfilesLag,
    read_position: Callable[[], Awaitable[Position]],
    clock: Callable[[], LogInstant],
    every_s: float = EVERY_S,
) -> None:
    """Note the group's position until cancelled."""
    while True:
        now = clock()
        try:
            lag.note(await read_position(), now)
        except PlatformError:
            lag.forget()
        await asyncio.sleep(every_s)
