"""What was sent and may be sent again: the newest records, and a sample of older ones.   simulate: [resends] → traffic.

Memory is bounded; ages spread from seconds to hours as far as the run has lasted.
"""

from __future__ import annotations

from random import Random

from rtaplatform.simulate.shop.records import SimulatedRecord

_RECENT, _KEPT = 512, 4_096
_RESEND_AGE_MAX_MS = 6 * 3_600_000


class Resends:
    """Remembers records and draws one of them."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._recent: list[tuple[int, SimulatedRecord]] = []
        self._kept: list[tuple[int, SimulatedRecord]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._recent)

    def remember(self, now_ms: int, record: SimulatedRecord) -> None:
        """Take in a record that was sent now."""
        _put(self._recent, self._count % _RECENT, (now_ms, record))
        # Kept for a while at random, so that ages spread from seconds to hours.
        if self._count % 16 == 0:
            _put(self._kept, int(self._rng.random() * _KEPT), (now_ms, record))
        self._count += 1

    def draw(self, now_ms: int) -> SimulatedRecord:
        """Return a record sent in the last hours; there must be one."""
        pool = self._recent if self._rng.random() < 0.5 else self._kept
        sent_ms, record = pool[int(self._rng.random() * len(pool))]
        if now_ms - sent_ms > _RESEND_AGE_MAX_MS:
            _, record = self._recent[(self._count - 1) % _RECENT]
        return record


def _put(pool: list[tuple[int, SimulatedRecord]], place: int, entry: tuple[int, SimulatedRecord]) -> None:
    if place < len(pool):
        pool[place] = entry
    else:
        pool.append(entry)
