"""Which replays of dead letters count.   Stage 3 of 6: stream → [process] → store.

A replay names the origin of its dead letter. It counts if the shard has that origin in its set of dead letters, and the
same call of `apply` takes it out. So of all replays of a letter one counts, whichever worker reads it. The store is not
asked beforehand: `apply` refuses the batch and names the origins that it does not have, and the same records are folded
again with these as repeats.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, MutableMapping

SETTLED_MAX = 50_000


class SettledReplays:
    """Origins that the store does not have among its dead letters, as far as conflicts have told this worker."""

    def __init__(self, settled_max: int = SETTLED_MAX) -> None:
        self._settled_max = settled_max
        self._origins: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, origin: str) -> bool:
        return origin in self._origins

    def learn(self, origins: Iterable[str]) -> None:
        for origin in origins:
            self._origins[origin] = None
        while len(self._origins) > self._settled_max:
            self._origins.popitem(last=False)

    def clear(self) -> None:
        self._origins.clear()


class ReplayFilter:
    """The replays of one batch, asked in the order of the records."""

    def __init__(self, settled_replays: SettledReplays) -> None:
        self._settled_replays = settled_replays
        self._origins_taken: dict[str, None] = {}
        self._dead_here: set[str] = set()

    def is_repeat(self, origin: str, dead_in_batch: MutableMapping[str, int]) -> bool:
        """Whether the letter was replayed before. If not, this replay takes its origin."""
        if origin in self._origins_taken or origin in self._settled_replays or origin in self._dead_here:
            return True
        if dead_in_batch.pop(origin, None) is None:
            self._origins_taken[origin] = None
        else:  # a rebuild may read a dead record and its replay in one batch: the store does not have it yet
            self._dead_here.add(origin)
        return False

    def list_origins(self) -> list[str]:
        """The origins that must be in the store's set, and are taken out of it."""
        return list(self._origins_taken)
