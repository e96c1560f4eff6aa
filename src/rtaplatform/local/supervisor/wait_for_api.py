"""Asks the API again and again whether it is ready, and says what is missing when that goes on."""

from __future__ import annotations

import time

from rtaplatform.local.supervisor.embedded_server import Say
from rtaplatform.local.supervisor.readiness import read_readiness

SILENT_SECONDS = 10.0  # a start that takes longer says what it waits for


class WaitingForReadiness:
    """Asks the API, and says what is missing when that goes on, each time it is something else."""

    def __init__(self, url: str, say: Say) -> None:
        self._url, self._say = url, say
        self._say_at = time.monotonic() + SILENT_SECONDS
        self._said: tuple[str, ...] = ()
        self.problems: tuple[str, ...] = ()

    def is_over(self) -> bool:
        found = read_readiness(self._url, timeout_seconds=1)
        self.problems = found.problems
        if not found.is_ready and time.monotonic() >= self._say_at and found.problems != self._said:
            self._said = found.problems
            self._say(f"Not ready yet: {'; '.join(found.problems)}")
        return found.is_ready
