"""The interface of the three embedded servers.

First a server is prepared, which may be slow and can be interrupted and repeated. Then the supervisor starts its
command and keeps it running. `answers` tells whether the server serves clients now.
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
        """Prepare the folder. `say` reports steps that may take over a second. Raises SetupError."""

    def make_command(self) -> Command:
        """The command that starts the server from its folder."""

    def answers(self) -> bool:
        """Whether it serves clients. Takes at most a second. Once it has returned True, clients can connect."""

    def maintain(self) -> None:
        """Do what the running server needs. Called every few seconds; takes at most a second."""
