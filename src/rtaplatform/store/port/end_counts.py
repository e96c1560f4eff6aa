"""The port that counts how often a record has ended a worker.   Stage 4 of 6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

ENDS_KEPT_MAX = 1_000


class EndCounts(Protocol):
    """How often each record has ended a worker, by name. Kept beside the totals.

    At most ENDS_KEPT_MAX are kept. Beyond that all are dropped, and a bad record ends a few more workers.
    """

    def read_ends(self) -> dict[str, int]: ...
    def count_ends(self, names: Sequence[str]) -> None: ...
    def forget_ends(self, names: Sequence[str]) -> None: ...
