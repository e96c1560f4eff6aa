"""How full the store is, and how much a project may send while it is nearly full.

The pain: the store evicts nothing. One write key that sends made-up events can fill it, and then counting stops for
all projects. While there is room, nobody is limited. While the store is nearly full, each project has only its
guaranteed events of the hour, and fewer of them the less room is left. So large projects are refused first.

Events that wait in the log will need room too, so they are added to the used memory. How much an event takes is
measured from how the store has grown in the last minutes. A store without `maxmemory` never counts as full.
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
SAMPLES_KEPT = 60
COUNTED_MIN = 1_000  # fewer events give no estimate
EVENT_BYTES_MAX = 500  # the most that an event took in measurements
SHARE_MIN = 0.01  # of the guaranteed events: this much is always accepted


class RoomSample(Struct, frozen=True):
    """The store's memory in bytes, used and at most (0: no limit), and its events, counted and waiting."""

    used: int
    used_max: int
    counted: int = 0
    waiting: int = 0


class StoreRoom:
    """The store counts as nearly full once this share of its memory, `nearly_full`, is used."""

    def __init__(self, nearly_full: float = 0.85) -> None:
        self._nearly_full = nearly_full
        self._samples: deque[RoomSample] = deque(maxlen=SAMPLES_KEPT)
        self._filled = 0.0
        self.share: float | None = None  # the part of its guaranteed events that a project may send; None: no limit

    def note(self, sample: RoomSample) -> None:
        self._samples.append(sample)
        if not sample.used_max:
            self._filled, self.share = 0.0, None
        else:
            self._filled = (sample.used + sample.waiting * self._measure_bytes_per_event()) / sample.used_max
            self.share = self._compute_share()
        telemetry.STORE_FILLED.set(self._filled)
        telemetry.STORE_NEARLY_FULL.set(self.share is not None)

    @property
    def filled_percent(self) -> int:
        return round(self._filled * 100)

    async def check(self) -> None:
        """Raise `Unable` if the store is nearly full. Requests are still answered, and large projects are limited."""
        if self.share is not None:
            sample = self._samples[-1]
            raise Unable(
                "store",
                f"nearly full: {sample.used / 1e6:,.0f} of {sample.used_max / 1e6:,.0f} MB are used, and "
                f"{sample.waiting:,} events wait, which makes {self.filled_percent} %. "
                "Projects that send much are refused (429) until there is room.",
            )

    def _compute_share(self) -> float | None:
        if self._filled < self._nearly_full:
            return None
        room_left = (1.0 - self._filled) / max(1.0 - self._nearly_full, 0.01)
        return min(1.0, max(SHARE_MIN, room_left))

    def _measure_bytes_per_event(self) -> float:
        first, last = self._samples[0], self._samples[-1]
        events_counted = last.counted - first.counted
        if events_counted < COUNTED_MIN:
            return 0.0
        return min(EVENT_BYTES_MAX, max(0.0, (last.used - first.used) / events_counted))


async def watch_room(
    room: StoreRoom, take_sample: Callable[[], Awaitable[RoomSample]], every_seconds: float = EVERY_SECONDS
) -> None:
    """Take samples until cancelled. While the store does not answer, the last sample holds."""
    while True:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                room.note(await take_sample())
        except (PlatformError, TimeoutError):
            pass
        await asyncio.sleep(every_seconds)
