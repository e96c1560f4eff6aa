"""Poll the API until it is ready, and report its problems if that takes long."""

from __future__ import annotations

import time

from rtaplatform.local.supervisor.embedded_server import Say
from rtaplatform.local.supervisor.readiness import read_readiness

SILENT_SECONDS = 10.0  # only a start that takes longer reports what it waits for


class ReadinessPoll:
    """Polls the API. After a while it reports the problems, whenever they change."""

    def __init__(self, url: str, say: Say) -> None:
        self._url, self._say = url, say
        self._report_at = time.monotonic() + SILENT_SECONDS
        self._reported_problems: tuple[str, ...] = ()
        self.problems: tuple[str, ...] = ()

    def is_ready(self) -> bool:
        readiness = read_readiness(self._url, timeout_seconds=1)
        self.problems = readiness.problems
        if (
            not readiness.is_ready
            and time.monotonic() >= self._report_at
            and readiness.problems != self._reported_problems
        ):
            self._reported_problems = readiness.problems
            self._say(f"Not ready yet: {'; '.join(readiness.problems)}")
        return readiness.is_ready
