"""Whether the collector answers, is waited for, or is away for too long.   simulate: http_sender → [collector_watch].

Promise: a change is said once. A collector that answers is waited for as long as it says; one that is away is given up
after a time that the run knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import isinf
from threading import Lock

from rtaplatform.simulate.over_http.http_lane import NO_ANSWER

# 502 and 504 are a proxy's words: the collector behind it gave no answer.
_AWAY = frozenset((NO_ANSWER, 502, 504))
_TOO_MANY_REQUESTS = 429


class CollectorWatch:
    """Hears the status of each answer, from any thread. `clock`: seconds that never go back."""

    def __init__(
        self,
        say: Callable[[str], None],
        away_seconds_max: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say, self.away_seconds_max, self._clock = say, away_seconds_max, clock
        self._lock = Lock()
        self._is_waiting = False
        self._away_since: float | None = None
        self._answered_at = clock()
        self._is_lost = False

    @property
    def is_lost(self) -> bool:
        """Whether the collector has been away for so long that nobody should wait any more."""
        return self._is_lost

    def notice(self, status: int, waited_seconds: float = 0.0) -> None:
        """Note an answer that took so long. `status`: 0 if there was none."""
        with self._lock:
            self._measure_absence(status in _AWAY, waited_seconds)
            is_waiting = status != 200
            if is_waiting == self._is_waiting:
                return
            self._is_waiting = is_waiting
        self._say(self._describe(status))

    def _measure_absence(self, is_away: bool, waited_seconds: float) -> None:
        now = self._clock()
        if not is_away:
            self._away_since, self._answered_at = None, now
            return
        if self._away_since is None:  # others may have had an answer while this one was waited for
            self._away_since = max(now - waited_seconds, self._answered_at)
        self._is_lost = self._is_lost or now - self._away_since >= self.away_seconds_max

    def _describe(self, status: int) -> str:
        if status == 200:
            return "The collector takes events again."
        if status == _TOO_MANY_REQUESTS:
            return "The collector limits the rate; waiting as long as it says."
        if status in _AWAY:
            bound = "" if isinf(self.away_seconds_max) else f" for up to {self.away_seconds_max:g} s"
            return f"The collector is away; waiting{bound}."
        return "The collector takes no events now; waiting for it."
