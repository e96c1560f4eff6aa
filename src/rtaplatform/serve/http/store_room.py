"""How full the store is, and what a project may send while it is nearly full.

The pain: the store drops nothing. One write key that sends made-up events can fill it, and then counting stands for
all projects. While there is room nobody is limited. Where there is hardly any, each project has its guaranteed events
of the hour, the fewer the less room there is left: so the large ones give way first, and the small ones go on.

Full is not only what is used: events that wait in the log will take their part. What one takes is measured, from how
the store has grown in the last minutes. A store without `maxmemory` is never full, as far as anybody can tell.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from msgspec import Struct

from rtaplatform import telemetry
from rtaplatform.core.errors import PlatformError, Unable

EVERY_SECONDS = 5.0
ANSWER_SECONDS_MAX = 5.0
LOOKS_KEPT = 60
COUNTED_MIN = 1_000  # of fewer events nothing can be told
EVENT_BYTES_MAX = 500  # what the worst was measured to take
SHARE_MIN = 0.01  # of the guaranteed events: so much passes whatever happens


class RoomSample(Struct, frozen=True):
    """Bytes that the store uses, and may use (0: any number); events that it has counted, and that wait."""

    used: int
    most: int
    counted: int = 0
    waiting: int = 0


class StoreRoom:
    """`nearly_full`: the part of its memory from which on the store counts as nearly full."""

    def __init__(self, nearly_full: float = 0.85) -> None:
        self._nearly_full = nearly_full
        self._looks: deque[RoomSample] = deque(maxlen=LOOKS_KEPT)
        self._filled = 0.0
        self.share: float | None = None  # of the guaranteed events, what a project may send; None: there is room

    def note(self, look: RoomSample) -> None:
        self._looks.append(look)
        if not look.most:
            self._filled, self.share = 0.0, None
        else:
            self._filled = (look.used + look.waiting * self._bytes_per_event()) / look.most
            self.share = self._share()
        telemetry.STORE_FILLED.set(self._filled)
        telemetry.STORE_NEARLY_FULL.set(self.share is not None)

    @property
    def filled_percent(self) -> int:
        return round(self._filled * 100)

    async def check(self) -> None:
        """Raise `Unable` where it is nearly full: requests are answered, and large projects are bounded."""
        if self.share is not None:
            look = self._looks[-1]
            raise Unable(
                "store",
                f"nearly full: {look.used / 1e6:,.0f} of {look.most / 1e6:,.0f} MB are used, and {look.waiting:,} "
                f"events wait, which makes {self.filled_percent} %. Projects that send much are refused (429) until "
                "there is room.",
            )

    def _share(self) -> float | None:
        if self._filled < self._nearly_full:
            return None
        left = (1.0 - self._filled) / max(1.0 - self._nearly_full, 0.01)
        return min(1.0, max(SHARE_MIN, left))

    def _bytes_per_event(self) -> float:
        first, last = self._looks[0], self._looks[-1]
        counted = last.counted - first.counted
        if counted < COUNTED_MIN:
            return 0.0
        return min(EVENT_BYTES_MAX, max(0.0, (last.used - first.used) / counted))


async def watch_room(
    room: StoreRoom, look: Callable[[], Awaitable[RoomSample]], every_seconds: float = EVERY_SECONDS
) -> None:
    """Look until cancelled. While the store does not say, what it said last holds."""
    while True:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                room.note(await look())
        except (PlatformError, TimeoutError):
            pass
        await asyncio.sleep(every_seconds)
