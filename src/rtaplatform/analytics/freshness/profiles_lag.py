"""Whether the profiles go on: what their group has committed, against the ends of the logs.   Stage 5 of 6.

The pain: a `rta profiles` that hangs says nothing, and everything else goes on. Profiles grow old, and nobody is told.
So the API looks every EVERY_S. A lag that has lasted STANDS_AFTER_S without a commit is told in `/health/ready`.
A process that has just been started, or has just found Kafka again, has START_S for its first commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from rtaplatform import telemetry
from rtaplatform.analytics.freshness.log_ends import LogInstant
from rtaplatform.core.errors import PlatformError, Unable
from rtaplatform.core.ledger import PartitionId
from rtaplatform.core.time.timestamps import iso_utc

EVERY_S = 5.0
STANDS_AFTER_S = 10.0
START_S = 30.0


class Position(Protocol):
    """`stream.port.GroupPosition`."""

    @property
    def offsets(self) -> Mapping[PartitionId, int]: ...

    @property
    def behind(self) -> int: ...


class ProfilesLag:
    """What was seen of the group last, and since when it has stood there."""

    def __init__(self) -> None:
        self._offsets: Mapping[PartitionId, int] = {}
        self._behind = 0
        self._since: LogInstant | None = None
        self._begun_s = self._now_s = 0.0

    def note(self, position: Position, now: LogInstant) -> None:
        """Take in what Kafka has said at `now`."""
        if self._since is None:
            self._begun_s = now.monotonic_s
        if self._since is None or not position.behind or position.offsets != self._offsets:
            self._since = now
        self._offsets, self._behind, self._now_s = position.offsets, position.behind, now.monotonic_s
        telemetry.PROFILES_LAG.set(position.behind)

    def forget(self) -> None:
        """Kafka does not say: nothing is known of the profiles either."""
        self._since = None

    def fault(self) -> str | None:
        """That they stand still; None where they go on, or nothing is known."""
        since = self._since
        if since is None or self._now_s - since.monotonic_s < STANDS_AFTER_S or self._now_s - self._begun_s < START_S:
            return None
        return (
            f"they stand still: {self._behind:,} records behind since {iso_utc(since.wall_ms)}. "
            "Look at `rta profiles`: it does not run, hangs, or waits for a server."
        )

    async def check(self) -> None:
        """Raise `Unable` where they stand still: all else can go on."""
        if fault := self.fault():
            raise Unable("profiles", fault)


async def watch_profiles(
    lag: ProfilesLag, look: Callable[[], Awaitable[Position]], clock: Callable[[], LogInstant], every_s: float = EVERY_S
) -> None:
    """Look until cancelled. What Kafka does not say is not guessed."""
    while True:
        now = clock()
        try:
            lag.note(await look(), now)
        except PlatformError:
            lag.forget()
        await asyncio.sleep(every_s)
