"""What the three embedded servers have in common.

A server is prepared (slow, safe to interrupt and to repeat), its command is started and kept running by the
supervisor, and `answers` says whether a client would be served now.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rtaplatform.local.supervisor.child_process import Command

Say = Callable[[str], None]


class EmbeddedServer(Protocol):
    """One embedded server in its own folder of the data directory."""

    name: str
    stop_signal: int

    def prepare(self, say: Say) -> None:
        """Make the folder ready; `say` tells of steps that may take over a second. Raises SetupError."""

    def command(self) -> Command:
        """How to start it, as the folder is now."""

    def answers(self) -> bool:
        """Whether it serves a client; takes at most a second. After its first True, clients will be served."""

    def look(self) -> None:
        """Look after it while it runs, every few seconds; takes at most a second."""
