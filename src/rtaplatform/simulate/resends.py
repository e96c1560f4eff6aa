"""Records that may be sent again: the newest ones, and a sample of older ones.   simulate: [resends] → traffic.

Memory is bounded. The ages of the records spread from seconds to hours, once the run has lasted that long.
"""

from __future__ import annotations

from random import Random

from rtaplatform.simulate.shop.records import SimulatedRecord

_RECENT_MAX, _SAMPLE_MAX = 512, 4_096
_RESEND_AGE_MAX_MS = 6 * 3_600_000


class Resends:
    """Remembers records and draws one of them."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._recent: list[tuple[int, SimulatedRecord]] = []
        self._sample: list[tuple[int, SimulatedRecord]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._recent)

    def remember(self, now_ms: int, record: SimulatedRecord) -> None:
        """Remember a record that was sent now."""
        _put(self._recent, self._count % _RECENT_MAX, (now_ms, record))
        # A random replacement makes the ages in the sample spread from seconds to hours.
        if self._count % 16 == 0:
            _put(self._sample, int(self._rng.random() * _SAMPLE_MAX), (now_ms, record))
        self._count += 1

    def draw(self, now_ms: int) -> SimulatedRecord:
        """Return a record of the last hours. There must be one."""
        pool = self._recent if self._rng.random() < 0.5 else self._sample
        sent_ms, record = pool[int(self._rng.random() * len(pool))]
        if now_ms - sent_ms > _RESEND_AGE_MAX_MS:
            _, record = self._recent[(self._count - 1) % _RECENT_MAX]
        return record


def _put(pool: list[tuple[int, SimulatedRecord]], place: int, entry: tuple[int, SimulatedRecord]) -> None:
    if place < len(pool):
        pool[place] = entry
    else:
        pool.append(entry)
